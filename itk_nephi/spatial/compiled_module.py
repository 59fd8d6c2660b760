"""The compiled module beside ITK's, which holds what the package computes by."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from itk_nephi.spatial import light_itk as itk


@cache
def compiled_module() -> Any:
    """Return the compiled module; what it offers is declared in ``src/itkNePhiCalls.h``.

    Raises
    ------
    ImportError
        If it is missing, or older than this package.
    """
    itk.NePhiTransform[itk.D, 3]  # which loads the module
    module = sys.modules["itk._NePhiPython"]
    if not hasattr(module, "NePhiExplainLevel3"):
        raise ImportError(
            "itk-nephi: expected the compiled module of this version beside ITK's, got an older "
            "one: install it with `pip install .`"
        )
    return module
