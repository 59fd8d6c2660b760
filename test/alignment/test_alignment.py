import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import itk
import numpy as np
import pytest

from itk_nephi.alignment import rotation_search
from itk_nephi.alignment.alignment import Alignment, align
from itk_nephi.alignment.problem import AlignmentProblem
from itk_nephi.alignment.pyramid import Pyramid
from itk_nephi.alignment.rotation_search import search
from itk_nephi.alignment.rotations import small_rotations
from itk_nephi.phantoms.pairs import lung
from itk_nephi.spatial.domain import Array, ImageDomain, image_from_array, image_like
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import matrix_and_offset, transform_points

SIZE = {2: (60, 44), 3: (30, 24, 22)}
SPACING = {2: (1.1, 1.6), 3: (1.1, 1.4, 1.7)}


def rotation(dimension: int, degrees: float) -> Array:
    """A rotation; in 3D about an oblique axis."""
    if dimension == 2:
        angle = np.radians(degrees)
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = itk.VersorTransform[itk.D].New()
    turn.SetRotation([1.0, 2.0, -1.5], np.radians(degrees))
    return np.array(itk.array_from_matrix(turn.GetMatrix()))


def blobs(dimension: int, seed: int = 0) -> Callable[[Array], Array]:
    """A smooth function of points, shape (..., D), without symmetry; zero far from the origin."""
    rng = np.random.default_rng(seed)
    reach = np.array(SIZE[dimension]) * SPACING[dimension] * 0.3
    centers = rng.uniform(-1, 1, (14, dimension)) * reach
    heights, widths = rng.uniform(0.3, 1, 14), rng.uniform(2.5, 5, 14)

    def value(points: Array) -> Array:
        squares = ((points[..., None, :] - centers) ** 2).sum(axis=-1)
        return np.asarray((heights * np.exp(-squares / 2 / widths**2)).sum(axis=-1))

    return value


def grid(
    dimension: int, turned: float = 0.0, center: Any = 0.0, share: float = 1.0, unit: float = 1.0
) -> ImageDomain:
    """A turned grid with anisotropic voxels around a point."""
    size = tuple(round(n * share) for n in SIZE[dimension])
    spacing = tuple(s * unit for s in SPACING[dimension])
    direction = rotation(dimension, turned)
    half = (np.array(size) - 1) * np.array(spacing) / 2
    origin = np.broadcast_to(center, dimension) * unit - direction @ half
    return ImageDomain(
        size=size,
        spacing=spacing,
        origin=tuple(origin.tolist()),
        direction=tuple(tuple(row) for row in direction.tolist()),
    )


def drawn(function: Callable[[Array], Array], domain: ImageDomain, unit: float = 1.0) -> Any:
    return image_from_array(function(domain.grid_points() / unit).astype(np.float32), domain)


def pair(
    matrix: Array, offset: Array, *, contrast: Any = None, unit: float = 1.0
) -> tuple[Any, Any]:
    """Blobs and the same through a known map, each on a turned grid of its own."""
    dimension = len(offset)
    value = blobs(dimension)
    fixed = drawn(value, grid(dimension, 10, unit=unit), unit)
    inverse = np.linalg.inv(matrix)

    def moved(points: Array) -> Array:
        values = value((points - offset) @ inverse.T)
        return values if contrast is None else np.asarray(contrast(values))

    return fixed, drawn(moved, grid(dimension, -20, offset + 3, 1.15, unit), unit)


def voxels_off(alignment: Alignment, fixed: Any, matrix: Array, offset: Array) -> float:
    """The largest error in the inner half of the fixed image, voxels."""
    domain = ImageDomain.of(fixed)
    points = domain.grid_points().reshape(-1, domain.dimension)[::7]
    points = points[(np.abs(domain.coords_from_points(points)) < 0.5).all(axis=1)]
    errors = transform_points(alignment.transform, points) - points @ matrix.T - offset
    return float(np.linalg.norm(errors, axis=1).max() / domain.voxel_size)


def moved(one: Any, other: Any, fixed: Any) -> float:
    """The largest distance between two maps at the corners of the fixed image, voxels."""
    domain = ImageDomain.of(fixed)
    corners = np.stack(np.meshgrid(*[[-1, 1]] * domain.dimension), -1).reshape(-1, domain.dimension)
    points = domain.points_from_coords(corners * np.array(domain.bounds))
    difference = transform_points(one, points) - transform_points(other, points)
    return float(np.linalg.norm(difference, axis=1).max() / domain.voxel_size)


OFFSET = np.array([70.0, -45.0, 30.0])


def cases(*values: Any, in_space: Any) -> Any:
    """All values in the plane, and one in space, which takes ten times as long."""
    return [*((2, value) for value in values), (3, in_space)]


def stretched(dimension: int) -> Array:
    return rotation(dimension, 75) @ np.diag([1.12, 0.92, 1.06][:dimension])


@pytest.fixture(scope="module", params=[2, 3], ids=["2D", "3D"])
def aligned(request: pytest.FixtureRequest) -> tuple[Any, Any, Alignment]:
    """Two images that differ by an affine map, and their alignment."""
    fixed, moving = pair(stretched(request.param), OFFSET[: request.param])
    return fixed, moving, align(fixed, moving)


def test_of_nearly_equal_alignments_that_is_taken_which_the_images_alone_decide() -> None:
    fixed = drawn(blobs(2), grid(2))
    noise = np.random.default_rng(0).normal(size=(2, *np.asarray(fixed).shape))
    fixed, moving = (image_from_array((fixed + n).astype(np.float32), grid(2)) for n in noise)
    found = [
        align(fixed, moving, initial_transform=start).transform
        for start in (None, *(_turned(fixed, degrees) for degrees in (2, -3, 90)))
    ]
    for other in found[1:]:
        assert moved(found[0], other, fixed) < 1e-6


def _turned(fixed: Any, degrees: float) -> Any:
    turn = itk.AffineTransform[itk.D, 2].New()
    turn.SetCenter(ImageDomain.of(fixed).center.tolist())
    turn.SetMatrix(itk.matrix_from_array(rotation(2, degrees)))
    return turn


@pytest.mark.parametrize(("dimension", "degrees"), cases(37, 180, in_space=180))
def test_images_are_brought_home_from_anywhere(dimension: int, degrees: float) -> None:
    matrix, offset = rotation(dimension, degrees), OFFSET[:dimension]
    fixed, moving = pair(matrix, offset)
    found = align(fixed, moving, degrees_of_freedom="rigid")
    assert voxels_off(found, fixed, matrix, offset) < 0.1
    assert not found.ambiguous
    linear, _ = matrix_and_offset(found.transform)
    np.testing.assert_allclose(linear @ linear.T, np.eye(dimension), atol=1e-9)


def test_an_affine_alignment_finds_shears_and_scales(
    aligned: tuple[Any, Any, Alignment],
) -> None:
    fixed, _, found = aligned
    dimension = fixed.GetImageDimension()
    matrix = stretched(dimension)
    assert voxels_off(found, fixed, matrix, OFFSET[:dimension]) < 0.1
    assert found.volume_change == pytest.approx(np.linalg.det(matrix), rel=0.02)


@pytest.mark.parametrize(
    ("dimension", "degrees_of_freedom"),
    cases("translation", "similarity", in_space="similarity"),
)
def test_only_the_degrees_of_freedom_asked_for_are_used(
    dimension: int, degrees_of_freedom: str
) -> None:
    matrix = {"translation": np.eye(dimension), "similarity": 1.1 * rotation(dimension, 130)}[
        degrees_of_freedom
    ]
    fixed, moving = pair(matrix, OFFSET[:dimension])
    found = align(fixed, moving, degrees_of_freedom=degrees_of_freedom)
    assert voxels_off(found, fixed, matrix, OFFSET[:dimension]) < 0.1
    linear, _ = matrix_and_offset(found.transform)
    if degrees_of_freedom == "translation":
        np.testing.assert_allclose(linear, matrix, atol=1e-8)
    square = linear @ linear.T
    np.testing.assert_allclose(square, square[0, 0] * np.eye(dimension), atol=1e-9)


CONTRASTS: dict[str, Callable[[Array], Array]] = {
    "reversed": lambda x: 1000 - 300 * x,
    "not monotonic": lambda x: np.asarray(np.sin(3 * x)),
    "two-valued": lambda x: (x > 0.5) * 1.0,
}


@pytest.mark.parametrize(("dimension", "contrast"), cases(*CONTRASTS, in_space="not monotonic"))
def test_modalities_may_differ(dimension: int, contrast: str) -> None:
    matrix, offset = rotation(dimension, 140), OFFSET[:dimension]
    fixed, moving = pair(matrix, offset, contrast=CONTRASTS[contrast])
    found = align(fixed, moving, degrees_of_freedom="rigid")
    assert voxels_off(found, fixed, matrix, offset) < 0.5


@pytest.mark.parametrize("unit", [1e-3, 0.025, 1e3])
def test_units_do_not_matter(aligned: tuple[Any, Any, Alignment], unit: float) -> None:
    fixed, _, plain = aligned
    dimension = fixed.GetImageDimension()
    if dimension == 3 and unit > 1e-3:
        pytest.skip("in space, one unit stands for all")
    found = align(*pair(stretched(dimension), OFFSET[:dimension], unit=unit))
    linear, shift = matrix_and_offset(found.transform)
    expected_linear, expected_shift = matrix_and_offset(plain.transform)
    # the intensities at the voxels differ by the rounding of points
    np.testing.assert_allclose(linear, expected_linear, atol=1e-4)
    np.testing.assert_allclose(shift / unit, expected_shift, atol=1e-2)


def test_exchanged_images_give_the_inverse(aligned: tuple[Any, Any, Alignment]) -> None:
    fixed, moving, there = aligned
    back = align(moving, fixed)
    assert moved(there.transform, back.transform.GetInverseTransform(), fixed) < 1e-6
    assert there.similarity == back.similarity


def test_a_turn_of_space_turns_the_result(aligned: tuple[Any, Any, Alignment]) -> None:
    fixed, moving, plain = aligned
    turn = rotation(fixed.GetImageDimension(), 20)
    turned = [
        image_from_array(np.asarray(image), ImageDomain.of(image).turned(turn))
        for image in (fixed, moving)
    ]
    found = align(*turned)
    expected = turn @ matrix_and_offset(plain.transform)[0] @ turn.T
    np.testing.assert_allclose(matrix_and_offset(found.transform)[0], expected, atol=1e-12)
    assert found.similarity == plain.similarity


def test_a_mirrored_grid_does_not_mirror_the_result(dimension: int) -> None:
    matrix, offset = rotation(dimension, 110), OFFSET[:dimension]
    fixed, moving = pair(matrix, offset)
    domain = ImageDomain.of(moving)
    last = [domain.size[0] - 1] + [0] * (dimension - 1)
    stored = replace(
        domain,
        origin=tuple(domain.points_from_index(last).tolist()),
        direction=tuple((-row[0], *row[1:]) for row in domain.direction),
    )
    flipped = image_from_array(np.asarray(moving)[..., ::-1], stored)
    found = align(fixed, flipped, degrees_of_freedom="rigid")
    assert voxels_off(found, fixed, matrix, offset) < 0.1
    assert found.volume_change == pytest.approx(1)


@pytest.mark.parametrize(("dimension", "picture"), cases("noise", "blob", "chest", in_space="blob"))
def test_an_image_stays_on_itself(dimension: int, picture: str) -> None:
    domain = grid(dimension, 30, OFFSET[:dimension])
    points = domain.grid_points()
    noise = np.random.default_rng(0).random(points.shape[:-1])
    squares = ((points - domain.center) ** 2).sum(axis=-1)
    image = {
        "noise": image_from_array(noise.astype(np.float32), domain),
        "blob": image_from_array((np.exp(-squares / 18) + 0.02 * noise).astype(np.float32), domain),
        "chest": lung(dimension, size={2: (48, 40), 3: (32, 28, 24)}[dimension]).pair.fixed_image,
    }[picture]
    with warnings.catch_warnings():
        warnings.simplefilter("default" if picture != "blob" else "ignore")
        found = align(image, image)
    identity = itk.TranslationTransform[itk.D, dimension].New()
    assert moved(found.transform, identity, image) < 1e-6


@pytest.fixture(scope="module", params=[2, 3], ids=["2D", "3D"])
def chest(request: pytest.FixtureRequest) -> ImagePair:
    return lung(request.param, size={2: (96, 64), 3: (48, 40, 36)}[request.param], motion=20).pair


@pytest.fixture(scope="module")
def aligned_chest(chest: ImagePair) -> Alignment:
    return align(
        chest.fixed_image,
        chest.moving_image,
        fixed_mask=chest.fixed_mask,
        moving_mask=chest.moving_mask,
    )


def test_masks_follow_organs(chest: ImagePair, aligned_chest: Alignment) -> None:
    fixed_landmarks, moving_landmarks = chest.evaluation_landmarks
    landmarks = np.c_[fixed_landmarks, np.ones(len(fixed_landmarks))]
    best = np.linalg.lstsq(landmarks, moving_landmarks, rcond=None)[0]
    least = np.linalg.norm(landmarks @ best - moving_landmarks, axis=1).mean()
    errors = transform_points(aligned_chest.transform, fixed_landmarks) - moving_landmarks
    before = np.linalg.norm(fixed_landmarks - moving_landmarks, axis=1).mean()
    assert before > 2 * least
    # a fifth of a voxel from the best affine map there is
    assert np.linalg.norm(errors, axis=1).mean() < least + 1


@pytest.mark.parametrize("value", [-2000.0, 1e20, np.nan])
def test_voxels_outside_masks_change_nothing(
    chest: ImagePair, aligned_chest: Alignment, value: float
) -> None:
    if chest.dimension == 3 and value < 1e20:
        pytest.skip("in space, NaN and infinity stand for all")
    images = [
        image_from_array(
            np.where(np.asarray(mask) > 0, np.asarray(image), np.float32(value)),
            ImageDomain.of(image),
        )
        for image, mask in (
            (chest.fixed_image, chest.fixed_mask),
            (chest.moving_image, chest.moving_mask),
        )
    ]
    # a soft mask of zeros and ones is a mask, too
    soft = image_from_array(
        np.asarray(chest.fixed_mask, dtype=np.float32), ImageDomain.of(chest.fixed_image)
    )
    found = align(*images, fixed_mask=soft, moving_mask=chest.moving_mask)
    parameters = list(aligned_chest.transform.GetParameters())
    assert list(found.transform.GetParameters()) == parameters


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(
    ("scale", "offset"), [(1, 1e8), (1, 1e10), (1, -1e12), (1e-60, 0), (1e60, 0), (1e-60, 1e-52)]
)
def test_extreme_intensities_are_aligned_as_usual_ones(
    scale: float, offset: float, masked: bool
) -> None:
    fixed = drawn(blobs(2), grid(2))
    values = np.asarray(fixed).astype(np.float64)
    fixed, moving = (
        image_like(fixed, scale * each + offset) for each in (values, np.roll(values, 4, axis=1))
    )
    mask = image_like(fixed, np.ones(values.shape, np.uint8)) if masked else None
    found = align(
        fixed, moving, degrees_of_freedom="translation", fixed_mask=mask, moving_mask=mask
    )
    expected = np.array([4 * SPACING[2][0], 0])
    moves = np.array(found.transform.TransformPoint([0.0, 0.0]))
    np.testing.assert_allclose(moves, expected, atol=0.1)


@pytest.mark.parametrize("dimension", [2])
def test_weights_of_a_soft_mask_count(dimension: int) -> None:
    fixed, moving = pair(np.eye(dimension), OFFSET[:dimension])
    domain = ImageDomain.of(fixed)
    weights = np.linspace(0, 1, domain.size[0], dtype=np.float32) * np.ones(domain.size[::-1])
    mask = image_from_array(weights.astype(np.float32), domain)
    found = align(fixed, moving, fixed_mask=mask)
    assert voxels_off(found, fixed, np.eye(dimension), OFFSET[:dimension]) < 0.1
    assert found.similarity != align(fixed, moving).similarity


@pytest.mark.parametrize("dimension", [2])
def test_channels_are_compared_with_their_counterparts(dimension: int) -> None:
    matrix, offset = rotation(dimension, 100), OFFSET[:dimension]
    fixed, moving = pair(matrix, offset)
    noise = [
        image_from_array(
            np.random.default_rng(seed).random(np.asarray(image).shape).astype(np.float32),
            ImageDomain.of(image),
        )
        for seed, image in enumerate((fixed, moving))
    ]
    found = align([noise[0], fixed], [noise[1], moving], degrees_of_freedom="rigid")
    assert voxels_off(found, fixed, matrix, offset) < 0.3


def test_a_good_start_is_taken_where_the_search_cannot_reach(dimension: int) -> None:
    matrix, offset = 2.2 * rotation(dimension, 30), OFFSET[:dimension]
    value = blobs(dimension)
    fixed = drawn(value, grid(dimension))
    inverse = np.linalg.inv(matrix)
    moving = drawn(lambda points: value((points - offset) @ inverse.T), grid(dimension, 0, offset))
    start = itk.AffineTransform[itk.D, dimension].New()
    start.SetMatrix(itk.matrix_from_array(matrix))
    start.SetOffset(offset.tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = align(fixed, moving, initial_transform=start)
    assert found.reached_from == "initial_transform"
    assert voxels_off(found, fixed, matrix, offset) < 0.2


@pytest.mark.parametrize("dimension", [2])
def test_the_start_is_returned_where_nothing_better_is_found(dimension: int) -> None:
    matrix, offset = np.diag([1.5, 0.7, 1.0][:dimension]), OFFSET[:dimension]
    fixed, moving = pair(matrix, offset)
    start = itk.AffineTransform[itk.D, dimension].New()
    start.SetMatrix(itk.matrix_from_array(matrix))
    start.SetOffset(offset.tolist())
    with pytest.warns(UserWarning, match="no alignment was found that is better"):
        found = align(fixed, moving, degrees_of_freedom="rigid", initial_transform=start)
    assert voxels_off(found, fixed, matrix, offset) < 1e-3


@pytest.mark.parametrize("dimension", [2])
def test_a_translation_keeps_the_linear_part_of_the_start(dimension: int) -> None:
    matrix, offset = 1.1 * rotation(dimension, 50), OFFSET[:dimension]
    fixed, moving = pair(matrix, offset)
    start = itk.AffineTransform[itk.D, dimension].New()
    start.SetMatrix(itk.matrix_from_array(matrix))
    found = align(fixed, moving, degrees_of_freedom="translation", initial_transform=start)
    np.testing.assert_allclose(matrix_and_offset(found.transform)[0], matrix, atol=1e-8)
    assert voxels_off(found, fixed, matrix, offset) < 0.1


@pytest.mark.parametrize(("share", "limit"), [(0.0035, 0.5), (0.02, 2.0)])
def test_hot_voxels_do_not_hide_the_image(share: float, limit: float) -> None:
    matrix = rotation(2, 30)
    images = pair(matrix, OFFSET[:2])
    for seed, image in enumerate(images):
        values = itk.array_view_from_image(image)
        values[np.random.default_rng(seed).random(values.shape) < share] = 500
    found = align(*images, degrees_of_freedom="rigid")
    assert voxels_off(found, images[0], matrix, OFFSET[:2]) < limit


def test_images_with_nothing_in_common_are_doubted() -> None:
    images = [itk.image_from_array(np.random.default_rng(seed).random((70, 80))) for seed in (0, 1)]
    with pytest.warns(UserWarning, match="there is nothing to align them by"):
        align(*images)


def test_a_wrong_spacing_is_undone_and_warned_of(dimension: int) -> None:
    value = blobs(dimension)
    fixed = drawn(value, grid(dimension))
    stretch = np.array([2.1, *[1.0] * (dimension - 1)])
    domain = ImageDomain.of(fixed)
    stretched = replace(
        domain,
        spacing=tuple((np.array(domain.spacing) * stretch).tolist()),
        origin=tuple((np.array(domain.origin) * stretch).tolist()),
    )
    moving = image_from_array(itk.array_view_from_image(fixed), stretched)
    with pytest.warns(UserWarning, match=r"one direction 2\.1 times as much as another: check"):
        found = align(fixed, moving)
    matrix, _ = matrix_and_offset(found.transform)
    np.testing.assert_allclose(matrix, np.diag(stretch), atol=0.02)


def test_a_ball_is_ambiguous(dimension: int) -> None:
    domain = grid(dimension)
    squares = (domain.grid_points() ** 2).sum(axis=-1)
    noise = np.random.default_rng(0).normal(size=(2, *squares.shape))
    images = [
        image_from_array((np.exp(-squares / 50) + 0.01 * part).astype(np.float32), domain)
        for part in noise
    ]
    with pytest.warns(UserWarning, match="ambiguous"):
        assert align(*images, degrees_of_freedom="rigid").ambiguous


def test_a_mirrored_image_is_not_mirrored_back(dimension: int) -> None:
    """Two halves that differ a little, as those of a head do."""
    domain = grid(dimension)
    place = domain.grid_points()
    half = blobs(dimension, 3)
    mirror = np.array([-1.0, *[1.0] * (dimension - 1)])
    values = half(place) + half(place * mirror) + 0.3 * blobs(dimension, 5)(place)
    fixed = image_from_array(values.astype(np.float32), domain)
    moving = image_from_array(values[..., ::-1].astype(np.float32), domain)
    with pytest.warns(UserWarning, match="mirror image"):
        found = align(fixed, moving)
    assert found.ambiguous
    assert found.volume_change > 0


def test_threads_do_not_change_the_bits() -> None:
    program = """
import warnings
warnings.simplefilter("ignore")
from itk_nephi.alignment.alignment import align
from itk_nephi.phantoms import lung
chest = lung(3, size=(40, 36, 32), motion=10).pair
transform = align(chest.fixed_image, chest.moving_image).transform
print([x.hex() for x in transform.GetParameters()])
"""
    outputs = set()
    for threads in ("1", "3"):
        environment = {
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": threads,
            "PYTHONPATH": ":".join(sys.path),
        }
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True
        )
        outputs.add(run.stdout)
    assert len(outputs) == 1


def mirrored_start(dimension: int) -> Any:
    start = itk.AffineTransform[itk.D, dimension].New()
    start.Scale(-1.0)
    if dimension == 2:
        start.SetMatrix(itk.matrix_from_array(np.diag([-1.0, 1.0])))
    return start


def test_what_does_not_fit_together_is_refused(image: Any, domain: ImageDomain) -> None:
    values = np.asarray(image)
    dimension = domain.dimension
    with pytest.raises(ValueError, match="degrees_of_freedom to be one of"):
        align(image, image, degrees_of_freedom="9")
    with pytest.raises(ValueError, match="as many fixed as moving channels"):
        align([image, image], image)
    other = drawn(blobs(5 - dimension), grid(5 - dimension))
    colors = itk.image_from_array(np.ones((4, 5, 3), np.uint8), is_vector=True)
    with pytest.raises(TypeError, match="moving to have scalar pixels, got 3 components a pixel"):
        align(image, colors)
    with pytest.raises(ValueError, match="of the same dimension"):
        align(image, other)
    elsewhere = replace(domain, origin=tuple(x + 1 for x in domain.origin))
    with pytest.raises(ValueError, match="on one grid"):
        align([image, image_from_array(values, elsewhere)], [image, image])
    with pytest.raises(ValueError, match="on one grid"):
        align(image, image, fixed_mask=image_from_array(values, elsewhere))
    with pytest.raises(ValueError, match="to be finite"):
        align(image_from_array(np.where(values > 1, np.nan, values), domain), image)
    with pytest.raises(ValueError, match="to have contrast"):
        align(image, image_from_array(np.ones_like(values), domain))
    mask = np.ones_like(values)
    with pytest.raises(ValueError, match="empty mask"):
        align(image, image, moving_mask=image_from_array(0 * mask, domain))
    mask[0] = np.nan
    with pytest.raises(ValueError, match="mask of the moving image to be finite"):
        align(image, image, moving_mask=image_from_array(mask, domain))
    mask[0], mask[1] = 0.5, 1.1
    with pytest.raises(ValueError, match="from 0 to 1 where it is soft"):
        align(image, image, moving_mask=image_from_array(mask, domain))
    with pytest.raises(ValueError, match="initial_transform to mirror nothing"):
        align(image, image, initial_transform=mirrored_start(dimension))
    with pytest.raises(ValueError, match="initial_transform to be a linear transform"):
        align(image, image, initial_transform=mirrored_start(5 - dimension))


def test_low_frequencies_lose_none_of_the_best_rotations(monkeypatch: pytest.MonkeyPatch) -> None:
    images = lung(3, size=(40, 36, 32), seed=2).pair.images
    turned = image_from_array(
        itk.array_from_image(images["moving"]),
        replace(ImageDomain.of(images["moving"]), direction=grid(3, 70.0).direction),
    )
    pyramids = (Pyramid([images["fixed"]], None, "fixed"), Pyramid([turned], None, "moving"))
    levels = AlignmentProblem(pyramids, 3).levels[0]
    some, _ = search(*levels, small_rotations(3), masked=False)
    monkeypatch.setattr(rotation_search, "PROMISING", 1000)
    every, _ = search(*levels, small_rotations(3), masked=False)
    assert len(every) == 648 > len(some)
    np.testing.assert_array_equal(some[:24], every[:24])
