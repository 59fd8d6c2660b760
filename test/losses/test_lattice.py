import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from itk_nephi.fields.compiled import torch_alone
from itk_nephi.fields.lattice import Lattice
from itk_nephi.fields.sampled_image import SampledImage, SampledTransform
from itk_nephi.losses.lattice import (
    LEAST_FLOOR,
    Contrast,
    LatticeImages,
    composition_energy,
    local_dissimilarity,
    spline_diffusion,
    with_contrast,
)
from itk_nephi.spatial.domain import ImageDomain

SIZES = {2: (13, 17), 3: (9, 11, 14)}
MANY_SLABS = {2: (9, 100), 3: (7, 6, 100)}
THIN = {2: (17, 2), 3: (9, 11, 3)}


def _domain(size: tuple[int, ...]) -> ImageDomain:
    dimension = len(size)
    spacing, origin = (1.5, 1.0, 2.5)[:dimension], (30.0, -7.0, 2.0)[:dimension]
    return ImageDomain(size, spacing, origin, tuple(map(tuple, np.eye(dimension).tolist())))


def _smooth(size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return noise smoothed over three voxels, shape (1, 1, k, j, i)."""
    values = torch.randn(1, 1, *reversed([n + 2 for n in size]), generator=generator)
    pool = {2: torch.nn.functional.avg_pool2d, 3: torch.nn.functional.avg_pool3d}
    return 3 * pool[len(size)](values, 3, stride=1)


def _images(size: tuple[int, ...], *, masks: bool, seed: int = 0) -> tuple[LatticeImages, Tensor]:
    """Return oblique images to compare, and a displacement, both of single precision."""
    generator = torch.Generator().manual_seed(seed)
    dimension = len(size)
    domain = _domain(size)
    other_size = tuple(n + 3 for n in size)
    grid = _domain(other_size)
    matrix = np.eye(dimension)
    matrix[0, 1], matrix[1, 0] = 0.02, -0.01
    offset = grid.center - matrix @ domain.center
    space_map = SampledTransform(matrix, offset)
    lattice = Lattice(size, domain.bounds)
    reference = _smooth(size, generator)[0, 0]
    weights = other_weights = None
    if masks:
        weights = (torch.rand(reference.shape, generator=generator) > 0.3).float()
        soft = torch.rand(1, 1, *reversed(other_size), generator=generator)
        other_weights = SampledImage(soft, grid, domain, space_map)
    images = LatticeImages(
        lattice=lattice,
        reference=reference,
        inside=torch.ones_like(reference),
        reference_weights=weights,
        other=SampledImage(_smooth(other_size, generator), grid, domain, space_map),
        other_weights=other_weights,
    )
    displacement = 0.03 * torch.randn(dimension, *reversed(size), generator=generator)
    return images, displacement


def _part(lattice: Lattice) -> Lattice:
    first = (1, 2, 3)[: lattice.dimension]
    size = tuple(n - 1 - k for n, k in zip(lattice.size, first, strict=True))
    return Lattice(size, lattice.bounds, first, lattice.size)


def _with_gradient(images: LatticeImages, displacement: Tensor, threads: int = 1) -> list[Tensor]:
    displacement = displacement.clone().requires_grad_()
    loss = local_dissimilarity(displacement, images, radius=2, floor=0.05, threads=threads)
    (2 * loss).backward()
    assert displacement.grad is not None
    return [loss.detach(), displacement.grad]


@pytest.mark.parametrize("size", [*SIZES.values(), *MANY_SLABS.values(), *THIN.values()])
@pytest.mark.parametrize("masks", [False, True])
def test_compiled_correlation_is_that_of_torch(size: tuple[int, ...], masks: bool) -> None:
    images, displacement = _images(size, masks=masks)
    loss, gradient = _with_gradient(images, displacement)
    with torch_alone():
        expected, expected_gradient = _with_gradient(images, displacement)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    tolerance = 1e-4 * float(expected_gradient.abs().max())
    torch.testing.assert_close(gradient, expected_gradient, atol=tolerance, rtol=0)


@pytest.mark.parametrize("dimension", [2, 3])
def test_correlation_is_that_of_its_windows_one_by_one(dimension: int) -> None:
    images, displacement = _images(SIZES[dimension], masks=True)
    coords = images.lattice.coords(torch.device("cpu")) + displacement.flatten(1).T
    moved, is_inside = images.other(coords)
    values, inside = (images.lattice.image(each).numpy() for each in (moved[:, 0], is_inside))
    assert images.other_weights is not None
    assert images.reference_weights is not None
    weights = images.lattice.image(images.other_weights(coords)[0])[0].numpy() * inside
    weights = weights * images.reference_weights.numpy()
    reference = images.reference.numpy()
    total = 0.0
    for center in itertools.product(*map(range, reference.shape)):
        window = tuple(slice(max(c - 2, 0), c + 3) for c in center)
        chosen = inside[window] > 0
        if weights[center] == 0:
            continue
        first, second = (each[window][chosen].astype(float) for each in (reference, values))
        covariance = np.mean(first * second) - first.mean() * second.mean()
        correlation = covariance * abs(covariance) / (first.var() + 0.05) / (second.var() + 0.05)
        total += weights[center] * correlation
    found = local_dissimilarity(displacement, images, radius=2, floor=0.05, threads=1)
    assert float(found) == pytest.approx(1 - total / weights.sum(), abs=1e-5)


@pytest.mark.parametrize("size", MANY_SLABS.values())
def test_correlation_is_the_same_on_any_number_of_threads(size: tuple[int, ...]) -> None:
    images, displacement = _images(size, masks=True)
    for one, other in zip(
        _with_gradient(images, displacement, 1),
        _with_gradient(images, displacement, 3),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_a_linear_relation_is_a_perfect_match_and_its_inverse_the_worst() -> None:
    images, displacement = _images(SIZES[3], masks=False)
    still = torch.zeros_like(displacement)
    same = SampledImage(images.reference[None, None], _domain(SIZES[3]), _domain(SIZES[3]))
    for factor, expected in ((4.0, 0.0), (-4.0, 2.0)):
        compared = LatticeImages(
            lattice=images.lattice,
            reference=factor * images.reference + 7,
            inside=images.inside,
            other=same,
        )
        found = local_dissimilarity(still, compared, radius=2, floor=1e-6, threads=1)
        assert float(found) == pytest.approx(expected, abs=1e-3)


def test_nothing_is_compared_where_a_mask_is_empty() -> None:
    images, displacement = _images(SIZES[3], masks=True)
    assert images.reference_weights is not None
    images.reference_weights.zero_()
    loss, gradient = _with_gradient(images, displacement)
    assert float(loss) == 1
    assert not gradient.any()


def _energies_and_gradients(
    there: Tensor, back: Tensor, lattice: Lattice, stride: int, threads: int = 1
) -> list[Tensor]:
    there, back = (each.clone().requires_grad_() for each in (there, back))
    energies = composition_energy(there, back, lattice, (1, 3), stride=stride, threads=threads)
    (2 * energies[0]).backward()
    torch.testing.assert_close(energies[0], energies[1] + 3 * energies[2])
    assert there.grad is not None
    assert back.grad is not None
    return [*(each.detach() for each in energies), there.grad, back.grad]


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("part", [False, True])
def test_compiled_composition_is_that_of_torch(dimension: int, stride: int, part: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    lattice = Lattice(SIZES[dimension], _domain(SIZES[dimension]).bounds)
    if part:
        lattice = _part(lattice)
    there, back = (
        0.2 * torch.randn(dimension, *reversed(lattice.size), generator=generator) for _ in "tb"
    )
    found = _energies_and_gradients(there, back, lattice, stride)
    assert all(
        torch.equal(*both)
        for both in zip(
            found, _energies_and_gradients(there, back, lattice, stride, 3), strict=True
        )
    )
    with torch_alone():
        expected = _energies_and_gradients(there, back, lattice, stride)
    for one, other in zip(found, expected, strict=True):
        tolerance = 1e-5 * float(other.abs().max())
        torch.testing.assert_close(one, other, atol=tolerance, rtol=0)


@pytest.mark.parametrize("dimension", [2, 3])
def test_energies_of_linear_maps_have_their_closed_form(dimension: int) -> None:
    lattice = Lattice(SIZES[dimension], _domain(SIZES[dimension]).bounds)
    generator = torch.Generator().manual_seed(1)
    matrices = 0.02 * torch.randn(2, dimension, dimension, generator=generator)
    # points stay in the box, where the outer displacement is linear
    first, second = matrices - 0.3 * torch.eye(dimension)
    coords = lattice.coords(torch.device("cpu"))
    for matrix in (first, second):
        assert bool(((coords + coords @ matrix.T).abs() <= torch.tensor(lattice.bounds)).all())
    there, back = (lattice.image(coords @ matrix.T) for matrix in (first, second))
    energies = composition_energy(there, back, lattice, (1, 1), stride=1, threads=1)
    one = torch.eye(dimension)
    differences = [
        (one + outer) @ (one + inner) - one for inner, outer in ((first, second), (second, first))
    ]
    gradicon = sum(each.square().mean() for each in differences) / 2
    residual = sum((coords @ each.T).square().mean() for each in differences) / 2
    torch.testing.assert_close(energies[1], gradicon, rtol=1e-3, atol=0)
    torch.testing.assert_close(energies[2], residual, rtol=1e-3, atol=0)


@pytest.mark.parametrize("dimension", [2, 3])
def test_diffusion_of_a_linear_spline_is_the_mean_square_of_its_matrix(dimension: int) -> None:
    cells = (60, 50, 40)[:dimension]
    lattice = Lattice((7, 5, 6)[:dimension], (1.0, 0.8, 0.5)[:dimension])
    # coefficients of a linear function are its values at the knots, one beyond each border
    axes = [
        torch.linspace(-b - 2 * b / count, b + 2 * b / count, count + 3)
        for b, count in zip(lattice.bounds, cells, strict=True)
    ]
    knots = torch.stack(torch.meshgrid(*reversed(axes), indexing="ij")[::-1], dim=-1)
    matrix = torch.tensor([[0.1, -0.2, 0.05], [0.3, 0.02, 0.1], [-0.1, 0.2, 0.15]])
    matrix = matrix[:dimension, :dimension]
    mean_square = float(matrix.square().mean())
    linear = knots @ matrix.T + 0.7
    # what reaches beyond the border counts as well
    beyond = np.prod([(count + 3) / count for count in cells])
    assert mean_square < float(spline_diffusion([linear], lattice)) < beyond * mean_square
    both = spline_diffusion([linear, 2 * linear], lattice)
    torch.testing.assert_close(both, 5 * spline_diffusion([linear], lattice))
    assert spline_diffusion([torch.ones_like(linear)], lattice) == 0


def test_diffusion_is_per_volume_that_is_compared() -> None:
    generator = torch.Generator().manual_seed(0)
    spline = torch.randn(7, 9, 2, generator=generator)
    whole = Lattice((13, 17), (1.0, 0.7))
    part = Lattice((7, 9), (1.0, 0.7), first=(2, 3), whole=(13, 17))
    energies = [spline_diffusion([spline], each) for each in (whole, part)]
    torch.testing.assert_close(4 * energies[0], energies[1])


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_part_of_a_lattice_sees_what_the_whole_sees_there(dimension: int) -> None:
    images, displacement = _images(SIZES[dimension], masks=False)
    part = _part(images.lattice)
    inner = tuple(slice(each.start + 2, each.stop - 2) for each in part.slices)
    weights = torch.zeros_like(images.reference)
    weights[inner] = 1
    whole = replace(images, reference_weights=weights)
    cut = replace(
        whole,
        lattice=part,
        **{
            name: getattr(whole, name)[part.slices].contiguous()
            for name in ("reference", "inside", "reference_weights")
        },
    )
    every = (slice(None), *part.slices)
    loss, gradient = _with_gradient(whole, displacement)
    part_loss, part_gradient = _with_gradient(cut, displacement[every])
    torch.testing.assert_close(part_loss, loss)
    torch.testing.assert_close(part_gradient, gradient[every])


@pytest.mark.parametrize("dimension", [2, 3])
def test_where_an_image_is_constant_there_is_no_contrast(dimension: int) -> None:
    image = torch.full((1,) + (21,) * dimension, 5.0)
    image[(0,) + (slice(8, 11),) * dimension] += 1
    inside = torch.ones(image.shape[1:])
    inside[0] = 0
    found = with_contrast(image, inside, 2)
    expected = torch.zeros_like(found)
    expected[(slice(6, 13),) * dimension] = 1  # all whose window of 5 reaches the square
    torch.testing.assert_close(found, expected)
    assert not with_contrast(image[:, :1], inside[:1], 2).any()
    thin = with_contrast(image[:, 9:11], inside[9:11], 2)
    torch.testing.assert_close(thin, expected[9:11])


def test_contrast_in_few_windows_is_sparse_and_raises_the_floor() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(40, 40, 40, generator=generator)
    even = Contrast.of(noise, None, 2)
    assert even.mean == pytest.approx(1 - 1 / 125, abs=0.02)
    assert even.sparsity == pytest.approx(1, abs=0.05)
    assert even.floor == LEAST_FLOOR
    few = 0.1 * noise
    few[:8] *= 20
    sparse = Contrast.of(few, None, 2)
    assert sparse.sparsity > 10
    assert sparse.floor > 0.5
    inside = torch.zeros_like(few)
    inside[10:] = 1
    assert Contrast.of(few, inside, 2).sparsity == pytest.approx(1, abs=0.1)
    assert Contrast.of(few, 0 * inside, 2) == (0, 0)
