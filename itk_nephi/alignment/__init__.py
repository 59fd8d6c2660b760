"""Linear alignment of images from anywhere, without torch."""

from itk_nephi.extras import public_names

__getattr__, __dir__, __all__ = public_names(__name__, __file__)
