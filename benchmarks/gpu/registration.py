"""Registrations of a chest at several sizes: their time, memory and truth, and one step of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.cache import Figures
from benchmarks.gpu.device import Device
from benchmarks.performance.memory import draw_cube, optimize_voxels
from itk_nephi.evaluation.metrics import landmark_errors
from itk_nephi.fields.deformation import Deformation, splines_of
from itk_nephi.phantoms.pairs import lung
from itk_nephi.registration.pairwise import register
from itk_nephi.registration.problem import RegistrationProblem
from itk_nephi.registration.result import Registration
from itk_nephi.registration.settings import PresetName, RegistrationSettings
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import transform_points

LARGEST_VOXELS = 0.05
"""By how much the landmark error of a result may differ from that of the CPU."""

LARGEST_RELATIVE = 0.05
"""The same for gradients: rounding decides which points at the border lie in both images."""

FEW_STEPS = 1
"""Of each level in a dry run."""

COMPARED_POINTS = 20_000


def settings_of(device: Device, preset: PresetName) -> RegistrationSettings:
    """Return a preset, in a dry run with few steps."""
    settings = RegistrationSettings.preset(preset)
    return settings if device.is_gpu else replace(settings, steps=FEW_STEPS)


def registered(device: Device, images: tuple[Any, Any], preset: PresetName) -> Registration:
    """Register images on a device."""
    return register(*images, settings=settings_of(device, preset), device=device.name)


def measure(device: Device) -> Iterator[Figures]:
    """Yield time, memory and landmark error of registrations, from small images to large ones."""
    landmarks = lung(3).pair.evaluation_landmarks
    assert landmarks is not None
    before = float(np.linalg.norm(landmarks[1] - landmarks[0], axis=1).mean())
    for side in (128, 256, 512) if device.is_gpu else (16,):
        images = draw_cube("fixed", side), draw_cube("moving", side)
        for preset in ("default", "accurate"):
            figures, found = device.measured(partial(registered, device, images, preset))
            after = float(landmark_errors(found.fixed_to_moving, *landmarks).mean())
            yield (
                {"side": side, "preset": preset}
                | figures
                | {
                    "landmarks before, mm": round(before, 2),
                    "landmarks after, mm": round(after, 2),
                    "holds": after < before / 2 or not device.is_gpu,
                }
            )


def compare(device: Device) -> Iterator[Figures]:
    """Yield how far gradients and results are from those of the compiled kernels on the CPU."""
    side = 128 if device.is_gpu else 16
    images = draw_cube("fixed", side), draw_cube("moving", side)
    yield from _compare_gradients(device, images)
    settings = settings_of(device, "default")
    with device.computing():
        one = register(*images, settings=settings, device=device.name)
    start = time.perf_counter()
    other = register(*images, settings=settings)
    seconds = time.perf_counter() - start
    domain = ImageDomain.of(images[0])
    inside = np.random.default_rng(0).uniform(-0.9, 0.9, (COMPARED_POINTS, 3))
    points = domain.points_from_coords(inside * domain.bounds)
    moved = [transform_points(each.fixed_to_moving, points) for each in (one, other)]
    distances = np.linalg.norm(moved[0] - moved[1], axis=1) / domain.voxel_size
    landmarks = lung(3).pair.evaluation_landmarks
    assert landmarks is not None
    errors = [landmark_errors(each.fixed_to_moving, *landmarks).mean() for each in (one, other)]
    difference = float(abs(errors[0] - errors[1])) / domain.voxel_size
    yield {
        "of": "the result",
        "landmark errors, voxels": round(difference, 4),
        "root mean square, voxels": round(float(np.sqrt(np.square(distances).mean())), 4),
        "99 %, voxels": round(float(np.quantile(distances, 0.99)), 4),
        "seconds on the CPU": round(seconds, 1),
        "holds": difference <= LARGEST_VOXELS or not device.is_gpu,
    }


def _compare_gradients(device: Device, images: tuple[Any, Any]) -> Iterator[Figures]:
    """Yield differences of gradients, relative to the largest, where points lie between voxels."""
    pair = ImagePair(fixed=(images[0],), moving=(images[1],), initial_transform=None)
    settings = settings_of(device, "default")
    problems = [
        RegistrationProblem.prepare([pair], settings, torch.device(name))
        for name in (device.name, "cpu")
    ]
    for level, sigma in enumerate(problems[0].settings.smoothing_sigmas, start=1):
        with device.computing():
            found = _gradients(problems[0], level)
        worst = max(
            float((one.cpu() - other).abs().max() / other.abs().max().clamp(min=1e-12))
            for one, other in zip(found, _gradients(problems[1], level), strict=True)
        )
        yield {
            "of": f"gradients, sigma {sigma:g}",
            "relative": float(f"{worst:.2g}"),
            "holds": worst <= LARGEST_RELATIVE,
        }


def _gradients(problem: RegistrationProblem, level: int) -> list[torch.Tensor]:
    """Return the gradients of a level's objective at a random deformation."""
    generator = torch.Generator().manual_seed(0)
    deformation = Deformation.identity(
        problem.domain, problem.settings.field, generator, problem.spline_cells
    )
    with torch.no_grad():
        for spline in splines_of([deformation]):
            spline.normal_(std=0.003, generator=generator)
    deformation.to(problem.device)
    (objective,) = problem.objectives(level)
    objective.differentiate(deformation, generator)
    return [each.grad for each in deformation.parameters() if each.grad is not None]


def optimize_voxel_field(device: Device) -> Iterator[Figures]:
    """Yield the memory that a displacement of each voxel takes, the paper's comparison."""
    for side in (128, 256, 512) if device.is_gpu else (16,):
        images = draw_cube("fixed", side), draw_cube("moving", side)
        # memory does not change any more
        settings = RegistrationSettings(steps=2, points=5_000 if device.is_gpu else 500)
        run = partial(optimize_voxels, *images, settings=settings, device=device.name)
        yield {"side": side} | device.measured(run)[0]


def time_steps(device: Device) -> Iterator[Figures]:
    """Yield how long the steps of each level take: to begin, to end, and as one CUDA graph."""
    sides = (128, 256) if device.is_gpu else (16,)
    for side in sides:
        pair = ImagePair(
            fixed=(draw_cube("fixed", side),),
            moving=(draw_cube("moving", side),),
            initial_transform=None,
        )
        for name, settings in {
            "default": settings_of(device, "default"),
            "at points": RegistrationSettings(points=5_000 if device.is_gpu else 500),
        }.items():
            problem = RegistrationProblem.prepare([pair], settings, torch.device(device.name))
            for level, sigma in enumerate(problem.settings.smoothing_sigmas, start=1):
                yield {"side": side, "settings": name, "sigma": sigma} | _step(
                    device, problem, level
                )


def _step(device: Device, problem: RegistrationProblem, level: int) -> Figures:
    generator = torch.Generator().manual_seed(0)
    deformation = Deformation.identity(
        problem.domain, problem.settings.field, generator, problem.spline_cells
    )
    deformation.to(problem.device)
    (objective,) = problem.objectives(level)
    runs = 10 if device.is_gpu else 1

    def differentiate() -> None:
        for parameter in deformation.parameters():
            parameter.grad = None
        objective.differentiate(deformation, generator)

    def begin() -> None:
        for _ in range(runs):
            differentiate()

    with device.computing():
        begin()
        device.wait()
        start = time.perf_counter()
        begin()
        begun = time.perf_counter() - start
        device.wait()
        ended = time.perf_counter() - start
    figures: Figures = {
        "ms to begin": round(1e3 * begun / runs, 3),
        "ms": round(1e3 * ended / runs, 3),
    }
    if device.is_gpu and problem.settings.similarity == "windowed_ncc":
        figures["ms as a graph"] = _graph_milliseconds(device, differentiate)
    return figures


def _graph_milliseconds(device: Device, run: Callable[[], None]) -> float | str:
    """Return how long a run takes as one CUDA graph, or why it cannot be one."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(stream):
            run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        return round(1e3 * device.best(graph.replay), 3)
    except RuntimeError as error:
        return str(error).splitlines()[0]
