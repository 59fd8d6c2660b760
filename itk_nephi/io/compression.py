"""gzip files, written quickly: blocks of one stream are compressed side by side."""

from __future__ import annotations

import os
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

LEVEL = 1
"""Of zlib: noise of images hardly shrinks more at higher ones, which take several times as long."""

BLOCK = 2**22
"""Bytes that are compressed together."""

HEADER = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 4, 255])
"""RFC 1952: the format, deflate, no name and no time, compressed fast, on an unknown system."""


def compress(source: Path, target: Path) -> None:
    """Compress a file as one gzip member, which every reader takes.

    zlib leaves the interpreter's lock to others meanwhile, so that threads share the work. The
    bytes do not depend on their number.
    """
    workers = len(os.sched_getaffinity(0))
    checksum = size = 0
    with (
        source.open("rb") as file,
        target.open("wb") as out,
        ThreadPoolExecutor(workers) as pool,
    ):
        out.write(HEADER)
        waiting: deque[Future[bytes]] = deque()
        for block in iter(lambda: file.read(BLOCK), b""):
            waiting.append(pool.submit(_deflate, block))
            checksum, size = zlib.crc32(block, checksum), size + len(block)
            if len(waiting) > 2 * workers:
                out.write(waiting.popleft().result())
        for future in waiting:
            out.write(future.result())
        out.write(zlib.compressobj(LEVEL, wbits=-zlib.MAX_WBITS).flush())  # an empty last block
        out.write(checksum.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little"))


def _deflate(block: bytes) -> bytes:
    """Return a part of a deflate stream that ends at a byte and needs none before it."""
    deflater = zlib.compressobj(LEVEL, wbits=-zlib.MAX_WBITS)
    return deflater.compress(block) + deflater.flush(zlib.Z_FULL_FLUSH)
