"""What ITK does not check of DICOM files: the count of bytes, and the distances of pixels."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

UNCOMPRESSED = (b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.2")
"""The transfer syntaxes whose pixels are as they are."""

HEADER_BYTES = 2**12
"""How much of a file is searched for its transfer syntax, and for where its pixels begin."""

FRAMES, SAMPLES, ROWS, COLUMNS = "0028|0008", "0028|0002", "0028|0010", "0028|0011"
BITS, SPACING = "0028|0100", "0028|0030"


def check_dicom(path: Path, reader: Any) -> None:
    """Check that a DICOM file holds all of its pixels, and that their distances are more than 0.

    Parameters
    ----------
    path : Path
        The file.
    reader : itk.GDCMImageIO
        Which has read its header.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    tags = reader.GetMetaDataDictionary()

    def numbers(tag: str) -> list[float]:
        words = str(tags[tag]).split("\\") if tags.HasKey(tag) else []
        try:
            return [float(word) for word in words if word.strip()]
        except ValueError:
            raise ValueError(f"damaged: its tag {tag} is {tags[tag]}") from None

    if not all(math.isfinite(each) and each > 0 for each in numbers(SPACING)):
        raise ValueError(f"damaged: its pixels have a spacing of {numbers(SPACING)}")
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    found = re.search(rb"\x02\0\x10\0UI..([0-9.]+)", header, re.DOTALL)
    if found is None or found[1] not in UNCOMPRESSED:
        return
    values = math.prod((numbers(tag) or [1.0])[0] for tag in (FRAMES, SAMPLES, ROWS, COLUMNS))
    size = math.ceil(values * (numbers(BITS) or [8.0])[0] / 8)
    # an icon's pixels may come first: then the file should be even longer
    element = re.search(rb"\xe0\x7f\x10\0(O[BW]\0\0)?....", header, re.DOTALL)
    held = path.stat().st_size - (element.end() if element else 0)
    if held < size:
        raise ValueError(f"truncated: expected {size} bytes of pixels, got {held}")
