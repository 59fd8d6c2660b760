__all__ = [
    "SIMILARITIES",
    "Dissimilarity",
    "LandmarkPairs",
    "ObjectiveWeights",
    "Similarity",
    "diffusion_energy",
    "folding_penalty",
    "gradicon",
    "latent_prior",
    "objective_terms",
]

from .objective import LandmarkPairs, ObjectiveWeights, objective_terms
from .regularizers import diffusion_energy, folding_penalty, gradicon, latent_prior
from .similarity import SIMILARITIES, Dissimilarity, Similarity
