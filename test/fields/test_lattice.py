import numpy as np
import pytest
import torch

from itk_nephi.fields.interpolation import sample_grid, sample_spline
from itk_nephi.fields.lattice import Lattice
from itk_nephi.spatial.domain import ImageDomain

CPU = torch.device("cpu")
LATTICES = [Lattice((9, 6), (1.0, 0.6)), Lattice((5, 8, 6), (0.5, 1.0, 0.7))]
PARTS = [
    Lattice((5, 3), (1.0, 0.6), (3, 1), (9, 6)),
    Lattice((3, 4, 4), (0.5, 1.0, 0.7), (0, 4, 1), (5, 8, 6)),
]


@pytest.mark.parametrize("lattice", LATTICES)
def test_coords_run_from_corner_to_corner_with_i_fastest(lattice: Lattice) -> None:
    coords = lattice.coords(CPU).numpy()
    np.testing.assert_allclose(coords[0], -np.array(lattice.bounds), rtol=1e-6)
    np.testing.assert_allclose(coords[-1], lattice.bounds, rtol=1e-6)
    step = np.zeros(lattice.dimension)
    step[0] = 2 * lattice.bounds[0] / (lattice.size[0] - 1)
    np.testing.assert_allclose(coords[1] - coords[0], step, atol=1e-6)


@pytest.mark.parametrize(("whole", "part"), [*zip(LATTICES, PARTS, strict=True)])
def test_a_part_holds_points_of_the_whole(whole: Lattice, part: Lattice) -> None:
    every = whole.image(whole.coords(CPU))
    points = part.image(part.coords(CPU))
    assert torch.equal(every[(slice(None), *part.slices)], points)
    middle = points.flatten(1).amax(dim=1) / 2 + points.flatten(1).amin(dim=1) / 2
    np.testing.assert_allclose(part.center, middle, atol=1e-6)
    np.testing.assert_allclose(part.half_extent, points.flatten(1).amax(dim=1) - middle, atol=1e-6)
    torch.testing.assert_close(whole.refined(every, part), points)


def test_the_part_around_points_holds_them_and_a_margin() -> None:
    lattice = Lattice((9, 6), (1.0, 0.6))
    chosen = torch.zeros(6, 9, dtype=torch.bool)
    chosen[2, 3] = chosen[3, 7] = True
    assert lattice.around(chosen, 1) == Lattice((7, 4), (1.0, 0.6), (2, 1), (9, 6))
    assert lattice.around(chosen, 9) == lattice
    assert lattice.around(~chosen & chosen, 1) == lattice
    chosen[:] = False
    chosen[5, 8] = True
    assert lattice.around(chosen, 0).size == (2, 2)


@pytest.mark.parametrize("lattice", LATTICES)
def test_values_at_the_points_are_arranged_as_in_an_image(lattice: Lattice) -> None:
    image = lattice.image(lattice.coords(CPU))
    assert image.shape == (lattice.dimension, *reversed(lattice.size))
    assert bool((image[0].diff(dim=-1) > 0).all())
    assert bool((image[-1].diff(dim=0) > 0).all())


@pytest.mark.parametrize("lattice", [*LATTICES, *PARTS])
def test_splines_are_those_at_each_point(lattice: Lattice) -> None:
    generator = torch.Generator().manual_seed(0)
    splines = [
        torch.randn(*sizes[: lattice.dimension], 3, dtype=torch.float64, generator=generator)
        for sizes in ((4, 6, 5), (9, 7, 4))
    ]
    position = lattice.coords(CPU).double() / torch.tensor(lattice.bounds, dtype=torch.float64)
    given = torch.randn(3, *reversed(lattice.size), dtype=torch.float64, generator=generator)
    expected = given + lattice.image(sum(sample_spline(each, position) for each in splines))
    # coords are of single precision
    torch.testing.assert_close(lattice.with_splines(given, splines), expected, atol=1e-5, rtol=0)
    assert torch.equal(lattice.with_splines(given, []), given)


@pytest.mark.parametrize("lattice", [*LATTICES, *PARTS])
def test_compiled_splines_and_their_gradients_are_those_of_torch(lattice: Lattice) -> None:
    generator = torch.Generator().manual_seed(0)
    dimension = lattice.dimension
    splines = [
        torch.randn(*sizes[:dimension], dimension, generator=generator)
        for sizes in ((4, 6, 5), (9, 7, 4))
    ]
    shape = dimension, *reversed(lattice.size)
    given, cotangent = (torch.randn(shape, generator=generator) for _ in "gc")
    found = []
    for dtype, threads in ((torch.float64, 1), (torch.float32, 1), (torch.float32, 3)):
        mine = [each.to(dtype, copy=True).requires_grad_() for each in (given, *splines)]
        displacement = lattice.with_splines(mine[0], mine[1:], threads)
        (displacement * cotangent.to(dtype)).sum().backward()
        assert torch.equal(mine[0].detach(), given.to(dtype))
        found.append([displacement.detach(), *(each.grad for each in mine)])
    for exact, one, other in zip(*found, strict=True):
        torch.testing.assert_close(
            one.double(), exact, atol=1e-5 * float(exact.abs().max()), rtol=0
        )
        assert torch.equal(one, other)


@pytest.mark.parametrize("lattice", LATTICES)
def test_a_finer_lattice_interpolates_linearly(lattice: Lattice) -> None:
    finer = Lattice(tuple(2 * n + 1 for n in lattice.size), lattice.bounds)
    values = torch.rand(2, *reversed(lattice.size), generator=torch.Generator().manual_seed(0))
    position = finer.coords(CPU) / torch.tensor(lattice.bounds)
    expected = finer.image(sample_grid(values[None], position))
    torch.testing.assert_close(lattice.refined(values, finer), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(lattice.refined(values, lattice), values, rtol=0, atol=0)


def test_spacing_is_that_asked_for_but_not_below_the_voxels() -> None:
    domain = ImageDomain((41, 31, 11), (1.0, 2.0, 5.0), (0.0,) * 3, tuple(map(tuple, np.eye(3))))
    assert Lattice.spaced(domain, 1.0).size == (41, 31, 11)
    assert Lattice.spaced(domain, 4.0).size == (11, 16, 11)
    assert Lattice.spaced(domain, 1000.0).size == (2, 2, 2)
    assert Lattice.spaced(domain, 4.0).bounds == domain.bounds


def test_a_coarser_lattice_has_at_most_so_many_points_along_an_axis() -> None:
    lattice = Lattice((101, 51), (1.0, 0.5))
    assert lattice.coarser(11) == Lattice((11, 6), (1.0, 0.5))
    assert lattice.coarser(500) == lattice
