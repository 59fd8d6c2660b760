import gc
import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pytest
import torch
from support.registrations import same_bits

import itk_nephi
from itk_nephi.fields.settings import FieldSettings, flat_settings, setting_value
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings, NePhi
from itk_nephi.registration.filter_arguments import ARGUMENTS, camel
from itk_nephi.registration.filter_arguments import SETTINGS as FILTER_SETTINGS
from itk_nephi.registration.inputs import UNWRAPPED
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.result import Progress, Registration
from itk_nephi.registration.settings import RegistrationSettings
from itk_nephi.spatial.domain import ImageDomain, image_from_array, image_like
from itk_nephi.spatial.transforms import transform_points

# moves points by a little, in a moment
SETTINGS = RegistrationSettings(
    field=FieldSettings(width=8, frequencies=4, global_code=2, local_channels=2, local_grid=4),
    smoothing_sigmas=(2.0, 1.0),
    steps=2,
    points=100,
    regularizer_points=20,
)
PIXEL_TYPES = [itk.UC, itk.US, itk.UI, itk.UL, itk.ULL, itk.SS, itk.SI, itk.F, itk.D]


def noise(domain: ImageDomain, seed: int) -> Any:
    values = np.random.default_rng(seed).uniform(0, 200, size=domain.size[::-1])
    return image_from_array(values.astype(np.float32), domain)


@pytest.fixture
def fixed(domain: ImageDomain) -> Any:
    return noise(domain, 1)


@pytest.fixture
def moving(domain: ImageDomain) -> Any:
    """On another grid that overlaps the fixed one."""
    shifted = tuple(float(x) + 0.7 for x in domain.origin)
    size = tuple(n + 1 for n in domain.size)
    return noise(replace(domain, origin=shifted, size=size), 2)


@pytest.fixture
def method(fixed: Any, moving: Any) -> Any:
    return itk.NePhiRegistrationMethod.New(
        fixed, moving, settings=SETTINGS, initial_transform="geometry", seed=5
    )


def registered(fixed: Any, moving: Any, **options: Any) -> Registration:
    """Return what the filter of the fixture should find."""
    usual = {"settings": SETTINGS, "initial_transform": "geometry", "seed": 5}
    return register(fixed, moving, **{**usual, **options})


def bits(*transforms: Any) -> list[bytes]:
    return [np.array([*t.GetFixedParameters(), *t.GetParameters()]).tobytes() for t in transforms]


def assert_same(method: Any, registration: Registration) -> None:
    found = bits(method.GetTransform(), method.GetInverseTransform())
    assert found == bits(registration.fixed_to_moving, registration.moving_to_fixed)


def observe(subject: Any, event: Any, callback: Callable[[], object]) -> None:
    subject.AddObserver(event, callback)


def count_runs(subject: Any) -> list[None]:
    """Return a list that grows whenever a filter runs."""
    runs: list[None] = []
    subject.AddObserver(itk.StartEvent(), lambda: runs.append(None))
    return runs


# the same as register()


def test_the_transforms_are_those_of_register_to_the_bit(
    method: Any, fixed: Any, moving: Any
) -> None:
    method.Update()
    expected = registered(fixed, moving)
    assert_same(method, expected)
    assert method.GetHistory() == expected.history
    assert method.GetRegistration().settings == SETTINGS


def test_the_output_is_a_decorated_transform_of_itk(method: Any, dimension: int) -> None:
    assert method.GetTransform() is None
    assert method.GetInverseTransform() is None
    assert not method.GetOutput().Get().IsLinear()
    method.Update()
    for output, transform in (
        (method.GetOutput(), method.GetTransform()),
        (method.GetInverseTransformOutput(), method.GetInverseTransform()),
    ):
        assert output.GetNameOfClass() == "DataObjectDecorator"
        assert isinstance(output.Get(), itk.Transform[itk.D, dimension, dimension])
        assert isinstance(transform, itk.CompositeTransform[itk.D, dimension])
        assert bits(output.Get()) == bits(transform)
    assert method.GetNumberOfOutputs() == 2


@pytest.mark.parametrize("pixel_type", PIXEL_TYPES, ids=lambda pixel_type: pixel_type.short_name)
def test_images_of_every_scalar_type_that_itk_wraps_are_registered(
    fixed: Any, moving: Any, dimension: int, pixel_type: Any
) -> None:
    image_type = itk.Image[pixel_type, dimension]
    images = []
    for like in (fixed, moving):
        image = image_type.New(regions=itk.size(like))
        image.Allocate()
        image.CopyInformation(like)
        itk.array_view_from_image(image)[:] = np.asarray(like)
        images.append(image)
    by_inference = itk.NePhiRegistrationMethod.New(*images)
    method = itk.NePhiRegistrationMethod[image_type, image_type].New(
        fixed_image=images[0],
        moving_image=images[1],
        settings=SETTINGS,
        initial_transform="geometry",
        seed=5,
    )
    assert type(by_inference) is type(method)
    assert isinstance(method.GetFixedImage(), image_type)
    assert isinstance(method.GetMovingImage(), image_type)
    method.Update()
    assert_same(method, registered(*images))


def test_every_scalar_image_type_with_an_array_is_wrapped() -> None:
    wrapped = [itk.template(image)[1] for image, _ in list(itk.NePhiRegistrationMethod.keys())]
    with_array = [itk.template(image) for (image,) in list(itk.PyBuffer.keys())]
    scalar = [
        parameters
        for template, parameters in with_array
        if template == itk.Image and parameters[0] in PIXEL_TYPES and parameters[1] in (2, 3)
    ]
    assert sorted(map(str, wrapped)) == sorted(map(str, scalar))
    assert {pixel_type for pixel_type, _ in wrapped} == set(PIXEL_TYPES)


# parameters


def test_keywords_change_the_settings(fixed: Any, moving: Any) -> None:
    changes = {
        "smoothing_sigmas": (1.0,),
        "steps": 7,
        "points": 300,
        "gradicon_weight": 1.5,
        "inverse_consistency_weight": 0.2,
    }
    method = itk.NePhiRegistrationMethod.New(fixed, moving, settings=SETTINGS, **changes)
    assert method.GetSettings() == replace(SETTINGS, **changes)
    method.SetSmoothingSigmas(3.0, 2.0)
    assert method.GetSettings().smoothing_sigmas == (3.0, 2.0)
    method.SetSmoothingSigmas([4.0, 3.0, 2.0])
    assert method.GetSettings().smoothing_sigmas == (4.0, 3.0, 2.0)
    assert method.GetSteps() == 7
    assert method.GetSmoothingSigmas() == (4.0, 3.0, 2.0)


def test_every_setting_is_set_and_read_by_its_name(fixed: Any, moving: Any) -> None:
    other = RegistrationSettings.preset(
        "fast",
        similarity="ncc",
        bending_weight=0.5,
        importance_sampling=0.3,
        width=16,
        max_time=9.0,
    )
    method = itk.NePhiRegistrationMethod.New(fixed, moving)
    for name in flat_settings(RegistrationSettings):
        value = setting_value(other, name)
        getattr(method, f"Set{camel(name)}")(*(value if isinstance(value, tuple) else [value]))
        assert getattr(method, f"Get{camel(name)}")() == value
    assert method.GetSettings() == other
    method.SetField(FieldSettings(width=8))
    assert method.GetWidth() == 8
    method.SetPreset("accurate")
    assert method.GetSettings() == RegistrationSettings.preset("accurate")


def test_the_order_of_keywords_is_free(fixed: Any, moving: Any) -> None:
    new = itk.NePhiRegistrationMethod.New
    expected = RegistrationSettings.preset("fast", regularizer_points=4_000, points=9_000, depth=1)
    options = {"depth": 1, "regularizer_points": 4_000, "points": 9_000, "preset": "fast"}
    for given in (options, dict(reversed(options.items()))):
        assert new(fixed, moving, **given).GetSettings() == expected
    assert new(fixed, moving, points=10).GetRegularizerPoints() == 10
    method = new(fixed, moving, steps=3)
    method.SetPoints(10)
    method.SetSimilarity("mind_ssc")
    assert method.GetSettings() == RegistrationSettings.preset(
        "default", steps=3, points=10, similarity="mind_ssc"
    )
    with pytest.raises(ValueError, match="another similarity than windowed_ncc with points"):
        method.SetSimilarity("windowed_ncc")
    assert method.GetSimilarity() == "mind_ssc"
    with pytest.raises(ValueError, match="expected settings or preset, got both"):
        new(fixed, moving, settings=SETTINGS, preset="fast")


def test_further_channels_are_inputs(method: Any, fixed: Any, moving: Any) -> None:
    channels = [noise(ImageDomain.of(image), 7) for image in (fixed, moving)]
    scaling = itk.ShiftScaleImageFilter.New(channels[1], scale=0.5)
    method.SetFixedChannels([channels[0]])
    method.SetMovingChannels([scaling.GetOutput()])
    method.SetChannelWeights((1.0, 2.0))
    runs = count_runs(method)
    for scale in (0.5, 0.25):
        scaling.SetScale(scale)
        method.Update()
        method.Update()
        other = image_from_array(
            np.asarray(channels[1]) * np.float32(scale), ImageDomain.of(moving)
        )
        expected = registered([fixed, channels[0]], [moving, other], channel_weights=(1.0, 2.0))
        assert_same(method, expected)
    assert len(runs) == 2
    assert type(method.GetFixedChannels()[0]) is type(fixed)
    method.SetFixedChannels([])
    method.SetMovingChannels(None)
    method.SetChannelWeights(None)
    assert method.GetFixedChannels() == method.GetMovingChannels() == []
    method.Update()
    assert_same(method, registered(fixed, moving))


def test_what_register_takes_reaches_it(
    method: Any, fixed: Any, moving: Any, domain: ImageDomain, tmp_path: Path
) -> None:
    first = registered(fixed, moving)
    points = domain.points_from_coords(np.zeros((1, domain.dimension)))
    method.SetWarmStart(first)
    method.SetGuideLandmarks((points, points + 0.5))
    method.SetCheckpoint(tmp_path / "state.checkpoint")
    method.SetCheckpointInterval(0.0)
    method.Update()
    expected = registered(fixed, moving, warm_start=first, guide_landmarks=(points, points + 0.5))
    assert_same(method, expected)
    assert method.GetWarmStart() is first
    runs = count_runs(method)
    method.SetCheckpointInterval(0.0)
    method.SetWarmStart(first)
    method.Update()
    assert not runs
    method.SetWarmStart(None)
    method.SetRefineSteps(3)
    with pytest.raises(ValueError, match="expected a model whose prediction refine_steps can"):
        method.Update()


def test_a_model_predicts_and_is_refined(method: Any, fixed: Any, moving: Any) -> None:
    domain = ImageDomain.of(fixed)
    settings = ModelSettings(
        field=SETTINGS.field,
        encoder=EncoderSettings(filters=(4, 8), hidden=4),
        size=domain.size,
        spacing=domain.spacing,
    )
    model = NePhi(settings, torch.Generator().manual_seed(1))
    options = {"model": model, "refine_steps": 2, "refine": "code_and_weights"}
    for name, value in options.items():
        getattr(method, f"Set{camel(name)}")(value)
    method.Update()
    assert_same(method, registered(fixed, moving, **options))
    assert method.GetModel() is model


def test_methods_of_settings_hide_none_of_itk(method: Any) -> None:
    inherited = dir(itk.ProcessObject)
    for name in (*FILTER_SETTINGS, *ARGUMENTS):
        assert f"Set{camel(name)}" not in inherited
        assert f"Set{camel(name)}" in dir(method)
        assert getattr(method, f"Set{camel(name)}").__doc__.startswith(f"Set {name}. ")


def test_what_itk_loads_with_the_filter_needs_no_torch() -> None:
    code = "import sys, itk_nephi.registration.filter_accessors; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_not_set_has_the_defaults_of_register(fixed: Any, moving: Any) -> None:
    method = itk.NePhiRegistrationMethod.New(fixed, moving)
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(register).parameters.items()
    }
    assert method.GetSettings() == RegistrationSettings.preset("default")
    assert method.GetSeed() == defaults["seed"]
    assert method.GetDevice() == defaults["device"]
    assert method.GetInitialTransformKind() == defaults["initial_transform"]
    assert method.GetInitialTransform() is None
    assert method.GetFixedMask() is None
    assert method.GetMovingMask() is None
    assert "Device: cpu" in str(method)


def test_all_python_objects_of_a_filter_share_what_is_set(method: Any) -> None:
    other = itk.down_cast(method)
    assert type(other) is type(method)
    other.SetSteps(3)
    other.Update()
    assert method.GetSettings().steps == 3
    assert method.GetRegistration() is other.GetRegistration()


def test_it_starts_from_a_given_transform(
    method: Any, fixed: Any, moving: Any, dimension: int
) -> None:
    initial_transform = itk.TranslationTransform[itk.D, dimension].New()
    initial_transform.SetOffset([0.5] * dimension)
    method.SetInitialTransform(initial_transform)
    assert method.GetInitialTransform().GetNameOfClass() == "TranslationTransform"
    method.Update()
    assert_same(method, registered(fixed, moving, initial_transform=initial_transform))

    initial_transform.SetOffset([0.2] * dimension)
    initial_transform.Modified()
    method.Update()
    assert_same(method, registered(fixed, moving, initial_transform=initial_transform))

    method.SetInitialTransform(None)
    method.Update()
    assert_same(method, registered(fixed, moving, initial_transform=None))


def test_it_starts_from_the_transform_of_another_filter(
    method: Any, fixed: Any, moving: Any
) -> None:
    second = itk.NePhiRegistrationMethod.New(fixed, moving, settings=SETTINGS, seed=6)
    second.SetInitialTransformInput(method.GetOutput())
    second.Update()
    first = registered(fixed, moving).fixed_to_moving
    assert_same(second, registered(fixed, moving, initial_transform=first, seed=6))


# masks


def ellipse(image: Any) -> Any:
    """Return a spatial object that covers part of an image."""
    domain = ImageDomain.of(image)
    found = itk.EllipseSpatialObject[domain.dimension].New()
    found.SetRadiusInObjectSpace(0.8 * float(domain.half_extent.min()))
    found.SetCenterInObjectSpace([float(x) for x in domain.center + 0.3])
    found.Update()
    return found


def inside(mask: Any, image: Any) -> Any:
    """Return the voxels of an image whose centers lie in a spatial object, as an image."""
    domain = ImageDomain.of(image)
    points = domain.grid_points()
    values = [mask.IsInsideInWorldSpace(p.tolist()) for p in points.reshape(-1, domain.dimension)]
    return image_from_array(np.reshape(values, points.shape[:-1]).astype(np.uint8), domain)


@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_masks_are_images_of_any_type(method: Any, fixed: Any, moving: Any, kind: Any) -> None:
    masks = {}
    for name, image in (("fixed_mask", fixed), ("moving_mask", moving)):
        values = np.asarray(inside(ellipse(image), image)) * 7
        masks[name] = image_from_array(values.astype(kind), ImageDomain.of(image))
    method.SetFixedMask(masks["fixed_mask"])
    method.SetMovingMask(masks["moving_mask"])
    assert type(method.GetFixedMask()) is type(masks["fixed_mask"])
    method.Update()
    with_masks = registered(fixed, moving, **masks)
    assert_same(method, with_masks)
    without = registered(fixed, moving)
    assert bits(with_masks.fixed_to_moving) != bits(without.fixed_to_moving)

    method.SetFixedMask(None)
    method.SetMovingMask(None)
    method.Update()
    assert_same(method, without)


def test_spatial_objects_are_drawn_on_the_grids_of_the_images(
    method: Any, fixed: Any, moving: Any
) -> None:
    masks = ellipse(fixed), ellipse(moving)
    images = [inside(mask, image) for mask, image in zip(masks, (fixed, moving), strict=True)]
    for image in images:
        assert 0 < np.asarray(image).mean() < 1
    method.SetFixedMask(masks[0])
    method.SetMovingMask(masks[1])
    assert method.GetFixedMask().GetNameOfClass() == "EllipseSpatialObject"
    method.Update()
    assert_same(method, registered(fixed, moving, fixed_mask=images[0], moving_mask=images[1]))


def test_an_image_mask_spatial_object_is_its_image(
    method: Any, fixed: Any, moving: Any, dimension: int
) -> None:
    image = inside(ellipse(fixed), fixed)
    mask = itk.ImageMaskSpatialObject[dimension].New(image=image)
    mask.Update()
    method.SetFixedMask(mask)
    method.Update()
    assert_same(method, registered(fixed, moving, fixed_mask=image))


# part of a pipeline


def test_it_runs_again_only_when_something_changed(method: Any, fixed: Any, moving: Any) -> None:
    runs = count_runs(method)
    changes: list[Callable[[], object]] = [
        lambda: method.SetSeed(6),
        lambda: method.SetSteps(3),
        lambda: method.SetInitialTransform("moments"),
        lambda: method.SetFixedMask(ellipse(fixed)),
        lambda: method.GetFixedMask().Modified(),
        lambda: method.SetMovingMask(inside(ellipse(moving), moving)),
        moving.Modified,
    ]
    method.Update()
    method.Update()
    method.UpdateLargestPossibleRegion()
    method.GetOutput().Update()
    assert len(runs) == 1
    for number, change in enumerate(changes, start=2):
        change()
        method.Update()
        assert len(runs) == number
        method.SetSeed(method.GetSeed())
        method.SetSteps(method.GetSettings().steps)
        method.SetDevice(method.GetDevice())
        method.Update()
        assert len(runs) == number


def test_it_updates_the_filters_before_it_only_when_they_changed(fixed: Any, moving: Any) -> None:
    scaling = itk.ShiftScaleImageFilter.New(moving, shift=1.0)
    method = itk.NePhiRegistrationMethod.New(
        fixed, scaling, settings=SETTINGS, initial_transform="geometry", seed=5
    )
    scaling_runs, method_runs = count_runs(scaling), count_runs(method)
    for _ in range(2):
        method.Update()
        assert (len(scaling_runs), len(method_runs)) == (1, 1)
    method.SetSeed(6)
    method.Update()
    assert (len(scaling_runs), len(method_runs)) == (1, 2)
    scaling.SetScale(0.5)
    method.Update()
    assert (len(scaling_runs), len(method_runs)) == (2, 3)
    values = (np.asarray(moving) + 1) / 2
    expected = image_from_array(values, ImageDomain.of(moving))
    assert_same(method, registered(fixed, expected, seed=6))


def test_filters_after_it_update_it(method: Any, fixed: Any, moving: Any) -> None:
    resampling = itk.ResampleImageFilter.New(
        moving,
        transform_input=method.GetOutput(),
        use_reference_image=True,
        reference_image=fixed,
    )
    runs = count_runs(method)
    resampling.Update()
    resampling.Update()
    assert len(runs) == 1
    expected = itk.resample_image_filter(
        moving,
        transform=registered(fixed, moving).fixed_to_moving,
        use_reference_image=True,
        reference_image=fixed,
    )
    np.testing.assert_array_equal(resampling.GetOutput(), expected)
    method.SetInitialTransformKind("nonsense")
    with pytest.raises(
        RuntimeError, match=r"ValueError: expected initial_transform to be one of .* 'nonsense'"
    ):
        resampling.Update()
    method.SetInitialTransformKind("geometry")
    resampling.Update()
    np.testing.assert_array_equal(resampling.GetOutput(), expected)


# events


def test_events_come_in_order_with_the_losses_of_their_step(method: Any) -> None:
    events: list[str] = []
    seen: list[Progress] = []
    shares: list[float] = []
    observe(method, itk.StartEvent(), lambda: events.append("start"))
    observe(method, itk.MultiResolutionIterationEvent(), lambda: events.append("level"))
    observe(method, itk.IterationEvent(), lambda: events.append("step"))
    observe(method, itk.EndEvent(), lambda: events.append("end"))
    observe(method, itk.AbortEvent(), lambda: events.append("abort"))
    observe(method, itk.ProgressEvent(), lambda: shares.append(method.GetProgress()))

    def step() -> None:
        assert method.GetMetricValue() == method.GetLosses()["total"]
        seen.append(
            Progress(
                level=method.GetCurrentLevel(),
                levels=2,
                done=method.GetCurrentIteration(),
                total=4,
                losses=method.GetLosses(),
                left=method.GetCurrentIteration() % 2,
                share=method.GetCurrentIteration() / 4,
            )
        )

    observe(method, itk.IterationEvent(), step)
    assert method.GetLosses() == {}
    assert np.isnan(method.GetMetricValue())
    assert (method.GetCurrentIteration(), method.GetCurrentLevel()) == (0, 0)
    method.Update()
    assert events == ["start", *2 * ["level", *2 * ["step"]], "end"]
    assert seen == method.GetHistory()
    assert shares[-1] == 1
    np.testing.assert_allclose(shares[-4:], np.arange(1, 5) / 4, rtol=1e-6)


def test_an_observer_stops_it_half_way_and_gets_a_usable_transform(
    method: Any, fixed: Any, moving: Any, domain: ImageDomain
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done == 3:
            raise StopIteration

    def abort() -> None:
        if method.GetCurrentIteration() == 3:
            method.AbortGenerateDataOn()

    events: list[str] = []
    observe(method, itk.AbortEvent(), lambda: events.append("abort"))
    observe(method, itk.EndEvent(), lambda: events.append("end"))
    tag = method.AddObserver(itk.IterationEvent(), abort)
    method.Update()
    assert events == ["abort", "end"]
    assert len(method.GetHistory()) == 3
    assert method.GetRegistration().interrupted
    assert_same(method, registered(fixed, moving, callback=stop))
    points = domain.grid_points().reshape(-1, domain.dimension)
    there = transform_points(method.GetTransform(), points)
    start = transform_points(registered(fixed, moving).initial_transform, points)
    assert np.abs(there - start).max() > 0
    back = transform_points(method.GetInverseTransform(), there)
    assert np.abs(back - points).max() < min(domain.spacing)

    method.Update()
    assert events == ["abort", "end"]
    method.RemoveObserver(tag)
    method.Modified()
    method.Update()
    assert events == ["abort", "end", "end"]
    assert_same(method, registered(fixed, moving))


# errors


def test_a_missing_image_is_named(fixed: Any) -> None:
    image_type = type(fixed)
    method = itk.NePhiRegistrationMethod[image_type, image_type].New()
    with pytest.raises(RuntimeError, match="Input FixedImage is required but not set"):
        method.Update()
    method.SetFixedImage(fixed)
    with pytest.raises(RuntimeError, match="Input MovingImage is required but not set"):
        method.Update()


def test_an_error_is_that_of_register_and_the_next_update_tries_again(
    method: Any, fixed: Any, moving: Any
) -> None:
    method.Update()
    shifted = inside(ellipse(moving), moving)
    method.SetFixedMask(shifted)
    for update in (method.Update, method.UpdateLargestPossibleRegion):
        with pytest.raises(ValueError, match="expected fixed_mask to lie on the grid of fixed"):
            update()
        assert method.GetTransform() is None
        assert method.GetHistory() == []
    method.SetFixedMask(None)
    method.Update()
    assert_same(method, registered(fixed, moving))


def test_an_error_shows_where_it_came_from(method: Any) -> None:
    method.SetDevice("abacus")
    with pytest.raises(ValueError, match=r"expected device to be cpu, .* 'abacus'") as caught:
        method.Update()
    assert "checked_device" in [entry.name for entry in caught.traceback]


def test_an_error_of_an_observer_ends_the_update(
    method: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("of the observer")

    observe(method, itk.IterationEvent(), fail)
    with pytest.raises(RuntimeError, match="error executing the CommandCallable"):
        method.Update()
    assert "ZeroDivisionError: of the observer" in capsys.readouterr().err


def test_an_interruption_before_the_first_step_is_passed_on(
    method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("itk_nephi.registration.itk_filter.register", interrupt)
    with pytest.raises(KeyboardInterrupt):
        method.Update()


def test_wrong_arguments_are_refused_at_once(
    method: Any, fixed: Any, moving: Any, dimension: int
) -> None:
    other = itk.Image[itk.SS, dimension].New()
    image_type = type(fixed)
    with pytest.raises(
        TypeError, match=rf"fixed_image to be an {image_type.__name__} .*itkImageSS"
    ):
        itk.NePhiRegistrationMethod[image_type, image_type].New(other, moving)
    with pytest.raises(
        TypeError, match=rf"moving_image to be an {image_type.__name__} .*itkImageSS"
    ):
        itk.NePhiRegistrationMethod.New(fixed, other)
    with pytest.raises(itk.TemplateTypeError, match="NePhiRegistrationMethod is not wrapped"):
        itk.NePhiRegistrationMethod.New(itk.Image[itk.F, 4].New())
    with pytest.raises(TypeError, match="fixed_mask to be an image, a spatial object or None, got"):
        method.SetFixedMask(np.asarray(fixed))
    with pytest.raises(TypeError, match="settings to be RegistrationSettings or None, got dict"):
        method.SetSettings({"steps": 3})
    with pytest.raises(TypeError, match=r"initial_transform to be an itkTransformD.*, got list"):
        method.SetInitialTransform([1.0])
    with pytest.raises(ValueError, match="expected steps of at least 1, got 0"):
        method.SetSteps(0)
    for seed in (-1, 1.5):
        with pytest.raises(ValueError, match=f"expected seed to be a whole number .* got {seed}"):
            method.SetSeed(seed)
    with pytest.raises(ValueError, match="expected gradicon_weight of 0 or more, got -1"):
        itk.NePhiRegistrationMethod.New(fixed, moving, gradicon_weight=-1.0)
    assert method.GetSettings() == SETTINGS


def test_a_spatial_object_of_another_dimension_is_refused(method: Any, dimension: int) -> None:
    method.SetMovingMask(itk.EllipseSpatialObject[5 - dimension].New())
    with pytest.raises(ValueError, match=f"expected moving_mask in {dimension} dimensions, got"):
        method.Update()


def test_an_empty_spatial_object_is_an_empty_mask(method: Any, dimension: int) -> None:
    method.SetMovingMask(itk.EllipseSpatialObject[dimension].New())
    with pytest.raises(ValueError, match="expected moving_mask to have non-zero voxels"):
        method.Update()


# memory


def test_nothing_is_kept_alive(fixed: Any, moving: Any) -> None:
    mask = ellipse(fixed)
    settings = replace(SETTINGS, smoothing_sigmas=(1.0,), steps=1)
    objects = fixed, moving, mask

    def references() -> list[int]:
        gc.collect()
        return [item.GetReferenceCount() for item in objects]

    before = references()
    for bad in (False, True):
        method = itk.NePhiRegistrationMethod.New(
            fixed, moving, fixed_mask=mask, settings=settings, initial_transform="geometry"
        )
        observe(method, itk.IterationEvent(), lambda: None)
        if bad:
            method.SetDevice("abacus")
            with pytest.raises(ValueError, match="abacus"):
                method.Update()
            with pytest.raises(RuntimeError, match="abacus"):
                method.GetOutput().Update()
        else:
            method.Update()
            method.GetFixedImage(), method.GetFixedMask(), method.GetRegistration()
        assert references() != before
        del method
        assert references() == before


def test_thousands_are_made_and_dropped(fixed: Any, moving: Any) -> None:
    before = fixed.GetReferenceCount()
    settings = replace(SETTINGS)
    for _ in range(2000):
        method = itk.NePhiRegistrationMethod.New(fixed, moving, settings=settings)
    assert fixed.GetReferenceCount() == before + 1
    transform = registered(fixed, moving).fixed_to_moving
    held = transform.GetReferenceCount()
    for _ in range(2000):
        method._SetTransforms(transform, transform)
        assert method.GetOutput().Get().GetReferenceCount() == held + 3
    del method
    assert transform.GetReferenceCount() == held


def test_the_transform_outlives_the_filter(fixed: Any, moving: Any) -> None:
    def run() -> Any:
        method = itk.NePhiRegistrationMethod.New(
            fixed, moving, settings=SETTINGS, initial_transform="geometry", seed=5
        )
        method.Update()
        return method.GetTransform()

    assert bits(run()) == bits(registered(fixed, moving).fixed_to_moving)


# the function


def options() -> dict[str, Any]:
    return {"settings": SETTINGS, "initial_transform": "geometry", "seed": 5}


def warped_by_itk(registration: Registration, fixed: Any, moving: Any) -> Any:
    return itk.resample_image_filter(
        moving,
        transform=registration.fixed_to_moving,
        use_reference_image=True,
        reference_image=fixed,
    )


def test_the_function_returns_the_warped_image_and_the_registration(
    fixed: Any, moving: Any
) -> None:
    mask = inside(ellipse(fixed), fixed)
    warped, registration = itk.nephi_registration_method(
        fixed, moving, fixed_mask=mask, **options(), steps=3
    )
    expected = registered(fixed, moving, settings=replace(SETTINGS, steps=3), fixed_mask=mask)
    assert isinstance(registration, itk_nephi.Registration)
    assert bits(registration.fixed_to_moving) == bits(expected.fixed_to_moving)
    assert type(warped) is type(moving)
    assert ImageDomain.of(warped) == ImageDomain.of(fixed)
    np.testing.assert_array_equal(warped, warped_by_itk(expected, fixed, moving))


def test_the_function_takes_images_of_different_types_and_filters(
    fixed: Any, moving: Any, dimension: int
) -> None:
    short = itk.cast_image_filter(moving, ttype=(type(moving), itk.Image[itk.SS, dimension]))
    shift = itk.ShiftScaleImageFilter.New(fixed)
    warped, registration = itk.nephi_registration_method(shift, short, **options())
    expected = registered(fixed, short)
    assert bits(registration.fixed_to_moving) == bits(expected.fixed_to_moving)
    assert type(warped) is type(short)
    np.testing.assert_array_equal(warped, warped_by_itk(expected, fixed, short))


def test_images_of_different_types_lose_no_digits(fixed: Any, moving: Any) -> None:
    large = image_like(fixed, np.asarray(fixed).astype(np.float64) + 1e10)
    _, registration = itk.nephi_registration_method(large, moving, **options())
    assert same_bits(registration, registered(large, moving))


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [*((kind, False) for kind in UNWRAPPED), ("bool", True), ("float16", True), ("int64", True)],
)
def test_the_function_takes_arrays_of_numbers_of_which_itk_has_no_images(
    kind: str, tensor: bool
) -> None:
    values = np.random.default_rng(1).integers(0, 2, size=(2, 9, 11)).astype(kind)
    given: list[Any] = [torch.from_numpy(each)[None] if tensor else each for each in values]
    how: dict[str, Any] = {"settings": SETTINGS, "initial_transform": None}
    warped, found = itk.nephi_registration_method(*given, **how)
    assert same_bits(found, register(*given, **how))
    assert warped.shape == given[0].shape


def test_the_function_takes_arrays_in_the_order_of_fortran(fixed: Any, moving: Any) -> None:
    arrays = [itk.array_from_image(image) for image in (fixed, moving)]
    warped, registration = itk.nephi_registration_method(
        *map(np.asfortranarray, arrays), **options()
    )
    expected, same = itk.nephi_registration_method(*arrays, **options())
    np.testing.assert_array_equal(warped, expected)
    assert same_bits(registration, same)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_the_function_takes_arrays_and_returns_one(fixed: Any, moving: Any, kind: str) -> None:
    arrays = [itk.array_from_image(image) for image in (fixed, moving)]
    images = [itk.image_from_array(array) for array in arrays]
    inside_fixed = arrays[0] > 50
    mask = itk.image_from_array(inside_fixed.astype(np.uint8))
    expected = registered(*images, fixed_mask=mask)
    if kind == "torch":
        given: list[Any] = [torch.from_numpy(array)[None] for array in arrays]
        given_mask: Any = torch.from_numpy(inside_fixed)[None]
    else:
        given, given_mask = arrays, inside_fixed
    warped, registration = itk.nephi_registration_method(*given, fixed_mask=given_mask, **options())
    assert bits(registration.fixed_to_moving) == bits(expected.fixed_to_moving)
    if kind == "torch":
        assert isinstance(warped, torch.Tensor)
        assert warped.shape == given[0].shape
        warped = warped[0]
    assert not isinstance(warped, itk.Object)
    np.testing.assert_array_equal(np.asarray(warped), warped_by_itk(expected, *images))

    by_name, _ = itk.nephi_registration_method(
        fixed_image=given[0], moving_image=given[1], fixed_mask=given_mask, **options()
    )
    np.testing.assert_array_equal(np.asarray(by_name).reshape(warped.shape), np.asarray(warped))


def test_the_function_takes_arrays_as_channels(fixed: Any, moving: Any) -> None:
    images = [
        [itk.array_from_image(image), np.sqrt(np.asarray(image))] for image in (fixed, moving)
    ]
    _, registration = itk.nephi_registration_method(
        images[0][0],
        images[1][0],
        fixed_channels=images[0][1:],
        moving_channels=[torch.from_numpy(images[1][1])[None]],
        **options(),
    )
    assert same_bits(registration, registered(*images))


def test_the_function_refuses_what_is_no_image(fixed: Any, moving: Any, dimension: int) -> None:
    run = itk.nephi_registration_method
    with pytest.raises(TypeError, match=r"expected fixed_image to be an itk.Image, .* got int"):
        run(3, moving)
    with pytest.raises(
        ValueError, match=r"expected moving_image as a tensor of shape \(1, k, j, i"
    ):
        run(fixed, torch.zeros(5, 6, 7))
    with pytest.raises(ValueError, match="expected fixed_mask of the shape of its image"):
        run(fixed, moving, fixed_mask=np.ones((2,) * dimension))
    with pytest.raises(TypeError, match="unexpected keyword argument 'step'"):
        run(fixed, moving, step=3)


def test_an_editor_can_show_the_arguments_of_the_function() -> None:
    parameters = inspect.signature(itk.nephi_registration_method).parameters.values()
    names = [parameter.name for parameter in parameters]
    assert names[:4] == ["fixed_image", "moving_image", "fixed_mask", "moving_mask"]
    assert all(parameter.annotation is not parameter.empty for parameter in parameters)
    method = itk.NePhiRegistrationMethod.values()[0].New()
    for name in names:
        if name != "auto_progress":
            setter = "Set" + "".join(word.capitalize() for word in name.split("_"))
            assert callable(getattr(method, setter))
