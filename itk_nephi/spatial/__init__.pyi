__all__ = [
    "ImageDomain",
    "ImagePair",
    "InvertedPoints",
    "compose",
    "flatten",
    "image_from_array",
    "image_like",
    "invert_points",
    "is_neural",
    "jacobians",
    "resample",
    "to_bspline_transform",
    "to_displacement_field",
    "to_displacement_field_transform",
    "transform_points",
]

from .conversion import to_bspline_transform, to_displacement_field, to_displacement_field_transform
from .domain import ImageDomain, image_from_array, image_like
from .image_pair import ImagePair
from .inversion import InvertedPoints, invert_points
from .resampling import resample
from .transforms import compose, flatten, is_neural, jacobians, transform_points
