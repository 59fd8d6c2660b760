"""How a pair is registered: the settings and their presets; needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from itk_nephi.fields.settings import (
    FieldSettings,
    change_settings,
    check_settings,
    documented,
    setting,
    settings_of,
)
from itk_nephi.losses.settings import WINDOWS, ObjectiveWeights, SimilarityName

if TYPE_CHECKING:
    from itk_nephi.losses.similarity import Similarity

PresetName = Literal["fast", "default", "accurate"]

RefinedName = Literal["splines", "code", "code_and_weights"]

PRESETS: tuple[PresetName, ...] = get_args(PresetName)

AT_POINTS = (
    "dissimilarity",
    "local_windows",
    "points",
    "points_per_voxel",
    "regularizer_points",
    "importance_sampling",
    "early_stop",
    "memory_limit",
    "diffusion_weight",
    "bending_weight",
    "folding_weight",
)
"""The settings that only a comparison at random points looks at."""

DEFAULT_SIMILARITY: SimilarityName = "local_ncc"

WINDOWED: SimilarityName = "windowed_ncc"
"""The similarity that is measured on a lattice."""

LATTICE_POINTS = 8
"""Along their longest axis, images on a lattice of fewer points show too little to begin with."""

LEAST_POINTS = 500
"""How many points are drawn in the smallest images, unless fewer are asked for."""


@documented
@dataclass(frozen=True, kw_only=True)
class RegistrationSettings(ObjectiveWeights):
    """How a pair is registered; without arguments at random points, else see the presets.

    For the similarities see :class:`itk_nephi.losses.Similarity`, for the step sizes
    :class:`itk_nephi.registration.optimizer.Schedule`.
    """

    field: FieldSettings = setting(
        FieldSettings(), "The sizes of the deformation fields and of the latent code."
    )
    similarity: SimilarityName = setting(
        DEFAULT_SIMILARITY,
        "Similarity metric: windowed_ncc, the squared NCC of windows around all points of a "
        "lattice, twice as far apart as the smoothing is wide; local_ncc, the NCC at all points of "
        "the intensities and of the locally standardized ones; ncc; mean_squares; or between "
        "modalities mind_ssc or mutual_information.",
    )
    dissimilarity: Callable[..., Any] | None = setting(
        None,
        "Minimized, instead of a similarity that has a name: a function of the smoothed "
        "intensities, see itk_nephi.losses.Dissimilarity.",
    )
    local_windows: tuple[float, ...] = setting(
        WINDOWS, "Standard deviations of the windows of local_ncc.", unit="voxels", above=0
    )
    window_radius: int = setting(
        2, "Radius of the windows of windowed_ncc.", unit="distances of compared points", minimum=1
    )
    spline_weight: float = setting(
        3.0,
        "With windowed_ncc, weight of the mean square of the derivatives of the B-splines that are "
        "optimized, if half of the images' variance lies within windows; else times the fourth "
        "power of twice that share: the finer the structure, the less it shows of large strain.",
        minimum=0,
    )
    outside_weight: float = setting(
        5.0,
        "With windowed_ncc, weight of the mean square of the displacement's derivatives outside "
        "the masks, where nothing is compared.",
        minimum=0,
    )
    smoothing_sigmas: tuple[float, ...] = setting(
        (2.0, 1.0),
        "Standard deviations of the images' Gaussian smoothing, one a level, coarse to fine. With "
        "windowed_ncc, coarse levels on which an image has fewer than "
        f"{LATTICE_POINTS} points are left out, and as many of the coarsest B-splines.",
        unit="voxels",
        minimum=0,
    )
    steps: int = setting(
        150,
        "Optimizer steps of each level. With windowed_ncc, fewer than 25 are smaller ones.",
        minimum=1,
    )
    points: int = setting(
        5_000,
        "Random points of each direction and step; in small images fewer, see points_per_voxel.",
        minimum=1,
    )
    points_per_voxel: float = setting(
        0.125,
        "At most how many points are drawn for each voxel of the fixed image, or of its mask, "
        f"though never fewer than {LEAST_POINTS}. More would fit the noise of small images.",
        above=0,
    )
    regularizer_points: int = setting(
        250, "How many of the points also serve the regularizer.", minimum=1
    )
    importance_sampling: float = setting(
        0.0,
        "Which part of the points, below 1, is drawn where the images have edges; these have "
        "smaller weights, so that the dissimilarity stays the same on average.",
        minimum=0,
        below=1,
    )
    landmark_weight: float = setting(
        0.1, "Weight of the guide landmarks, where there are any.", minimum=0
    )
    landmark_scale: float = setting(
        2.0,
        "Up to which distance a landmark pair is penalized about quadratically; beyond, about "
        "linearly.",
        unit="voxels",
        above=0,
    )
    network_learning_rate: float = setting(
        1e-3,
        "Largest step size of Adam for the fields, which rises and falls to zero within each "
        "level.",
        minimum=0,
    )
    code_learning_rate: float = setting(2e-2, "The same for the latent code.", minimum=0)
    spline_learning_rate: float = setting(
        1.0,
        "The same for the B-splines.",
        unit="distances of compared points",
        minimum=0,
    )
    early_stop: bool = setting(
        False,
        "Whether a level whose dissimilarity no longer falls is brought to its end within a few "
        "steps. Not by default: a plateau is only seen against the noise of the drawn points, "
        "below which an image pair may still gain.",
    )
    max_time: float | None = setting(
        None,
        "When a registration is to end, after its start, which includes the initial transform but "
        "no reading and writing: all levels are then taken in fewer steps, at least ten each, "
        "whose sizes still fall to zero. How many depends on the machine's speed: the result is "
        "not reproducible.",
        unit="seconds",
        above=0,
    )
    working_voxels: int = setting(
        6_000_000,
        "Images of more voxels are averaged over blocks, those with the finest spacing first, "
        "until they have no more than these: beyond, time and memory do not grow with the images. "
        "The result is a map of the images given, all the same.",
        minimum=1,
    )
    memory_limit: float | None = setting(
        None,
        "How much the copies of the images, their channels and a step may take, beside the images "
        "given and the libraries; of the GPU where that is used. Points are then evaluated in as "
        "small groups as it takes, which changes rounding errors and takes about a third longer.",
        unit="MiB",
        above=0,
    )

    def __post_init__(self) -> None:
        if callable(self.similarity):
            raise TypeError(
                "expected similarity to be a name, got a function: give what is to be minimized as "
                "dissimilarity"
            )
        if self.dissimilarity is not None and not callable(self.dissimilarity):
            raise TypeError(
                f"expected dissimilarity to be a function, got {self.dissimilarity!r}: give a name "
                "as similarity"
            )
        check_settings(self)
        if self.regularizer_points > self.points:
            raise ValueError(
                f"expected regularizer_points of at most points, {self.points}, got "
                f"{self.regularizer_points}"
            )
        if self.similarity == WINDOWED:
            entries = settings_of(RegistrationSettings)
            changed = [name for name in AT_POINTS if getattr(self, name) != entries[name].default]
            if changed:
                raise ValueError(
                    f"expected another similarity than {WINDOWED} with {', '.join(changed)}, which "
                    "only a comparison at random points looks at"
                )
        if self.dissimilarity is not None and self.similarity != DEFAULT_SIMILARITY:
            raise ValueError(
                f"expected similarity or dissimilarity, got both, similarity {self.similarity!r}"
            )

    def compared(self, voxel: float) -> Similarity:
        """Return the similarity metric of images with a voxel size, mm."""
        from itk_nephi.losses.similarity import Similarity

        return Similarity.of(
            self.similarity, self.dissimilarity, voxel=voxel, windows=self.local_windows
        )

    @property
    def compares_intensities(self) -> bool:
        """Whether the intensities of both images are compared as they are, in one unit."""
        return self.dissimilarity is not None or self.similarity == "mean_squares"

    def step_costs(self, dimension: int) -> tuple[float, ...]:
        """Return how long a step of each level takes, in units of one of the last level."""
        if self.similarity != WINDOWED:
            return (1.0,) * len(self.smoothing_sigmas)
        spacings = [lattice_spacing(each) for each in self.smoothing_sigmas]
        return tuple((spacings[-1] / each) ** dimension for each in spacings)

    def for_image(self, voxels: int, longest_edge: float) -> RegistrationSettings:
        """Return what suits an image: no more points than voxels, no level without structure.

        Parameters
        ----------
        voxels : int
            How many are compared.
        longest_edge : float
            Of the image, voxels.
        """
        if self.similarity == WINDOWED:
            counts = [1 + longest_edge / lattice_spacing(each) for each in self.smoothing_sigmas]
            left_out = sum(round(each, 6) < LATTICE_POINTS for each in counts[:-1])
            spacings = self.field.spline_spacings
            return replace(
                self,
                smoothing_sigmas=self.smoothing_sigmas[left_out:],
                field=replace(self.field, spline_spacings=spacings[left_out:] or spacings[-1:]),
            )
        points = int(min(self.points, max(LEAST_POINTS, self.points_per_voxel * voxels)))
        return replace(self, points=points, regularizer_points=min(points, self.regularizer_points))

    def changed(self, **changes: Any) -> RegistrationSettings:
        """Return these settings with some changed by name, those of the fields' sizes as well.

        Fewer points than ``regularizer_points`` bring these along, unless they are given, too.
        """
        points = changes.get("points", self.points)
        regularizer_points = min(points, self.regularizer_points)
        made: RegistrationSettings = change_settings(
            self, {"regularizer_points": regularizer_points} | changes
        )
        return made

    @classmethod
    def preset(cls, name: PresetName, **changes: Any) -> RegistrationSettings:
        """Return settings by name, some changed.

        They compare whole images in every step, by windowed_ncc, and refine a small network by
        B-splines with cells down to three voxels. Another similarity, and a setting that only a
        comparison at random points looks at, such as ``points`` or ``memory_limit``, leads to a
        larger network without B-splines, optimized at random points.

        Parameters
        ----------
        name : {"fast", "default", "accurate"}
            ``"fast"`` looks at every second voxel along each axis, and takes about a third of the
            default's time. ``"accurate"`` takes about twice as long as the default, with smoother
            maps and a smaller inverse consistency error, and averages images later.
        **changes
            Settings by name, those of the fields' sizes as well.

        Raises
        ------
        ValueError
            If there is no preset of this name, or a setting is not what it should be.
        """
        if name not in PRESETS:
            raise ValueError(f"expected preset to be one of {', '.join(PRESETS)}, got {name!r}")
        similarity = changes.get("similarity")
        at_points = any(changes.get(each) for each in AT_POINTS)
        if similarity == WINDOWED or (similarity is None and not at_points):
            found = _on_lattice(name)
        else:
            found = _at_points(name)
        return found.changed(**changes)


def lattice_spacing(sigma: float) -> float:
    """Return how far apart the points of a lattice are after smoothing by ``sigma``; voxels."""
    return max(1.0, 2 * sigma)


def _on_lattice(name: str) -> RegistrationSettings:
    default = RegistrationSettings(
        field=FieldSettings(
            width=32,
            depth=1,
            frequencies=16,
            global_code=8,
            local_channels=8,
            local_grid=8,
            spline_spacings=(96.0, 48.0, 24.0, 12.0, 6.0, 3.0),
        ),
        similarity=WINDOWED,
        smoothing_sigmas=(8.0, 4.0, 2.0, 1.0, 0.5),
        steps=25,
        gradicon_weight=7.0,
    )
    match name:
        case "fast":
            field = replace(default.field, spline_spacings=default.field.spline_spacings[:-1])
            sigmas = default.smoothing_sigmas[:-1]
            return replace(default, field=field, smoothing_sigmas=sigmas)
        case "accurate":
            return replace(default, steps=40, gradicon_weight=16.0, working_voxels=64_000_000)
    return default


def _at_points(name: str) -> RegistrationSettings:
    match name:
        case "fast":
            return RegistrationSettings(
                steps=72,
                points=3_000,
                regularizer_points=150,
                code_learning_rate=3e-2,
                working_voxels=3_000_000,
            )
        case "accurate":
            return RegistrationSettings(
                steps=300,
                points=10_000,
                regularizer_points=500,
                gradicon_weight=8.0,
                working_voxels=64_000_000,
            )
    return RegistrationSettings()


def chosen_settings(
    settings: RegistrationSettings | None,
    preset: PresetName | None,
    refine: RefinedName | None = None,
    **changes: Any,
) -> RegistrationSettings:
    """Return the settings that were given, those of a preset, or else the default, changed.

    Presets change a predicted code at random points, unless a similarity is given: on a lattice the
    large networks of models take long.
    """
    if settings is not None and preset is not None:
        raise ValueError(f"expected settings or preset, got both, preset {preset!r}")
    if settings is not None:
        return settings.changed(**changes)
    if refine in ("code", "code_and_weights"):
        changes.setdefault("similarity", DEFAULT_SIMILARITY)
    return RegistrationSettings.preset(preset or "default", **changes)
