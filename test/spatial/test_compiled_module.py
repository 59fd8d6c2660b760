import sys
from types import SimpleNamespace

import pytest

from itk_nephi.spatial.compiled_module import compiled_module


def test_an_older_module_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_module()
    monkeypatch.setitem(sys.modules, "itk._NePhiPython", SimpleNamespace())
    with pytest.raises(ImportError, match=r"got an older one: install it with `pip install \.`"):
        compiled_module.__wrapped__()
