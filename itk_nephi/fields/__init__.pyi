__all__ = [
    "Deformation",
    "DeformationField",
    "FieldSettings",
    "InterpolatedCode",
    "LatentCode",
    "SampledImage",
    "SampledTransform",
    "deformation_from_transform",
    "sample_transform",
    "transform_from_deformation",
]

from .deformation import Deformation, deformation_from_transform, transform_from_deformation
from .latent_code import InterpolatedCode, LatentCode
from .neural_field import DeformationField
from .sampled_image import SampledImage, SampledTransform
from .sampled_transforms import sample_transform
from .settings import FieldSettings
