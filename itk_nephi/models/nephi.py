"""The model that predicts: two fields for all pairs, and an encoder that gives a pair's code."""

from __future__ import annotations

import copy
import dataclasses
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from itk_nephi.fields.deformation import Deformation
from itk_nephi.fields.filters import QUANTILE_VOXELS, gaussian
from itk_nephi.fields.latent_code import LatentCode, PairCode
from itk_nephi.fields.neural_field import DeformationField
from itk_nephi.fields.sampled_image import SampledImage, SampledTransform, tensor_from_image
from itk_nephi.fields.settings import (
    FieldSettings,
    check_settings,
    described,
    documented,
    setting,
)
from itk_nephi.models.encoder import Encoder, EncoderSettings
from itk_nephi.spatial import light_itk as itk
from itk_nephi.spatial.domain import ImageDomain

LARGEST_SIZE = 2**27
"""The most voxels of a model's box, 512 along each of three axes."""


@documented
@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The sizes of a model, and how images enter it."""

    field: FieldSettings = setting(
        FieldSettings(), "The sizes of the deformation fields and of the latent code."
    )
    encoder: EncoderSettings | None = setting(
        EncoderSettings(),
        "The sizes of the encoder. None for a model without, an auto-decoder, whose prediction is "
        "the code 0.",
    )
    size: tuple[int, ...] = dataclasses.field(
        metadata=described(
            "Voxels of the model's box along each axis, i first.", unit="voxels", minimum=2
        )
    )
    spacing: tuple[float, ...] = dataclasses.field(
        metadata=described("The spacing of these voxels along each axis.", unit="mm", above=0)
    )
    window: tuple[float, float] | None = setting(
        None,
        "The intensities that become 0 and 1. When left out, the quantiles of each image.",
    )
    quantiles: tuple[float, float] = setting(
        (0.005, 0.995),
        "The shares of the voxels at or below the intensities that become 0 and 1, where there is "
        "no window.",
        minimum=0,
        maximum=1,
    )
    training_data: str = setting("", "What it was trained on, in words.")

    def __post_init__(self) -> None:
        check_settings(self)
        if len(self.size) not in (2, 3):
            raise ValueError(f"expected size on 2 or 3 axes, got {self.size}")
        if self.field.spline_spacings:
            raise ValueError(
                "expected a model's field without B-splines, which only an optimization adds, got "
                f"spline_spacings {self.field.spline_spacings}"
            )
        if len(self.spacing) != len(self.size):
            raise ValueError(f"expected spacing on {len(self.size)} axes, got {self.spacing}")
        if math.prod(self.size) > LARGEST_SIZE:
            raise ValueError(f"expected size of at most {LARGEST_SIZE} voxels, got {self.size}")
        self.field.check_transform(self.bounds)
        for name in ("window", "quantiles"):
            pair = getattr(self, name)
            if pair is not None and not pair[0] < pair[1]:
                raise ValueError(f"expected {name} of two rising numbers, got {pair}")
        if (
            self.encoder is not None
            and self.encoder.published_size is not None
            and self.encoder.published_size != self.size
        ):
            raise ValueError(
                f"expected size to be the published encoder's, {self.encoder.published_size}, got "
                f"{self.size}"
            )

    @property
    def dimension(self) -> int:
        """Number of spatial dimensions, 2 or 3."""
        return len(self.size)

    @property
    def extent(self) -> tuple[float, ...]:
        """The edges of the model's box, mm."""
        return tuple(n * s for n, s in zip(self.size, self.spacing, strict=True))

    @property
    def bounds(self) -> tuple[float, ...]:
        """The largest coords of the model's box, per axis."""
        return self._domain(np.zeros(self.dimension), np.eye(self.dimension)).bounds

    def box(self, fixed: Any, fixed_mask: Any = None) -> ImageDomain:
        """Return the model's box around a fixed image.

        Parameters
        ----------
        fixed : itk.Image
            Gives the axes, in canonical order.
        fixed_mask : itk.Image, optional
            On the same grid; the box is centered on its non-zero voxels, or else on the image.

        Warns
        -----
        UserWarning
            If the box is smaller, or the image has less than two of its voxels along an axis.
        """
        box, finding = self.fit_box(fixed, fixed_mask)
        if finding is not None:
            warnings.warn(finding, stacklevel=2)
        return box

    def fit_box(self, fixed: Any, fixed_mask: Any = None) -> tuple[ImageDomain, str | None]:
        """Return what :meth:`box` does, and in place of a warning its text, if there is one."""
        domain = ImageDomain.of(fixed)
        if domain.dimension != self.dimension:
            raise ValueError(
                f"expected a model for {domain.dimension} dimensions like the images, got one for "
                f"{self.dimension}"
            )
        first, last = np.zeros(self.dimension), np.array(domain.size) - 1.0
        if fixed_mask is not None:
            inside = np.argwhere(itk.array_view_from_image(fixed_mask))[:, ::-1]
            first, last = inside.min(axis=0), inside.max(axis=0)
        box = self._domain(
            domain.points_from_index((first + last) / 2), np.array(domain.canonical().direction)
        )
        order, _ = domain.canonical_axes()
        whole, needed = (
            (voxels * np.array(domain.spacing))[list(order)]
            for voxels in (np.array(domain.size), last - first + 1)
        )
        if (needed > np.array(self.extent) * (1 + 1e-3)).any():
            what = "fixed" if fixed_mask is None else "fixed_mask"
            return box, (
                f"the model's box of {_edges(self.extent)} mm does not cover {what}, "
                f"{_edges(needed)} mm: what lies beyond moves as its border does"
            )
        if (whole < 2 * np.array(self.spacing)).any():
            return box, (
                f"fixed, {_edges(whole)} mm, is smaller than two voxels of the model's box, of "
                f"{_edges(self.spacing)} mm each: is its header in another unit?"
            )
        return box, None

    def _domain(self, center: Any, direction: Any) -> ImageDomain:
        half = (np.array(self.size) - 1) * np.array(self.spacing) / 2
        return ImageDomain(
            size=self.size,
            spacing=self.spacing,
            origin=tuple((center - direction @ half).tolist()),
            direction=tuple(tuple(row) for row in direction.tolist()),
        )

    def resample(
        self,
        image: Any,
        mask: Any,
        box: ImageDomain,
        space_map: SampledTransform | None = None,
        device: torch.device | str = "cpu",
    ) -> tuple[Tensor, Tensor]:
        """Bring an image to the model's box and its intensities.

        The image is blurred before if its voxels are smaller than the box's. Intensities are
        mapped to [0, 1], and to 0 outside the image and its mask.

        Parameters
        ----------
        image : itk.Image of float
            Of any grid.
        mask : itk.Image or None
            Weights of the voxels, in [0, 1], on the same grid.
        box : ImageDomain
            From :meth:`box`.
        space_map : SampledTransform, optional
            From the points of the box to those of the image; the identity when left out.
        device : torch.device
            Where to compute.

        Returns
        -------
        values : Tensor, shape (1, 1, k, j, i)
            Intensities in [0, 1].
        inside : Tensor, shape (1, 1, k, j, i)
            In [0, 1]: where the image and its mask are.

        Raises
        ------
        ValueError
            If no part of the image and its mask lies in the box.
        """
        grid = ImageDomain.of(image)
        values = tensor_from_image(image).to(device)
        ratio = box.voxel_size / grid.voxel_size
        values = gaussian(values, grid, math.sqrt(max(0.0, ratio**2 - 1)) / 2)
        if mask is not None:
            values = torch.cat([values, tensor_from_image(mask).to(device)], dim=1)
        axes = [torch.linspace(-b, b, n) for b, n in zip(box.bounds, box.size, strict=True)]
        coords = torch.stack(torch.meshgrid(*reversed(axes), indexing="ij")[::-1], dim=-1)
        sampled, inside = SampledImage(values, grid, box, space_map)(
            coords.flatten(0, -2).to(device)
        )
        if mask is not None:
            inside = inside * sampled[:, 1]
        if not inside.any():
            raise ValueError(
                "expected images and masks that lie in the model's box after the initial "
                "transform, got none of one in it; give another initial transform"
            )
        low, high = self.window or self._quantile_window(sampled[:, 0][inside > 0])
        scaled = ((sampled[:, 0] - low) / max(high - low, 1e-12)).clamp(0, 1) * inside
        shape = (1, 1, *reversed(box.size))
        return scaled.view(shape), inside.view(shape)

    def _quantile_window(self, values: Tensor) -> tuple[float, float]:
        some = values[:: -(-len(values) // QUANTILE_VOXELS)]
        low, high = np.quantile(some.cpu().numpy(), self.quantiles)
        return float(low), float(high)


class NePhi(nn.Module):
    """A model of many pairs: two deformation fields, and an encoder that gives a pair's code.

    Parameters
    ----------
    settings : ModelSettings
        What it is.
    generator : torch.Generator
        Draws the initial weights. The fields start as the identity.

    References
    ----------
    Tian et al., NePhi, arXiv:2309.07322.
    """

    def __init__(self, settings: ModelSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.settings = settings
        self.field = DeformationField(settings.field, settings.bounds, generator)
        self.inverse_field = DeformationField(
            settings.field, settings.bounds, generator, is_inverse=True
        )
        self.encoder = (
            None
            if settings.encoder is None
            else Encoder(settings.encoder, settings.field, settings.bounds, generator)
        )

    def forward(self, fixed: Tensor, moving: Tensor) -> list[PairCode]:
        """Predict the latent codes of a batch of pairs.

        Parameters
        ----------
        fixed, moving : Tensor, shape (B, 1, k, j, i)
            From :meth:`ModelSettings.resample`.

        Returns
        -------
        list of PairCode
            B codes, as both fields take them; 0 from a model without encoder.
        """
        if self.encoder is None:
            grid = self.settings.field.local_grid_size(self.settings.bounds)[::-1]
            global_codes = fixed.new_zeros(len(fixed), self.settings.field.global_code)
            local_codes = fixed.new_zeros(len(fixed), *grid, self.settings.field.local_channels)
        else:
            global_codes, local_codes = self.encoder(fixed, moving)
        return [PairCode(*both) for both in zip(global_codes, local_codes, strict=True)]

    def predict(
        self,
        fixed: Any,
        moving: Any,
        fixed_mask: Any = None,
        moving_mask: Any = None,
        *,
        box: ImageDomain,
        initial_transform: SampledTransform,
        device: torch.device | str = "cpu",
    ) -> Deformation:
        """Predict the deformation of a pair; the model itself does not change.

        Parameters
        ----------
        fixed, moving : itk.Image of float
            The images.
        fixed_mask, moving_mask : itk.Image, optional
            Weights of the voxels, in [0, 1], on the grids of the images.
        box : ImageDomain
            Around the fixed image, from :meth:`ModelSettings.box`.
        initial_transform : SampledTransform
            From points of the box to points of the moving image.
        device : torch.device
            Where to compute, and where the deformation is.

        Returns
        -------
        Deformation
            On the box, with copies of the model's fields.
        """
        settings = self.settings
        model = copy.deepcopy(self).to(device).eval()
        # on a GPU convolutions would else be rounded to 11 bits
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with torch.no_grad(), exact:
            one, _ = settings.resample(fixed, fixed_mask, box, device=device)
            other, _ = settings.resample(moving, moving_mask, box, initial_transform, device=device)
            (predicted,) = model(one, other)
            code = LatentCode(settings.field, settings.bounds, torch.Generator()).to(device)
            code.global_code.copy_(predicted.global_code)
            code.local_code.copy_(predicted.local_code)
        return Deformation(box, settings.field, model.field, model.inverse_field, code)


def _edges(lengths: Any) -> str:
    return " x ".join(f"{length:.4g}" for length in lengths)
