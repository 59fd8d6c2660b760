__all__ = [
    "Phantom",
    "deformed_shape",
    "lung",
    "triangles_and_circles",
]

from .pairs import Phantom, deformed_shape, lung, triangles_and_circles
