"""How a pair is registered: the settings and their presets."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from itk_nephi.fields.settings import FieldSettings
from itk_nephi.losses.features import WINDOWS
from itk_nephi.losses.objective import ObjectiveWeights
from itk_nephi.losses.similarity import Dissimilarity, Similarity

PRESETS = ("fast", "default", "accurate")

DEFAULT_SIMILARITY = "local_ncc"

LEAST_POINTS = 500
"""How many points are drawn in the smallest images, unless fewer are asked for."""


@dataclass(frozen=True, kw_only=True)
class RegistrationSettings(ObjectiveWeights):
    """How a pair is registered; without arguments the default, else see the presets.

    Beside the following also the weights of the objective,
    :class:`itk_nephi.losses.ObjectiveWeights`.

    Parameters
    ----------
    field : FieldSettings
        The sizes of the deformation fields and the latent code.
    similarity : str
        How the images are compared: ``"local_ncc"``, the NCC at all points of the intensities and
        of the locally standardized ones, ``"ncc"``, ``"mean_squares"``, ``"mind_ssc"`` or
        ``"mutual_information"``, see :meth:`itk_nephi.losses.similarity.Similarity.of`.
    dissimilarity : callable, optional
        Minimized, in place of a similarity that has a name: a function of the smoothed intensities,
        see :data:`itk_nephi.losses.similarity.Dissimilarity`.
    local_windows : tuple of float
        Standard deviations of the windows of ``"local_ncc"``, voxels.
    smoothing_sigmas : tuple of float
        Standard deviations of the images' Gaussian smoothing, voxels, one a level, coarse to fine.
    steps : int
        Optimizer steps of each level.
    points : int
        Random points of each direction and step at which the images are compared; in small images
        fewer, see ``points_per_voxel``.
    points_per_voxel : float
        At most how many points are drawn for each voxel of the fixed image, or of its mask, though
        never fewer than ``LEAST_POINTS``. More would fit the noise of small images.
    regularizer_points : int
        How many of these also serve the regularizer.
    importance_sampling : float
        Which part of the points, below 1, is drawn where the images have edges; these count less,
        so that the dissimilarity stays the same on average.
    landmark_weight : float
        Weight of the landmark pairs, where there are any.
    landmark_scale : float
        Up to which distance a pair counts about quadratically, mm; beyond, it counts linearly.
    network_learning_rate, code_learning_rate : float
        Largest step sizes of Adam, which rise and fall to zero within each level, see
        :class:`itk_nephi.registration.optimizer.Schedule`.
    early_stop : bool
        Whether a level whose dissimilarity no longer falls is brought to its end within a few
        steps, see :class:`itk_nephi.registration.optimizer.Schedule`. Not by default: a plateau is
        only seen against the noise of the drawn points, below which an image pair may still gain.
    max_time : float, optional
        When a registration is to end, seconds after its start, which includes the initial
        transform: all levels are then taken in fewer steps, at least ten each, whose sizes still
        fall to zero. How many depends on the machine's speed: the result is not reproducible.
    working_voxels : int
        Images of more voxels are averaged over blocks, those with the finest spacing first, until
        they have no more than these: beyond, time and memory do not grow with the images. The
        result is a map of the images given, all the same.
    memory_limit : float, optional
        How much the copies of the images, their channels and a step may take, MiB, beside the
        images given and the libraries; of the GPU where that is used. Points are then evaluated in
        as small groups as it takes, which changes rounding errors and takes about a third
        longer.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    field: FieldSettings = FieldSettings()
    similarity: str = DEFAULT_SIMILARITY
    dissimilarity: Dissimilarity | None = None
    local_windows: tuple[float, ...] = WINDOWS
    smoothing_sigmas: tuple[float, ...] = (2.0, 1.0)
    steps: int = 150
    points: int = 5_000
    points_per_voxel: float = 0.125
    regularizer_points: int = 250
    importance_sampling: float = 0.0
    landmark_weight: float = 0.1
    landmark_scale: float = 2.0
    network_learning_rate: float = 1e-3
    code_learning_rate: float = 2e-2
    early_stop: bool = False
    max_time: float | None = None
    working_voxels: int = 6_000_000
    memory_limit: float | None = None

    def __post_init__(self) -> None:
        if not self.smoothing_sigmas or not all(0 <= s < math.inf for s in self.smoothing_sigmas):
            raise ValueError(
                f"expected smoothing_sigmas to be one number of voxels for each level, 0 or more, "
                f"got {self.smoothing_sigmas}"
            )
        for name in ("steps", "points", "regularizer_points", "working_voxels"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        if self.regularizer_points > self.points:
            raise ValueError(
                f"expected regularizer_points of at most points, {self.points}, got "
                f"{self.regularizer_points}"
            )
        super().__post_init__()
        if not 0 <= self.importance_sampling < 1:
            raise ValueError(
                "expected importance_sampling of 0 or more and below 1, got "
                f"{self.importance_sampling}"
            )
        for name in ("points_per_voxel", "landmark_scale", "max_time", "memory_limit"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"expected {name} of more than 0, got {value}")
        if not self.local_windows or not all(0 < w < math.inf for w in self.local_windows):
            raise ValueError(
                f"expected local_windows to be numbers of voxels, more than 0, got "
                f"{self.local_windows}"
            )
        self.compared(voxel=1.0)
        if self.dissimilarity is not None and self.similarity != DEFAULT_SIMILARITY:
            raise ValueError(
                f"expected similarity or dissimilarity, got both, similarity {self.similarity!r}"
            )

    def compared(self, voxel: float) -> Similarity:
        """Return what of the images is compared, and how, at a voxel size, mm."""
        return Similarity.of(
            self.similarity, self.dissimilarity, voxel=voxel, windows=self.local_windows
        )

    def for_voxels(self, count: int) -> RegistrationSettings:
        """Return these settings with no more points than suit a count of voxels to compare."""
        points = int(min(self.points, max(LEAST_POINTS, self.points_per_voxel * count)))
        return replace(self, points=points, regularizer_points=min(points, self.regularizer_points))

    @classmethod
    def preset(cls, name: str) -> RegistrationSettings:
        """Return settings by name.

        Parameters
        ----------
        name : {"fast", "default", "accurate"}
            ``"fast"`` takes about a third of the default's time, and stays below 1.5 GiB.
            ``"accurate"`` takes about four times as long as the default, and comes back the
            closest; with so many points a larger weight of GradICON costs no detail, and keeps
            noise from being fitted.

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
        raise ValueError(f"expected preset to be one of {', '.join(PRESETS)}, got {name!r}")


def chosen_settings(
    settings: RegistrationSettings | None, preset: str | None
) -> RegistrationSettings:
    """Return the settings that were given, those of a preset, or else the default."""
    if settings is not None and preset is not None:
        raise ValueError(f"expected settings or preset, got both, preset {preset!r}")
    return settings or RegistrationSettings.preset(preset or "default")
