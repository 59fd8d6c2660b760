__all__ = [
    "PairPaths",
    "TableError",
    "read_image",
    "read_landmarks",
    "read_mesh",
    "read_pair_table",
    "read_transform",
    "write_image",
    "write_mesh",
    "write_transform",
]

from .images import read_image, write_image
from .meshes import read_mesh, write_mesh
from .pair_files import read_landmarks
from .pair_table import PairPaths, TableError, read_pair_table
from .transforms import read_transform, write_transform
