from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import numpy as np
import pytest

from itk_nephi.io import compression
from itk_nephi.io.compression import compress


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 12_345])
def test_what_is_compressed_is_read_again(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "BLOCK", 1000)
    content = np.random.default_rng(size).integers(0, 9, size, np.uint8).tobytes()
    (tmp_path / "plain").write_bytes(content)
    compress(tmp_path / "plain", tmp_path / "packed")
    packed = (tmp_path / "packed").read_bytes()
    assert gzip.decompress(packed) == content
    # one member: nothing is left for readers that take only the first
    first = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    assert first.decompress(packed) == content
    assert first.eof
    assert not first.unused_data


def test_the_bytes_do_not_depend_on_the_number_of_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "BLOCK", 1000)
    (tmp_path / "plain").write_bytes(np.arange(20_000, dtype=np.int16).tobytes())
    for cores in (1, 5):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        compress(tmp_path / "plain", tmp_path / f"packed-{cores}")
    assert (tmp_path / "packed-1").read_bytes() == (tmp_path / "packed-5").read_bytes()
