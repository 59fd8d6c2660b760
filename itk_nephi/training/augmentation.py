"""Training examples: image pairs, augmented in physical space, on the model's box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from itk_nephi.fields.sampled_transforms import sample_transform
from itk_nephi.fields.settings import check_settings, documented, setting
from itk_nephi.models.nephi import ModelSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import ImageDomain
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.spatial.transforms import compose, flatten
from itk_nephi.training.pair_source import Cache, PairSource


@documented
@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Data augmentation: random affine maps of the images of a pair, in physical space."""

    affine: float = setting(
        0.0,
        "Standard deviation of what is added to the entries of the matrix of either image, "
        "dimensionless.",
        minimum=0,
    )
    shift: float = setting(
        0.0, "Standard deviation of either image's shift along each axis.", unit="mm", minimum=0
    )
    flips: tuple[int, ...] = setting(
        (),
        "The axes of the model's box, from 0 for i, along which both images together are mirrored "
        "half of the time.",
        minimum=0,
        maximum=2,
        may_be_empty=True,
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def changes_nothing(self) -> bool:
        """Whether images stay as they are."""
        return not (self.affine or self.shift or self.flips)

    def draw(self, box: ImageDomain, rng: np.random.Generator) -> tuple[Any, Any]:
        """Draw maps from points of the box to those of the fixed image, and of the moving one.

        Returns
        -------
        tuple of itk.AffineTransform
            About the center of the box; the moving image's initial transform follows.
        """
        dimension, direction = box.dimension, np.array(box.direction)
        signs = [-1.0 if axis in self.flips and rng.random() < 0.5 else 1.0 for axis in range(3)]
        mirror = direction @ np.diag(signs[:dimension]) @ direction.T
        maps = []
        for _ in range(2):
            change = np.eye(dimension) + self.affine * rng.normal(size=(dimension, dimension))
            made = itk.AffineTransform[itk.D, dimension].New()
            made.SetCenter(box.center.tolist())
            made.SetMatrix(itk.matrix_from_array(change @ mirror))
            made.SetTranslation((self.shift * rng.normal(size=dimension)).tolist())
            maps.append(made)
        return maps[0], maps[1]


class TrainingExample(NamedTuple):
    """A pair on the model's box, each of shape (1, k, j, i), or of a batch, (B, 1, k, j, i).

    ``fixed`` and ``moving`` are intensities in [0, 1]; the weights are those of points drawn in the
    images, the supports those of the points that they are mapped to.
    """

    fixed: Tensor
    moving: Tensor
    fixed_weights: Tensor
    moving_weights: Tensor
    fixed_support: Tensor
    moving_support: Tensor


class TrainingExamples:
    """The pairs of a source on a model's box, again and again, each time augmented anew.

    Parameters
    ----------
    source : PairSource
        The pairs.
    model : ModelSettings
        Gives the box and the intensities.
    augmentation : Augmentation
        The random changes. Without any, samples are kept in memory, as long as they fit.
    seed : int
        Shuffles the pairs, and draws the changes, together with the number of the sample.

    Raises
    ------
    ValueError
        If the augmentation mirrors along an axis that the model does not have.
    """

    def __init__(
        self, source: PairSource, model: ModelSettings, augmentation: Augmentation, seed: int
    ) -> None:
        if max(augmentation.flips, default=0) >= model.dimension:
            raise ValueError(
                f"expected flips of axes below {model.dimension}, the model's dimension, got "
                f"{augmentation.flips}"
            )
        self._source, self._model = source, model
        self._augmentation, self._seed = augmentation, seed
        self._cache = Cache() if augmentation.changes_nothing else Cache(0)

    def number_of_pair(self, index: int) -> int:
        """Return which pair a sample shows: every pair once, shuffled, then again."""
        epoch, position = divmod(index, len(self._source))
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._source))
        return int(order[position])

    def __getitem__(self, index: int) -> TrainingExample:
        number = self.number_of_pair(index)
        rng = np.random.default_rng([self._seed, index, 1])
        sample: TrainingExample = self._cache(
            number,
            lambda: self._make(self._source[number], rng),
            lambda made: sum(values.untyped_storage().nbytes() for values in made),
        )
        return sample

    def _make(self, pair: ImagePair, rng: np.random.Generator) -> TrainingExample:
        box = self._model.box(pair.fixed_image, pair.fixed_mask)
        to_fixed, to_moving = self._augmentation.draw(box, rng)
        to_moving = compose([to_moving, *flatten(pair.initial_transform)])
        found = []
        for image, mask, to_image in (
            (pair.fixed_image, pair.fixed_mask, to_fixed),
            (pair.moving_image, pair.moving_mask, to_moving),
        ):
            values, inside = self._model.resample(image, mask, box, sample_transform(to_image, box))
            support = inside if mask is None else torch.ones(()).expand_as(inside)
            found.append((values[0], inside[0], support[0]))
        return TrainingExample(*(values for both in zip(*found, strict=True) for values in both))
