__all__ = [
    "PairPaths",
    "TableError",
    "read_image",
    "read_landmarks",
    "read_mesh",
    "read_pair",
    "read_pair_table",
    "read_transform",
    "write_image",
    "write_mesh",
    "write_pair",
    "write_transform",
]

from .image_writing import write_image
from .images import read_image
from .meshes import read_mesh, write_mesh
from .pair_files import PairPaths, read_landmarks, read_pair, write_pair
from .pair_table import TableError, read_pair_table
from .transforms import read_transform, write_transform
