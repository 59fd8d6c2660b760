"""How a pair is registered: the settings and their presets; needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from itk_nephi.fields.settings import (
    FieldSettings,
    change_settings,
    check_settings,
    documented,
    setting,
)
from itk_nephi.losses.settings import WINDOWS, ObjectiveWeights, SimilarityName

if TYPE_CHECKING:
    from itk_nephi.losses.similarity import Similarity

PRESETS = ("fast", "default", "accurate", "detailed")

DEFAULT_SIMILARITY: SimilarityName = "local_ncc"

LEAST_POINTS = 500
"""How many points are drawn in the smallest images, unless fewer are asked for."""


@documented
@dataclass(frozen=True, kw_only=True)
class RegistrationSettings(ObjectiveWeights):
    """How a pair is registered; without arguments the default, else see the presets.

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
    smoothing_sigmas: tuple[float, ...] = setting(
        (2.0, 1.0),
        "Standard deviations of the images' Gaussian smoothing, one a level, coarse to fine.",
        unit="voxels",
        minimum=0,
    )
    steps: int = setting(150, "Optimizer steps of each level.", minimum=1)
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
        0.15,
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
        if self.similarity == "windowed_ncc":
            weights = self.diffusion_weight, self.bending_weight, self.folding_weight
            if any(weights) or self.memory_limit is not None:
                raise ValueError(
                    "expected another similarity with diffusion_weight, bending_weight, "
                    "folding_weight or memory_limit, got windowed_ncc"
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

    def for_voxels(self, count: int) -> RegistrationSettings:
        """Return these settings with no more points than suit a count of voxels to compare."""
        points = int(min(self.points, max(LEAST_POINTS, self.points_per_voxel * count)))
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
    def preset(cls, name: str) -> RegistrationSettings:
        """Return settings by name.

        Parameters
        ----------
        name : {"fast", "default", "accurate", "detailed"}
            ``"fast"`` takes about a third of the default's time, and stays below 1.5 GiB.
            ``"accurate"`` takes about four times as long as the default, with the smallest inverse
            consistency error; with so many points a larger weight of GradICON costs no detail, and
            keeps noise from being fitted. ``"detailed"`` compares whole images in each step, and
            refines a small network by B-splines with cells down to three voxels: for brains and
            small organs.

        Raises
        ------
        ValueError
            If there is none of this name.
        """
        match name:
            case "fast":
                return cls(
                    steps=72,
                    points=3_000,
                    regularizer_points=150,
                    code_learning_rate=3e-2,
                    working_voxels=3_000_000,
                )
            case "default":
                return cls()
            case "accurate":
                return cls(
                    steps=300,
                    points=10_000,
                    regularizer_points=500,
                    gradicon_weight=8.0,
                    working_voxels=64_000_000,
                )
            case "detailed":
                return cls(
                    field=FieldSettings(
                        width=32,
                        depth=1,
                        frequencies=16,
                        global_code=8,
                        local_channels=8,
                        local_grid=8,
                        spline_spacings=(24.0, 12.0, 6.0, 3.0),
                    ),
                    similarity="windowed_ncc",
                    smoothing_sigmas=(2.0, 1.0, 0.5),
                    steps=40,
                    gradicon_weight=4.0,
                )
        raise ValueError(f"expected preset to be one of {', '.join(PRESETS)}, got {name!r}")


def chosen_settings(
    settings: RegistrationSettings | None, preset: str | None
) -> RegistrationSettings:
    """Return the settings that were given, those of a preset, or else the default."""
    if settings is not None and preset is not None:
        raise ValueError(f"expected settings or preset, got both, preset {preset!r}")
    return settings or RegistrationSettings.preset(preset or "default")
