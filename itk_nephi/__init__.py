"""Deformable image registration with neural fields (NePhi), as an ITK transform.

=================  ============================================================================
cli                the ``itk-nephi`` command
workflows          files in, files out: one pair, many pairs, methods side by side
registration       one pair, or one subject over time, to transforms
training           many pairs to a model that predicts
visualization      figures, slices, the report
models             the network that predicts deformations; its file
losses             what registration and training minimize
evaluation         what is measured of a registration
fields             deformations as functions of coordinates, in torch
alignment          linear alignment of images from anywhere
phantoms           synthetic image pairs with known transforms
io                 files, read with clear messages
spatial            where things lie: grids, points, transforms and their inverses
=================  ============================================================================

Each package imports only from those below it. Public are the names in ``__all__`` of this package
and of these. Each is imported when it is first asked for, so that transforms can be read, applied
and judged where torch is not installed.
"""

from importlib import import_module
from typing import Any

from itk_nephi.extras import public_names

_public, __dir__, __all__ = public_names(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("itk-nephi")
    return _public(name)
