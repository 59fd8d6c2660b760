"""Voxels of a domain."""

from itertools import product

import numpy as np

from itk_nephi.spatial.domain import Array, ImageDomain


def corner_indices(domain: ImageDomain) -> Array:
    return np.array(list(product(*((0, n - 1) for n in domain.size))))
