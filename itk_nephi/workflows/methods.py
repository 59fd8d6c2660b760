"""Registration methods side by side: NePhi, and other programs where they are installed.

Each takes the same :class:`~itk_nephi.workflows.MethodInput`. It imports and converts what it
needs, and returns a function that registers, so that the time of a registration is that of the
registration alone. All but `elastix` start from the initial transform of the task, and find it as
NePhi does. ITK's own SyN is not among them: in the Python wheels of ITK 5.4.7 it ends in a
segmentation fault.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from itk_nephi.io.image_writing import write_image
from itk_nephi.io.transforms import write_transform
from itk_nephi.registration.settings import PresetName, RegistrationSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.conversion import displacement_field_transform
from itk_nephi.spatial.domain import Array
from itk_nephi.spatial.transforms import compose, matrix_and_offset
from itk_nephi.workflows.method_input import MethodInput

Found = tuple[Any, Any | None]
"""From fixed to moving points, and back where the method has an inverse."""


def nephi(
    task: MethodInput,
    preset: PresetName | None = None,
    settings: RegistrationSettings | None = None,
) -> Callable[[], Found]:
    """Prepare NePhi with the settings of a preset, or with those given."""
    from itk_nephi.registration.pairwise import register

    pair = task.pair

    def solve() -> Found:
        result = register(
            pair.fixed_image,
            pair.moving_image,
            fixed_mask=pair.fixed_mask,
            moving_mask=pair.moving_mask,
            initial_transform=pair.initial_transform,
            preset=preset,
            settings=settings,
            seed=task.seed or 0,
        )
        return result.fixed_to_moving, result.moving_to_fixed

    return solve


def elastix(task: MethodInput) -> Callable[[], Found]:
    """Prepare elastix as its users run it: with its own start, and default or own parameters.

    By default its affine registration without masks and then its B-spline registration with them,
    4 resolutions each, RequiredRatioOfValidSamples 0.05. Files of parameters run in their order,
    with the masks in all.
    """
    affine, bspline = (_default_map(kind) for kind in ("affine", "bspline"))
    affine["AutomaticTransformInitialization"] = ["true"]
    images, masks = task.images, task.masks

    def solve() -> Found:
        if task.elastix_parameters:
            files = [str(path) for path in task.elastix_parameters]
            return _elastix(task, images, masks, files), None
        start = _elastix(task, images, (None, None), [affine])
        return _elastix(task, images, masks, [bspline], start), None

    return solve


def elastix_bspline(task: MethodInput) -> Callable[[], Found]:
    """Prepare elastix's default B-spline registration from the initial transform of the task."""
    bspline = _default_map("bspline")
    images, masks = task.images, task.masks
    return lambda: (_elastix(task, images, masks, [bspline], task.initial_affine()), None)


def demons(task: MethodInput) -> Callable[[], Found]:
    """Prepare ITK's diffeomorphic demons, on matched intensities and three levels; no masks."""
    fixed, moving = task.images
    dimension = task.pair.dimension
    image, vectors = type(fixed), itk.Image[itk.Vector[itk.F, dimension], dimension]
    demons_filter = itk.DiffeomorphicDemonsRegistrationFilter[image, image, vectors]
    levels = itk.MultiResolutionPDEDeformableRegistration[image, image, vectors, itk.F]

    def solve() -> Found:
        affine = task.initial_affine()
        outside = float(itk.array_view_from_image(moving).min())
        brought = itk.resample_image_filter(
            moving,
            transform=affine,
            use_reference_image=True,
            reference_image=fixed,
            default_pixel_value=outside,
        )
        matched = itk.histogram_matching_image_filter(
            brought,
            reference_image=fixed,
            number_of_histogram_levels=1024,
            number_of_match_points=7,
            threshold_at_mean_intensity=True,
        )
        step = demons_filter.New()
        step.SetStandardDeviations(1.5)
        method = levels.New(fixed_image=fixed, moving_image=matched)
        method.SetRegistrationFilter(step)
        method.SetNumberOfLevels(3)
        method.SetNumberOfIterations([100, 100, 50])
        method.Update()
        return compose([displacement_field_transform(method.GetOutput()), affine]), None

    return solve


def ants(task: MethodInput) -> Callable[[], Found]:
    """Prepare ANTsPy's symmetric normalization with its defaults, from the initial transform."""
    import ants as ants_module

    def converted(image: Any) -> Any:
        return ants_module.from_numpy(
            itk.array_view_from_image(image).T.astype(np.float32),
            origin=tuple(image.GetOrigin()),
            spacing=tuple(image.GetSpacing()),
            direction=itk.array_from_matrix(image.GetDirection()),
        )

    fixed, moving = (converted(image) for image in task.images)
    masks = [None if mask is None else converted(mask) for mask in task.masks]

    def solve() -> Found:
        affine = task.initial_affine()
        start = task.folder / "initial.mat"
        write_transform(affine, start)
        result = ants_module.registration(
            fixed,
            moving,
            type_of_transform="SyNOnly",
            initial_transform=[str(start)],
            mask=masks[0],
            moving_mask=masks[1],
            outprefix=str(task.folder / "ants-"),
            random_seed=task.seed,
        )
        there, back = (
            next(name for name in result[key] if name.endswith("Warp.nii.gz"))
            for key in ("fwdtransforms", "invtransforms")
        )
        return _with_affine(_field(there), affine, _field(back))

    return solve


def greedy(task: MethodInput, options: str = "") -> Callable[[], Found]:
    """Prepare greedy, with local correlation in windows of 5 voxels, from the initial transform.

    ``options`` are more of its own.
    """
    import picsl_greedy

    dimension = task.pair.dimension
    program = {2: picsl_greedy.Greedy2D, 3: picsl_greedy.Greedy3D}[dimension]()
    paths = {
        name: task.folder / f"{name}.nii.gz"
        for name in ("fixed", "moving", "fixed_mask", "moving_mask", "there", "back")
    }
    flags = {"fixed": "", "moving": "", "fixed_mask": "-gm", "moving_mask": "-mm"}
    images = dict(zip(flags, (*task.images, *task.masks), strict=True))
    given = [name for name, image in images.items() if image is not None]
    for name in given:
        write_image(images[name], paths[name])
    masks = " ".join(f"{flags[name]} {paths[name]}" for name in given if flags[name])

    def solve() -> Found:
        affine = task.initial_affine()
        np.savetxt(task.folder / "initial.txt", _greedy_matrix(affine))
        windows = "x".join(["2"] * dimension)
        program.execute(
            f"-d {dimension} -i {paths['fixed']} {paths['moving']} {masks} "
            f"-it {task.folder / 'initial.txt'} -m NCC {windows} -n 100x50x20 "
            f"-o {paths['there']} -oinv {paths['back']} -threads {task.threads} {options}"
        )
        return _with_affine(_field(paths["there"]), affine, _field(paths["back"]))

    return solve


def fireants(task: MethodInput) -> Callable[[], Found]:
    """Prepare FireANTs' greedy registration by correlation, from the initial transform."""
    import torch
    from fireants.io.image import BatchedImages, Image
    from fireants.io.imagemask import apply_mask_to_image, generate_image_mask_allones
    from fireants.registration.greedy import GreedyRegistration

    device = "cuda" if torch.cuda.is_available() else "cpu"
    masked = any(mask is not None for mask in task.masks)
    batches = []
    for name, image, mask in zip(("fixed", "moving"), task.images, task.masks, strict=True):
        write_image(image, task.folder / f"{name}.nii.gz")
        loaded = Image.load_file(str(task.folder / f"{name}.nii.gz"), device=device)
        if masked and mask is None:
            loaded = apply_mask_to_image(loaded, generate_image_mask_allones(loaded))
        elif mask is not None:
            write_image(mask, task.folder / f"{name}_mask.nii.gz")
            weights = Image.load_file(str(task.folder / f"{name}_mask.nii.gz"), device=device)
            loaded = apply_mask_to_image(loaded, weights)
        batches.append(BatchedImages([loaded]))

    def solve() -> Found:
        affine = task.initial_affine()
        matrix, offset = matrix_and_offset(affine)
        start = np.eye(len(offset) + 1)
        start[:-1, :-1], start[:-1, -1] = matrix, offset
        method = GreedyRegistration(
            scales=[4, 2, 1],
            iterations=[200, 100, 50],
            fixed_images=batches[0],
            moving_images=batches[1],
            loss_type="masked_cc" if masked else "cc",
            init_affine=torch.tensor(start[None], dtype=torch.float32, device=device),
        )
        method.optimize()
        warp = task.folder / "there.nii.gz"
        method.save_as_ants_transforms(str(warp))
        return _field(warp), None  # the affine transform is part of the field

    return solve


METHODS: dict[str, tuple[Callable[[MethodInput], Callable[[], Found]], str | None]] = {
    "nephi": (nephi, None),
    "nephi-fast": (lambda task: nephi(task, "fast"), None),
    "nephi-accurate": (lambda task: nephi(task, "accurate"), None),
    "elastix": (elastix, "itk-elastix"),
    "elastix-bspline": (elastix_bspline, "itk-elastix"),
    "demons": (demons, None),
    "ants": (ants, "antspyx"),
    "greedy": (greedy, "picsl_greedy"),
    "fireants": (fireants, "fireants"),
}
"""Each method by name, and the package on PyPI that it needs beside this one."""


def is_installed(package: str | None) -> bool:
    """Return whether a package, or nothing, is installed."""
    try:
        return package is None or bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def default_methods() -> list[str]:
    """Return NePhi, elastix and demons, and what else is installed; presets are to be asked for."""
    return [
        name
        for name, (_, package) in METHODS.items()
        if name in ("nephi", "demons", "elastix") or (package and is_installed(package))
    ]


def _default_map(kind: str) -> Any:
    parameters = itk.ParameterObject.New().GetDefaultParameterMap(kind, 4)
    # elastix gives up below 0.25, which its random steps before the first one reach now and then
    parameters["RequiredRatioOfValidSamples"] = ["0.05"]
    return parameters


def _elastix(
    task: MethodInput,
    images: tuple[Any, Any],
    masks: tuple[Any | None, Any | None],
    maps: list[Any],
    initial_transform: Any = None,
) -> Any:
    """Run elastix with parameter maps, or files of them, one after the other."""
    parameters = itk.ParameterObject.New()
    for entry in maps:
        if isinstance(entry, str):
            parameters.AddParameterFile(entry)
        else:
            parameters.AddParameterMap(entry)
    for number in range(parameters.GetNumberOfParameterMaps()):
        parameters.SetParameter(number, "WriteResultImage", "false")
        if task.seed is not None:
            parameters.SetParameter(number, "RandomSeed", str(task.seed + 1))  # 0 is not allowed
    method = itk.ElastixRegistrationMethod[type(images[0]), type(images[1])].New(*images)
    method.SetParameterObject(parameters)
    method.SetLogToConsole(True)  # its SetNumberOfThreads crashes: ITK's default counts here
    if masks[0] is not None:
        method.SetFixedMask(masks[0])
    if masks[1] is not None:
        method.SetMovingMask(masks[1])
    if initial_transform is not None:
        method.SetInitialTransform(initial_transform)
    method.UpdateLargestPossibleRegion()
    return itk_transform(method)


def itk_transform(method: Any) -> Any:
    """Return what an ``itk.ElastixRegistrationMethod`` found as a transform of ITK.

    Raises
    ------
    RuntimeError
        If ITK has no such transform.
    """
    found = method.ConvertToItkTransform(method.GetCombinationTransform())
    if found is None:
        raise RuntimeError("expected a transform of elastix that ITK has too, got another")
    return itk.down_cast(found)


def _with_affine(field: Any, affine: Any, inverse_field: Any) -> Found:
    there = compose([field, affine])
    return there, compose([affine.GetInverseTransform(), inverse_field])


def _field(path: Path | str) -> Any:
    return displacement_field_transform(itk.imread(str(path)))


def _greedy_matrix(affine: Any) -> Array:
    """Return a transform as a matrix of homogeneous coordinates with the axes of NIfTI (RAS)."""
    matrix, offset = matrix_and_offset(affine)
    both = np.eye(len(offset) + 1)
    both[:-1, :-1], both[:-1, -1] = matrix, offset
    flip = np.diag([*[-1.0, -1.0, 1.0][: len(offset)], 1.0])
    return np.asarray(flip @ both @ flip)
