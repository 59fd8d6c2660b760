from __future__ import annotations

import subprocess
import sys

import itk
import pytest

from itk_nephi.spatial import light_itk


@pytest.mark.parametrize(
    "name", ["AffineTransform", "CompositeTransform", "Image", "NePhiTransform"]
)
def test_itk_knows_the_templates_of_classes_loaded_alone(name: str) -> None:
    types = "itk.F, 3" if name == "Image" else "itk.D, 3"
    code = f"""
import itk
from itk_nephi.spatial import light_itk
loaded = light_itk.{name}[{types}]
template, parameters = itk.template(loaded)
assert parameters == ({types}), parameters
assert template is itk.{name}, template
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_stands_on_templates_works_with_classes_loaded_alone() -> None:
    code = """
import itk
import numpy as np
from itk_nephi.spatial import light_itk
transform = light_itk.AffineTransform[light_itk.D, 3].New()
assert (itk.array_from_matrix(transform.GetMatrix()) == np.eye(3)).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_class_of_others_has_no_template() -> None:
    light_itk.Object  # noqa: B018 - loads itk
    with pytest.raises(KeyError):
        itk.template(dict)
