"""A DICOM series in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import itk


def write_series(folder: Path, values: Any, number: int, *, aside: float = 0) -> str:
    """Write slices as a DICOM series, each aside of the one below, mm, and return its UID."""
    folder.mkdir(exist_ok=True)
    uid = f"1.2.826.0.1.3680043.2.1125.{number}"
    for index, plane in enumerate(values):
        image = itk.image_from_array(plane[None])
        image.SetOrigin([3.0, 4.0 + aside * index, 2.5 * index])
        image.SetSpacing([0.5, 0.75, 2.5])
        dictionary = image.GetMetaDataDictionary()
        for tag, value in {
            "0020|000d": f"{uid}.1",
            "0020|000e": uid,
            "0008|0060": "CT",
            "0020|0013": str(index),
            "0020|0032": f"3\\{4 + aside * index}\\{2.5 * index}",
            "0018|0050": "2.5",
        }.items():
            dictionary[tag] = value
        writer = itk.ImageFileWriter[type(image)].New(
            image, file_name=str(folder / f"{number}-{index}.dcm")
        )
        io = itk.GDCMImageIO.New()
        io.KeepOriginalUIDOn()
        writer.SetImageIO(io)
        writer.Update()
    return uid
