"""Awkward images in 2D and 3D: unequal sizes, anisotropic voxels, turned, far from the origin."""

import locale
from collections.abc import Iterator
from typing import Any

import itk
import numpy as np
import pytest
import torch

from itk_nephi.fields.deformation import Deformation, transform_from_deformation
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.fields.threads import torch_threads
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.transforms import compose


@pytest.fixture(autouse=True)
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compute on one thread, which is quickest for small images, above all on shared cores."""
    with torch_threads(torch.get_num_threads() if "slow" in request.keywords else 1):
        yield


@pytest.fixture(autouse=True)
def _locale() -> Iterator[None]:
    """Undo what ITK's own readers and writers do to the locale of the process."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.fixture(params=[2, 3], ids=["2D", "3D"])
def dimension(request: pytest.FixtureRequest) -> int:
    dimension: int = request.param
    return dimension


@pytest.fixture
def domain(dimension: int) -> ImageDomain:
    c, s = np.cos(0.4), np.sin(0.4)
    direction = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    if dimension == 3:
        direction = direction @ [[1, 0, 0], [0, c, -s], [0, s, c]]
    return ImageDomain(
        size=(11, 7, 5)[:dimension],
        spacing=(0.8, 1.7, 2.9)[:dimension],
        origin=(-31.0, 12.5, 107.0)[:dimension],
        direction=tuple(tuple(row) for row in direction[:dimension, :dimension].tolist()),
    )


@pytest.fixture
def image(domain: ImageDomain) -> Any:
    """Noise, as itk.Image of float."""
    values = np.random.default_rng(1).normal(size=domain.size[::-1])
    return image_from_array(values.astype(np.float32), domain)


@pytest.fixture
def affine(domain: ImageDomain) -> Any:
    """An itk.AffineTransform that turns, shears and shifts a little."""
    dimension = domain.dimension
    change = np.random.default_rng(1).uniform(-0.08, 0.08, (dimension, dimension))
    transform = itk.AffineTransform[itk.D, dimension].New()
    transform.SetMatrix(itk.matrix_from_array(np.eye(dimension) + change))
    transform.SetCenter(domain.center.tolist())
    transform.SetTranslation([2.0, -1.0, 3.0][:dimension])
    return transform


@pytest.fixture
def small_field() -> FieldSettings:
    return FieldSettings(
        width=9,
        depth=2,
        frequencies=5,
        global_code=3,
        local_channels=4,
        local_grid=5,
        spline_spacings=(6.0, 2.5),
    )


@pytest.fixture
def deformation(domain: ImageDomain, small_field: FieldSettings) -> Deformation:
    """Both fields with every number at random, so that points move by about a voxel."""
    generator = torch.Generator().manual_seed(3)
    deformation = Deformation.identity(domain, small_field, generator)
    for field in (deformation.field, deformation.inverse_field):
        torch.nn.init.normal_(field.output.weight, std=0.03, generator=generator)
        torch.nn.init.normal_(field.output.bias, std=0.03, generator=generator)
    for spline in deformation.code.splines.parameters():
        torch.nn.init.normal_(spline, std=0.03, generator=generator)
    return deformation


@pytest.fixture
def diffeomorphism(deformation: Deformation) -> Any:
    """An affine transform after a random field that does not fold and whose inverse is poor."""
    with torch.no_grad():
        for weight in (deformation.field.output.weight, *deformation.code.splines[0]):
            weight /= 30
    dimension = deformation.domain.dimension
    rng = np.random.default_rng(2)
    affine = itk.AffineTransform[itk.D, dimension].New()
    affine.SetMatrix(
        itk.matrix_from_array(np.eye(dimension) + 0.2 * rng.normal(size=[dimension] * 2))
    )
    affine.SetTranslation(rng.normal(size=dimension) * 9)
    return compose([transform_from_deformation(deformation), affine])
