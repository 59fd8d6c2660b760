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

from .objective import LandmarkPairs, objective_terms
from .regularizers import diffusion_energy, folding_penalty, gradicon, latent_prior
from .settings import SIMILARITIES, ObjectiveWeights
from .similarity import Dissimilarity, Similarity
