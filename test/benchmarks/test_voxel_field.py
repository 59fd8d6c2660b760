"""A displacement of each voxel is a field like any other."""

import torch

from benchmarks.voxel_field import VoxelField
from itk_nephi import FieldSettings
from itk_nephi.fields.latent_code import LatentCode
from itk_nephi.spatial.domain import ImageDomain


def test_displacements_of_voxels_have_their_derivatives(domain: ImageDomain) -> None:
    generator = torch.Generator().manual_seed(0)
    settings = FieldSettings(global_code=0, local_channels=1, local_grid=2)
    code = LatentCode(settings, domain.bounds, generator)
    field = VoxelField(domain).double()
    with torch.no_grad():
        field.displacement.normal_(std=0.02, generator=generator)
    coords = torch.rand(50, domain.dimension, generator=generator).double() * 2 - 1
    coords = (coords * field.bounds).requires_grad_()
    moved, jacobian = field.with_jacobian(coords, code)
    for axis in range(domain.dimension):
        (row,) = torch.autograd.grad(moved[:, axis].sum(), coords, retain_graph=True)
        torch.testing.assert_close(jacobian[:, axis], row)
