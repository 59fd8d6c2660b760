__all__ = ["Alignment", "align"]

from .alignment import Alignment, align
