"""Quick registrations, and what tests ask of their results."""

from typing import Any

import itk
import numpy as np

from itk_nephi.fields.settings import FieldSettings
from itk_nephi.registration.instance_optimization import RegistrationSettings
from itk_nephi.registration.result import Registration
from itk_nephi.spatial.domain import ImageDomain, image_from_array

HASTY = RegistrationSettings(
    field=FieldSettings(width=8, frequencies=4, global_code=2, local_channels=2, local_grid=4),
    smoothing_sigmas=(1.0,),
    steps=6,
    points=200,
    regularizer_points=40,
)


def same_bits(one: Registration, other: Registration) -> bool:
    return all(
        np.array_equal(np.array(a.GetParameters()), np.array(b.GetParameters()))
        for a, b in (
            (one.fixed_to_moving, other.fixed_to_moving),
            (one.moving_to_fixed, other.moving_to_fixed),
        )
    )


def parts(composite: Any) -> list[str]:
    """Return the names of the transforms of a composite, the one applied first first."""
    count = composite.GetNumberOfTransforms()
    names = [composite.GetNthTransform(n).GetNameOfClass() for n in range(count)]
    return names[::-1]


def stored_otherwise(image: Any) -> Any:
    """Return the same voxels at the same points, axes reversed in memory and the first flipped."""
    domain = ImageDomain.of(image)
    last = np.zeros(domain.dimension)
    last[0] = domain.size[0] - 1
    direction = np.array(domain.direction)
    direction[:, 0] *= -1
    return image_from_array(
        np.flip(itk.array_from_image(image), -1).transpose(),
        ImageDomain(
            size=domain.size[::-1],
            spacing=domain.spacing[::-1],
            origin=tuple(domain.points_from_index(last).tolist()),
            direction=tuple(tuple(row) for row in direction[:, ::-1].tolist()),
        ),
    )
