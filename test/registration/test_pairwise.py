import csv
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
import torch
from support.registrations import HASTY, parts, same_bits, stored_otherwise

from itk_nephi.evaluation.metrics import (
    folding_fraction,
    inverse_consistency_errors,
    jacobian_determinant_image,
    landmark_errors,
)
from itk_nephi.fields.deformation import deformation_from_transform
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.fields.threads import torch_threads
from itk_nephi.losses.settings import SIMILARITIES, SimilarityName
from itk_nephi.phantoms.pairs import deformed_shape, lung
from itk_nephi.registration.instance_optimization import RegistrationSettings
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.result import Progress, Registration
from itk_nephi.registration.settings import PresetName
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import compose, flatten, transform_points

LUNG = Path(__file__).resolve().parents[3] / "shared" / "data" / "lung"

SMALL = RegistrationSettings(
    field=FieldSettings(width=32, frequencies=16, global_code=4, local_channels=8, local_grid=8),
    smoothing_sigmas=(2.0, 1.0),
    steps=40,
    points=1500,
    regularizer_points=300,
)
# moves points by a little, in a moment


@pytest.fixture(scope="module")
def section() -> ImagePair:
    """A coronal section of a chest, voxels of 5 and 6 mm, anisotropic and turned."""
    return lung(2, size=(64, 44), motion=20, seed=2).pair


@pytest.fixture(scope="module")
def shape() -> ImagePair:
    return deformed_shape(2, size=24, motion=2, seed=1).pair


def assert_recovered(registration: Registration, phantom: ImagePair, mean: float) -> None:
    """Expect a mean error at the landmarks, mm, in both directions, and no folding."""
    forth, back = registration.fixed_to_moving, registration.moving_to_fixed
    fixed, moving = phantom.evaluation_landmarks
    assert np.linalg.norm(moving - fixed, axis=1).mean() > 3 * mean
    assert landmark_errors(forth, fixed, moving).mean() < mean
    assert landmark_errors(back, moving, fixed).mean() < mean
    assert inverse_consistency_errors(forth, back, fixed).mean() < mean
    determinants = jacobian_determinant_image(forth, phantom.fixed_image)
    assert folding_fraction(determinants, phantom.fixed_mask) == 0


def test_the_breathing_of_a_section_is_recovered(section: ImagePair) -> None:
    registration = register_with_masks(section, SMALL)
    # a third of a voxel
    assert_recovered(registration, section, mean=2.0)
    assert registration.history[-1].done == 80
    assert not registration.interrupted


def test_the_deformation_of_a_solid_is_recovered() -> None:
    solid = deformed_shape(3, size=24, motion=2.4, seed=1).pair
    registration = register(solid.fixed, solid.moving, initial_transform=None, settings=SMALL)
    assert_recovered(registration, solid, mean=0.3)


@pytest.mark.parametrize("steps", [1, 2, 3, 6])
@pytest.mark.parametrize("preset", ["fast", "default"])
def test_few_steps_of_a_preset_lead_nowhere_far(
    section: ImagePair, preset: PresetName, steps: int
) -> None:
    registration = register_with_masks(section, RegistrationSettings.preset(preset, steps=steps))
    before, after = (
        landmark_errors(transform, *section.evaluation_landmarks).mean()
        for transform in (registration.initial_transform, registration.fixed_to_moving)
    )
    # a fifth of a voxel
    assert after < before + 1.0


def test_what_lies_outside_the_masks_does_not_matter(section: ImagePair) -> None:
    images = []
    for name, image in (("fixed", section.fixed_image), ("moving", section.moving_image)):
        values, mask = (itk.array_from_image(i) for i in (image, getattr(section, f"{name}_mask")))
        values[mask == 0] = np.random.default_rng(len(name)).uniform(-1000, 500, (mask == 0).sum())
        images.append(image_from_array(values, ImageDomain.of(image)))
    registration = register(
        *images,
        fixed_mask=section.fixed_mask,
        moving_mask=section.moving_mask,
        initial_transform="moments",
        settings=SMALL,
    )
    found = landmark_errors(registration.fixed_to_moving, *section.evaluation_landmarks)
    assert found.mean() < 3.0


@pytest.mark.parametrize("name", ["fixed_mask", "moving_mask"])
def test_one_mask_alone_is_enough(section: ImagePair, name: str) -> None:
    mask = {name: getattr(section, name)}
    registration = register(
        section.fixed, section.moving, initial_transform=None, settings=HASTY, **mask
    )
    plain = register(section.fixed, section.moving, initial_transform=None, settings=HASTY)
    assert not same_bits(registration, plain)


@pytest.fixture
def chest(dimension: int) -> ImagePair:
    return lung(
        dimension, size=(48, 36) if dimension == 2 else (24, 20, 18), motion=20, seed=1
    ).pair


def register_with_masks(
    pair: ImagePair, settings: RegistrationSettings, change: Callable[[Any], Any] | None = None
) -> Registration:
    """Register the images and masks of a pair, each changed in the same way."""
    names = ("fixed", "moving", "fixed_mask", "moving_mask")
    images = {name: pair.images[name] for name in names}
    if change is not None:
        images = {name: change(image) for name, image in images.items()}
    return register(**images, settings=settings)


def test_how_voxels_are_stored_does_not_matter(chest: ImagePair) -> None:
    settings = replace(HASTY, steps=20)
    expected = register_with_masks(chest, settings)
    found = register_with_masks(chest, settings, stored_otherwise)
    points = chest.evaluation_landmarks[0]
    mapped = transform_points(expected.fixed_to_moving, points)
    assert np.linalg.norm(mapped - points, axis=1).max() > 5
    # mm: the canonical grids differ by rounding errors of float64
    assert landmark_errors(found.fixed_to_moving, points, mapped).max() < 1e-3


def test_the_map_turns_with_the_space_of_both_images(chest: ImagePair, dimension: int) -> None:
    # radians; not so far that other axes of the grid become the closest to x, y and z
    c, s = np.cos(0.4), np.sin(0.4)
    rotation = np.array([[c, -s], [s, c]])
    if dimension == 3:
        rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, c, -s], [0, s, c]]

    def turned(image: Any) -> Any:
        domain = ImageDomain.of(image).turned(rotation)
        return image_from_array(itk.array_view_from_image(image), domain)

    settings = replace(HASTY, steps=20)
    expected = register_with_masks(chest, settings)
    found = register_with_masks(chest, settings, turned)
    points = chest.evaluation_landmarks[0]
    mapped = transform_points(expected.fixed_to_moving, points)
    assert np.linalg.norm(mapped - points, axis=1).max() > 5
    # mm: rounding errors, of float32 where points are drawn and images interpolated
    errors = landmark_errors(found.fixed_to_moving, points @ rotation.T, mapped @ rotation.T)
    assert errors.max() < 1e-2
    back = transform_points(expected.moving_to_fixed, mapped)
    errors = landmark_errors(found.moving_to_fixed, mapped @ rotation.T, back @ rotation.T)
    assert errors.max() < 1e-2


def test_the_same_seed_gives_the_same_bits_whatever_ran_before(shape: ImagePair) -> None:
    def registered(seed: int, moving: Any) -> Registration:
        return register(shape.fixed_image, moving, settings=HASTY, seed=seed)

    first = registered(3, shape.moving_image)
    registered(3, shape.fixed_image)
    assert same_bits(registered(3, shape.moving_image), first)
    assert not same_bits(registered(4, shape.moving_image), first)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    # as large as it takes for torch to share out sums and products of matrices
    chest = lung(3, size=(70, 60, 50)).pair
    found = []
    for threads in (1, 2, 3):
        with torch_threads(threads):
            found.append(register(chest.fixed, chest.moving, settings=HASTY))
    assert same_bits(found[0], found[1])
    assert same_bits(found[0], found[2])


@pytest.mark.slow
@pytest.mark.parametrize("similarity", [name for name in SIMILARITIES if name != "windowed_ncc"])
def test_random_points_give_the_same_bits_on_any_number_of_threads(
    similarity: SimilarityName,
) -> None:
    chest = lung(3, size=(70, 60, 50)).pair
    settings = replace(
        HASTY,
        similarity=similarity,
        steps=2,
        points=60_000,
        points_per_voxel=1.0,
        regularizer_points=2_000,
    )
    found = []
    for threads in (1, 3):
        with torch_threads(threads):
            found.append(register(chest.fixed, chest.moving, settings=settings))
    assert same_bits(found[0], found[1])


@pytest.mark.parametrize("pixel", ["uint8", "int16", "float64"])
def test_the_pixel_type_does_not_matter(shape: ImagePair, pixel: str) -> None:
    def rounded(image: Any, kind: str) -> Any:
        values = np.rint(200 * itk.array_from_image(image)).astype(kind)
        return image_from_array(values, ImageDomain.of(image))

    expected, found = (
        register(
            *(rounded(i, kind) for i in (shape.fixed_image, shape.moving_image)), settings=HASTY
        )
        for kind in ("float32", pixel)
    )
    assert same_bits(found, expected)


def test_an_initial_composite_is_contained_flat_and_in_order(shape: ImagePair) -> None:
    domain = ImageDomain.of(shape.fixed_image)
    offset = np.array([150.0, -80.0])
    elsewhere = replace(domain, origin=tuple((domain.origin + offset).tolist()))
    moving = image_from_array(itk.array_from_image(shape.moving_image), elsewhere)
    turn, shift = itk.Euler2DTransform[itk.D].New(), itk.TranslationTransform[itk.D, 2].New()
    turn.SetCenter(domain.center.tolist())
    turn.SetAngle(0.1)
    shift.SetOffset(offset.tolist())
    inner, initial_transform = (itk.CompositeTransform[itk.D, 2].New() for _ in range(2))
    inner.AddTransform(shift)
    initial_transform.AddTransform(inner)
    initial_transform.AddTransform(turn)

    registration = register(
        shape.fixed_image, moving, initial_transform=initial_transform, settings=HASTY
    )
    forth, back = registration.fixed_to_moving, registration.moving_to_fixed
    assert parts(forth) == ["NePhiTransform", "Euler2DTransform", "TranslationTransform"]
    assert parts(back) == ["TranslationTransform", "Euler2DTransform", "NePhiTransform"]
    points = shape.evaluation_landmarks[0]
    by_parts = transform_points(forth.GetBackTransform(), points)
    by_parts = transform_points(initial_transform, by_parts)
    np.testing.assert_allclose(transform_points(forth, points), by_parts, atol=1e-9)
    assert np.linalg.norm(transform_points(forth, points) - points - offset, axis=1).mean() < 5


@pytest.mark.parametrize("nested", [True, False])
def test_a_result_does_not_change_with_the_transforms_that_it_was_given(
    shape: ImagePair, nested: bool
) -> None:
    images, point = (shape.fixed_image, shape.moving_image), [10.0, 12.0]
    shift = itk.TranslationTransform[itk.D, 2].New()
    shift.SetOffset([1.0, 0.0])
    given = compose([shift]) if nested else shift
    earlier = register(*images, initial_transform=given, settings=HASTY)
    later = register(*images, initial_transform=earlier, settings=HASTY)

    def images_of_a_point() -> list[list[float]]:
        names = ("fixed_to_moving", "moving_to_fixed", "initial_transform")
        return [
            list(getattr(found, name).TransformPoint(point))
            for found in (earlier, later)
            for name in names
        ]

    before = images_of_a_point()
    shift.SetOffset([100.0, 0.0])
    assert images_of_a_point() == before
    for part in (flatten(earlier.moving_to_fixed)[0], flatten(earlier.fixed_to_moving)[1]):
        part.SetOffset([50.0, 0.0])
    assert images_of_a_point()[3:] == before[3:]


def test_an_initial_transform_without_a_closed_inverse_is_inverted_too(shape: ImagePair) -> None:
    initial_transform = itk.BSplineTransform[itk.D, 2, 3].New()
    initial_transform.SetTransformDomainOrigin([-10.0, -10.0])
    initial_transform.SetTransformDomainPhysicalDimensions([50.0, 50.0])
    initial_transform.SetTransformDomainMeshSize([4, 4])
    count = initial_transform.GetNumberOfParameters()
    values = np.random.default_rng(1).uniform(-2, 2, count).tolist()
    initial_transform.SetParameters(itk.OptimizerParameters[itk.D](values))
    registration = register(
        shape.fixed, shape.moving, initial_transform=initial_transform, settings=HASTY
    )
    forth, back = registration.fixed_to_moving, registration.moving_to_fixed
    assert parts(forth) == ["NePhiTransform", "BSplineTransform"]
    assert parts(back) == ["DisplacementFieldTransform", "NePhiTransform"]
    points = shape.evaluation_landmarks[0]
    assert landmark_errors(initial_transform, points, points).max() > 0.5
    first, last = forth.GetBackTransform(), back.GetFrontTransform()
    opened = inverse_consistency_errors(first, last, points)
    # the same as of the fields alone, up to the sampled inverse
    closed = inverse_consistency_errors(forth, back, points)
    np.testing.assert_allclose(closed, opened, atol=0.1)


def test_an_interruption_keeps_what_was_reached(shape: ImagePair) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 4:
            raise KeyboardInterrupt

    registration = register(shape.fixed, shape.moving, settings=HASTY, callback=stop)
    assert registration.interrupted
    assert len(registration.history) == 4
    points = shape.evaluation_landmarks[0]
    moved = transform_points(registration.fixed_to_moving, points)
    initially = transform_points(registration.initial_transform, points)
    assert np.abs(moved - initially).max() > 1e-3


def test_it_says_how_it_was_found(shape: ImagePair) -> None:
    reported: list[Progress] = []
    registration = register(
        shape.fixed,
        shape.moving,
        initial_transform=None,
        settings=HASTY,
        seed=5,
        callback=reported.append,
    )
    assert registration.history == reported
    assert registration.settings == HASTY
    assert registration.seed == 5
    assert parts(registration.fixed_to_moving) == ["NePhiTransform", "TranslationTransform"]


def test_a_registration_can_be_pickled(shape: ImagePair) -> None:
    registration = register(shape.fixed, shape.moving, settings=HASTY)
    again = pickle.loads(pickle.dumps(registration))
    points = shape.evaluation_landmarks[0]
    for name in ("fixed_to_moving", "moving_to_fixed", "initial_transform"):
        expected = transform_points(getattr(registration, name), points)
        found = transform_points(getattr(again, name), points)
        np.testing.assert_allclose(found, expected, atol=1e-12)
    assert again.history == registration.history
    assert again.settings == HASTY


def test_the_inverse_of_the_composite_is_the_other_direction(shape: ImagePair) -> None:
    registration = register(shape.fixed, shape.moving, settings=HASTY)
    points = shape.evaluation_landmarks[1]
    expected = transform_points(registration.moving_to_fixed, points)
    inverse = registration.fixed_to_moving.GetInverseTransform()
    np.testing.assert_allclose(transform_points(inverse, points), expected, atol=1e-9)


def inverted_and_squared(image: Any) -> Any:
    values = itk.array_from_image(image).astype(np.float32)
    values = (values - values.min()) / (values.max() - values.min())
    return image_from_array((1 - values) ** 2, ImageDomain.of(image))


@pytest.mark.parametrize("kind", ["triangle", "chest"])
def test_another_contrast_is_registered_about_as_well(kind: str) -> None:
    if kind == "triangle":
        phantom, masks, margin = deformed_shape(2, size=32, motion=3, seed=1).pair, {}, 0.25
    else:
        phantom = lung(3, size=(36, 32, 28), motion=25, noise=5, seed=1).pair
        masks = {"fixed_mask": phantom.fixed_mask, "moving_mask": phantom.moving_mask}
        # a tenth of a voxel
        margin = 1.0
    # a window of four voxels is too large for these images
    settings = replace(SMALL, steps=30, points=1000, regularizer_points=200, local_windows=(2.0,))

    def error(moving: Any, similarity: str) -> tuple[float, float]:
        registration = register(
            phantom.fixed_image,
            moving,
            **masks,
            initial_transform="moments" if masks else None,
            settings=replace(settings, similarity=similarity),
        )
        return tuple(
            landmark_errors(transform, *phantom.evaluation_landmarks).mean()
            for transform in (registration.initial_transform, registration.fixed_to_moving)
        )

    before, normal = error(phantom.moving_image, "local_ncc")
    assert normal < 0.65 * before
    for similarity in ("mind_ssc", "mutual_information"):
        _, found = error(inverted_and_squared(phantom.moving_image), similarity)
        assert found < normal + margin


def nothing(_fixed: torch.Tensor, moving: torch.Tensor, _weights: torch.Tensor) -> torch.Tensor:
    """A dissimilarity that sees nothing."""
    return 0 * moving.sum()


def test_landmarks_alone_pull_in_both_directions(shape: ImagePair) -> None:
    domain = ImageDomain.of(shape.fixed_image)
    offset = np.array([150.0, -80.0])
    elsewhere = replace(domain, origin=tuple((domain.origin + offset).tolist()))
    moving = image_from_array(itk.array_from_image(shape.moving_image), elsewhere)
    initial_transform = itk.TranslationTransform[itk.D, 2].New()
    initial_transform.SetOffset(offset.tolist())
    fixed_points, moving_points = shape.evaluation_landmarks
    moving_points = moving_points + offset
    wrong = moving_points.copy()
    wrong[:5] += 6
    settings = replace(
        SMALL, dissimilarity=nothing, points=300, landmark_weight=1.0, landmark_scale=0.5
    )
    registration = register(
        shape.fixed_image,
        moving,
        initial_transform=initial_transform,
        guide_landmarks=(fixed_points, wrong, [0.0] * 5 + [1.0] * (len(wrong) - 5)),
        settings=settings,
    )
    assert "landmark" in registration.history[0].losses
    forth, back = registration.fixed_to_moving, registration.moving_to_fixed
    before = landmark_errors(initial_transform, fixed_points, moving_points).mean()
    assert landmark_errors(forth, fixed_points, moving_points).mean() < 0.35 * before
    assert landmark_errors(back, moving_points, fixed_points).mean() < 0.35 * before


def test_landmarks_without_weight_are_not_looked_at(shape: ImagePair) -> None:
    settings = replace(HASTY, landmark_weight=0.0)
    points = shape.evaluation_landmarks
    registration = register(shape.fixed, shape.moving, guide_landmarks=points, settings=settings)
    assert same_bits(registration, register(shape.fixed, shape.moving, settings=settings))
    assert "landmark" not in registration.history[0].losses


def test_a_second_image_helps_where_the_first_tells_nothing(shape: ImagePair) -> None:
    def noise(seed: int) -> Any:
        values = np.random.default_rng(seed).normal(size=(24, 24)).astype(np.float32)
        return image_from_array(values, ImageDomain.of(shape.fixed_image))

    settings = replace(SMALL, points=500, regularizer_points=100)
    registration = register(
        [noise(1), shape.fixed_image],
        (noise(2), shape.moving_image),
        channel_weights=[0.02, 1.0],
        initial_transform=None,
        settings=settings,
    )
    assert_recovered(registration, shape, mean=0.3)


def test_a_soft_mask_that_is_one_or_about_nothing_is_as_good_as_a_binary_one(
    section: ImagePair,
) -> None:
    softened = {}
    for name in ("fixed_mask", "moving_mask"):
        mask = getattr(section, name)
        values = np.where(itk.array_from_image(mask) > 0, 1, 1e-6).astype(np.float32)
        softened[name] = image_from_array(values, ImageDomain.of(mask))
    registration = register(section.fixed, section.moving, **softened, settings=SMALL)
    assert_recovered(registration, section, mean=2.0)


def test_points_drawn_to_the_content_find_the_same(section: ImagePair) -> None:
    registration = register(
        section.fixed,
        section.moving,
        fixed_mask=section.fixed_mask,
        moving_mask=section.moving_mask,
        settings=replace(SMALL, importance_sampling=0.5),
    )
    assert_recovered(registration, section, mean=2.0)


def test_a_warm_start_goes_on_from_an_earlier_result(shape: ImagePair) -> None:
    settings = replace(SMALL, points=500, regularizer_points=100)
    first = register(shape.fixed, shape.moving, initial_transform=None, settings=settings)
    tiny = {"network_learning_rate": 1e-6, "code_learning_rate": 1e-6}
    short = replace(settings, smoothing_sigmas=(1.0,), steps=1, **tiny)
    nephi = itk.down_cast(first.fixed_to_moving.GetBackTransform())
    cold = register(shape.fixed, shape.moving, initial_transform=None, settings=short)
    for start in (first, nephi):
        warm = register(
            shape.fixed, shape.moving, initial_transform=None, settings=short, warm_start=start
        )
        errors = [
            landmark_errors(found.fixed_to_moving, *shape.evaluation_landmarks).mean()
            for found in (first, warm, cold)
        ]
        assert errors[1] == pytest.approx(errors[0], abs=1e-3)
        assert errors[1] < 0.5 * errors[2]


def test_a_warm_start_that_does_not_fit_is_refused(shape: ImagePair) -> None:
    first = register(shape.fixed, shape.moving, settings=HASTY)
    with pytest.raises(ValueError, match=r"warm_start with the sizes of settings, .* got Field"):
        register(shape.fixed, shape.moving, warm_start=first, settings=SMALL)
    other = deformed_shape(2, size=20, motion=2).pair
    with pytest.raises(ValueError, match=r"warm_start on the grid of fixed, got .*\(24, 24\)"):
        register(other.fixed, other.moving, warm_start=first, settings=HASTY)
    with pytest.raises(TypeError, match=r"warm_start to be a Regist.* 2 dimensions, got str"):
        register(shape.fixed, shape.moving, warm_start="first.h5", settings=HASTY)
    with pytest.raises(TypeError, match="got itkAffineTransformD2"):
        register(shape.fixed, shape.moving, warm_start=first.initial_transform, settings=HASTY)


def test_paths_arrays_and_images_give_the_same_bits(shape: ImagePair, tmp_path: Path) -> None:
    names = ("fixed", "moving", "fixed_mask", "moving_mask")
    arrays = {name: itk.array_from_image(shape.images[name]) for name in names}
    images = {name: itk.image_from_array(array) for name, array in arrays.items()}
    paths = {name: tmp_path / f"{name}.mha" for name in names}
    for name, path in paths.items():
        itk.imwrite(images[name], path)
    tensors = {name: torch.from_numpy(array)[None] for name, array in arrays.items()}
    expected = register(**images, settings=HASTY)
    for given in (paths, arrays, tensors):
        assert same_bits(register(**given, settings=HASTY), expected)


def test_masks_may_be_spatial_objects(shape: ImagePair) -> None:
    ball = itk.EllipseSpatialObject[2].New(radius_in_object_space=8.0)
    ball.SetCenterInObjectSpace(ImageDomain.of(shape.fixed_image).center.tolist())
    ball.Update()
    points = ImageDomain.of(shape.fixed_image).grid_points()
    center = ImageDomain.of(shape.fixed_image).center
    drawn = (np.linalg.norm(points - center, axis=-1) <= 8.0).astype(np.uint8)
    found, expected = (
        register(shape.fixed, shape.moving, fixed_mask=mask, settings=HASTY)
        for mask in (ball, drawn)
    )
    assert same_bits(found, expected)


def test_images_in_other_units_are_warned_of(shape: ImagePair) -> None:
    domain = ImageDomain.of(shape.moving_image)
    meters = replace(
        domain,
        spacing=tuple(s / 1000 for s in domain.spacing),
        origin=tuple((domain.center - np.array(domain.half_extent) / 1000).tolist()),
    )
    moving = image_from_array(itk.array_from_image(shape.moving_image), meters)
    with (
        pytest.warns(UserWarning, match=r"23 x 23 mm and 0.023 x 0.023 mm") as caught,
        pytest.raises(ValueError, match=r"images that overlap .* got 0.00% of the fixed one"),
    ):
        register(shape.fixed_image, moving, initial_transform=None, settings=HASTY)
    assert [Path(warning.filename) for warning in caught] == [Path(__file__)]


def test_registrations_side_by_side_leave_threads_and_bits_alone(shape: ImagePair) -> None:
    def registered(seed: int) -> Registration:
        return register(shape.fixed, shape.moving, settings=HASTY, seed=seed)

    expected = [registered(seed) for seed in (1, 2)]
    with torch_threads(2):
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(registered, (1, 2)))
        assert torch.get_num_threads() == 2
    assert all(map(same_bits, found, expected))


def test_images_of_different_dimension_are_refused(shape: ImagePair) -> None:
    solid = deformed_shape(3, size=16, motion=1).pair
    with pytest.raises(ValueError, match="expected moving in 2 dimensions like fixed, got 3"):
        register(shape.fixed_image, solid.moving_image)


@pytest.mark.parametrize("name", ["fixed", "moving"])
def test_a_bad_image_is_named(shape: ImagePair, name: str) -> None:
    images = {"fixed": shape.fixed_image, "moving": shape.moving_image}
    flat = image_from_array(np.full((24, 24), 3, np.uint8), ImageDomain.of(shape.fixed_image))
    with pytest.raises(ValueError, match=f"expected {name} to have contrast, got 3"):
        register(**images | {name: flat})
    with pytest.raises(TypeError, match=f"expected {name} to be an itk.Image, .*, got NoneType"):
        register(**images | {name: None})


@pytest.mark.parametrize("name", ["fixed", "moving"])
def test_a_bad_mask_is_named(shape: ImagePair, name: str) -> None:
    empty = image_from_array(np.zeros((24, 24), np.uint8), ImageDomain.of(shape.fixed_image))
    small = image_from_array(
        np.ones((20, 24), np.uint8), replace(ImageDomain.of(empty), size=(24, 20))
    )
    for mask, message in (
        (empty, f"expected {name}_mask to have .* got an empty mask"),
        (small, f"expected {name}_mask to lie on the grid of {name}, .* size .24, 20. instead of"),
    ):
        with pytest.raises(ValueError, match=message):
            register(shape.fixed, shape.moving, **{f"{name}_mask": mask})


def test_images_that_do_not_overlap_are_refused(shape: ImagePair) -> None:
    far = replace(ImageDomain.of(shape.moving_image), origin=(1000.0, 0.0))
    moving = image_from_array(itk.array_from_image(shape.moving_image), far)
    with pytest.raises(ValueError, match="expected fixed and moving images that overlap"):
        register(shape.fixed_image, moving, initial_transform=None)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"seed": 2**64}, ValueError, r"a seed from -2\^63 to 2\^64 - 1, got 18446744073709551616"),
        ({"seed": -(2**63) - 1}, ValueError, "expected a seed from"),
        ({"channel_weights": 2.0}, TypeError, "channel_weights as a list of numbers, got 2.0"),
    ],
)
def test_wrong_arguments_are_named(
    shape: ImagePair, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        register(shape.fixed, shape.moving, **options)


def test_an_initial_transform_of_another_kind_is_refused(shape: ImagePair) -> None:
    with pytest.raises(ValueError, match=r"expected initial_transform to be one of .* got 'afine'"):
        register(shape.fixed, shape.moving, initial_transform="afine")
    for initial_transform, kind in (
        (itk.AffineTransform[itk.D, 3].New(), "itkAffineTransformD3"),
        (itk.AffineTransform[itk.F, 2].New(), "itkAffineTransformF2"),
        ([1.0, 2.0], "list"),
    ):
        with pytest.raises(TypeError, match=f"of double precision in 2 dimensions.* got {kind}"):
            register(shape.fixed, shape.moving, initial_transform=initial_transform)


def test_a_device_that_is_not_there_is_refused(shape: ImagePair) -> None:
    for device in ["abacus", *([] if torch.cuda.is_available() else ["cuda"])]:
        with pytest.raises(ValueError, match=f"expected device to be cpu, .* got '{device}'"):
            register(shape.fixed, shape.moving, device=device)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not LUNG.is_dir(), reason="../shared/data/lung is not there")
def test_a_real_lung_is_registered_to_within_a_voxel_by_all_defaults() -> None:
    fixed, moving = (itk.imread(LUNG / f"{name}.mha", itk.F) for name in ("fixed", "moving"))
    masks = {f"{n}_mask": itk.imread(LUNG / f"{n}_mask.mha", itk.UC) for n in ("fixed", "moving")}
    with (LUNG / "landmarks51.csv").open() as file:
        rows = np.array([list(map(float, row)) for row in list(csv.reader(file))[1:]])
    before = np.linalg.norm(rows[:, 3:] - rows[:, :3], axis=1)
    assert before.mean() > 30
    registration = register(fixed, moving, **masks)
    found = landmark_errors(registration.fixed_to_moving, rows[:, :3], rows[:, 3:])
    assert found.mean() <= 1.45
    determinants = jacobian_determinant_image(registration.fixed_to_moving, fixed)
    assert folding_fraction(determinants, masks["fixed_mask"]) == 0


def test_averages_of_large_images_give_a_map_of_the_images_themselves() -> None:
    phantom = deformed_shape(2, size=64, motion=6, seed=1).pair
    settings = replace(SMALL, working_voxels=1200, gradicon_weight=0.5)
    masks = {"fixed_mask": phantom.fixed_mask, "moving_mask": phantom.moving_mask}
    for given in ({}, masks):
        registration = register(
            phantom.fixed, phantom.moving, initial_transform=None, settings=settings, **given
        )
        before, after = (
            landmark_errors(transform, *phantom.evaluation_landmarks).mean()
            for transform in (registration.initial_transform, registration.fixed_to_moving)
        )
        assert after < 0.4 * before
    field = deformation_from_transform(registration.fixed_to_moving.GetBackTransform())
    assert field.domain.matches(ImageDomain.of(phantom.fixed_image).canonical())
    again = replace(settings, working_voxels=5000, steps=1)
    register(
        phantom.fixed,
        phantom.moving,
        initial_transform=None,
        warm_start=registration,
        settings=again,
    )
