"""The files of an image: its header and, where they are apart, its voxels."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from itk_nephi.io.errors import READING_ERRORS, plain_words

HEADER_BYTES = 2**24
"""The longest header of text that is read."""


def image_suffix(path: Path) -> str:
    """Return the suffix of an image file in lower case; of a compressed one that below .gz."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def lower_suffix(path: Path) -> str:
    """Return the name of an image file with its suffix in lower case, as ITK's readers want it."""
    stem = path.name[: -len(".gz")] if path.name.lower().endswith(".gz") else path.name
    end = Path(stem).suffix + path.name[len(stem) :]
    return path.name.removesuffix(end) + end.lower()


def image_files(path: Path) -> dict[str, Path]:
    """Return the files of an image by the names that ITK looks for, the given one first.

    Those that do not exist are left out: reading reports them.
    """
    files = {lower_suffix(path): path}
    try:
        if image_suffix(path) in (".hdr", ".img"):
            halves = [half_of_pair(path, suffix) for suffix in (".hdr", ".img")]
            files |= {lower_suffix(half): half for half in halves}
        elif image_suffix(path) in (".mha", ".mhd", ".nrrd", ".nhdr"):
            is_meta = image_suffix(path) in (".mha", ".mhd")
            fields, _ = meta_fields(path) if is_meta else nrrd_fields(path)
            name = named_voxels(fields)
            files |= {} if name is None else {name: voxels_beside(path, name)}
    except (OSError, ValueError):
        pass
    return files


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """Give a path whose suffix is in lower case, as ITK's readers want it, its voxels beside it."""
    files = {} if path.is_dir() else image_files(path)
    if all(path.parent / name == file for name, file in files.items()):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, file in files.items():
            link = Path(folder) / name
            if link.is_relative_to(folder) and ".." not in link.parts:
                link.parent.mkdir(exist_ok=True, parents=True)
                link.symlink_to(file.absolute())
        try:
            yield Path(folder) / next(iter(files))
        except READING_ERRORS as error:
            raise ValueError(plain_words(error).replace(folder, str(path.parent))) from error


def half_of_pair(path: Path, suffix: str) -> Path:
    """Return the file of a NIfTI pair that has a suffix, compressed or not; given is either."""
    if image_suffix(path) == suffix:
        return path
    stem = re.sub(r"\.(hdr|img)(\.gz)?$", "", path.name, flags=re.I)
    ends = [end + packed for end in (suffix, suffix.upper()) for packed in ("", ".gz", ".GZ")]
    found = [half for end in ends if (half := path.with_name(stem + end)).is_file()]
    if not found:
        raise ValueError(f"half of a pair, whose other half, {stem}{suffix}, does not exist")
    return found[0]


def is_second_half(path: Path) -> bool:
    """Whether a file is the half of a NIfTI pair with the voxels, and the other lies beside it."""
    return image_suffix(path) == ".img" and len(image_files(path)) > 1


def meta_fields(path: Path) -> tuple[dict[str, str], int]:
    """Return the entries of the header of a MetaImage, keys in lower case, and where it ends."""
    fields, end = _fields(path, rb"^\s*(\w+)\s*=\s*(.*?)\s*$", rb"^\s*ElementDataFile\s*=")
    return {"elementdatafile": ""} | fields, end


def nrrd_fields(path: Path) -> tuple[dict[str, str], int]:
    """Return the entries of the header of a NRRD file, keys in lower case, and where it ends."""
    return _fields(path, rb"^([\w ]+?)\s*:=?\s*(.*?)\s*$", rb"^\s*$")


def named_voxels(fields: dict[str, str]) -> str | None:
    """Return the file that a header names for the voxels; None if they follow the header."""
    name = fields.get("elementdatafile", fields.get("data file", fields.get("datafile")))
    return None if name is None or name.upper() == "LOCAL" else name


def voxels_beside(path: Path, name: str) -> Path:
    """Return the file of voxels that a header names, in the folder of the header."""
    if not name:
        raise ValueError("truncated or damaged: its header names no voxels")
    if "%" in name or name.upper().startswith("LIST"):
        raise ValueError(f"its voxels are in several files, {name!r}: save it as one")
    target = path.parent / name
    if not target.is_file():
        raise ValueError(f"its header names {name} for the voxels, which does not exist")
    return target


def _fields(path: Path, entry: bytes, last: bytes) -> tuple[dict[str, str], int]:
    fields = {}
    with path.open("rb") as file:
        while line := file.readline(HEADER_BYTES):
            found = re.match(entry, line.rstrip(b"\r\n"))
            if found:
                fields[found[1].decode("latin-1").lower()] = found[2].decode("latin-1")
            if re.match(last, line.rstrip(b"\r\n")):
                return fields, file.tell()
            if file.tell() >= HEADER_BYTES:
                raise ValueError(
                    f"expected a header of at most {HEADER_BYTES / 2**20:g} MiB, got a longer one"
                )
        # a detached header may end without an empty line
        return fields, file.tell()
