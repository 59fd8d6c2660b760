__all__ = ["Alignment", "align", "compute_initial_transform"]

from .alignment import Alignment, align
from .initialization import compute_initial_transform
