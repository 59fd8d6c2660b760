import math

import numpy as np
import pytest
import torch
from torch import Tensor

from itk_nephi.fields.deformation import Deformation
from itk_nephi.fields.latent_code import LatentCode
from itk_nephi.fields.neural_field import DeformationField
from itk_nephi.fields.settings import FieldSettings
from itk_nephi.spatial.domain import ImageDomain


@pytest.fixture
def field(deformation: Deformation) -> DeformationField:
    return deformation.field.double()


@pytest.fixture
def code(deformation: Deformation) -> LatentCode:
    return deformation.code.double()


def coords_in(field: DeformationField, count: int, largest: float = 0.999) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    relative = 2 * torch.rand(count, len(field.bounds), generator=generator) - 1
    return largest * relative.to(field.bounds) * field.bounds


def interpolated(local_code: Tensor, relative: Tensor) -> Tensor:
    """Interpolate the local code at one place, by a loop over the vertices of its cell."""
    size = torch.tensor(local_code.shape[-2::-1])
    index = (relative + 1) / 2 * (size - 1)
    lower = torch.minimum(index.long(), size - 2)
    result = torch.zeros_like(local_code[(0,) * len(size)])
    for step in np.ndindex(*(2,) * len(size)):
        vertex = lower + torch.tensor(step)
        result += (1 - (index - vertex).abs()).prod() * local_code[tuple(vertex.flip(0))]
    return result


def published(field: DeformationField, coords: Tensor, code: LatentCode) -> Tensor:
    """Move coords by the published architecture, written out layer by layer."""
    weights = dict(field.named_parameters())

    def linear(name: str, inputs: Tensor) -> Tensor:
        return inputs @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    phase = 2 * math.pi * coords @ field.embedding
    e = torch.cat([phase.sin(), phase.cos()], dim=1)
    local = torch.stack([interpolated(code.local_code, x / field.bounds) for x in coords])
    s = torch.cat([code.global_code.expand(len(coords), -1), local, e], dim=1)
    m0 = torch.sin(30 * linear("modulation.0", s))
    m1 = torch.sin(30 * linear("modulation.1", m0)) + m0
    m2 = torch.sin(30 * linear("modulation.2", m1)) + m0
    h0 = torch.sin(linear("synthesis.0", e))
    h1 = m1 * torch.sin(30 * linear("synthesis.1", h0))
    h2 = m2 * torch.sin(30 * linear("synthesis.2", h1))
    return coords + linear("output", h2)


@pytest.mark.parametrize(
    ("precision", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)]
)
def test_the_network_is_the_published_one(
    deformation: Deformation, precision: torch.dtype, tolerance: float
) -> None:
    field, code = deformation.field.to(precision), deformation.code.to(precision)
    code.splines = torch.nn.ModuleList([torch.nn.ParameterList(), torch.nn.ParameterList()])
    coords = coords_in(field, 50)
    expected = published(field, coords, code)
    assert (expected - coords).abs().max() > 0.05
    torch.testing.assert_close(field(coords, code), expected, atol=tolerance, rtol=0)
    torch.testing.assert_close(
        field.with_jacobian(coords, code)[0], expected, atol=tolerance, rtol=0
    )


def test_the_published_sizes_have_the_published_number_of_weights() -> None:
    for bounds, count in (((1.0, 1.0, 1.0), 140_419), ((1.0, 1.0), 140_290)):
        field = DeformationField(FieldSettings.paper(), bounds, torch.Generator())
        assert sum(weights.numel() for weights in field.parameters()) == count
        assert field.embedding.shape == (len(bounds), 128)
        code = LatentCode(FieldSettings.paper(), bounds, torch.Generator())
        assert code.global_code.shape == (32,)
        assert code.local_code.shape == (22,) * len(bounds) + (32,)


def test_a_new_field_is_the_identity(domain: ImageDomain, small_field: FieldSettings) -> None:
    new = Deformation.identity(domain, small_field, torch.Generator().manual_seed(1))
    for field in (new.field, new.inverse_field):
        coords = coords_in(field, 20, 1.5)
        assert torch.equal(field(coords, new.code), coords)
        moved, jacobian = field.with_jacobian(coords, new.code)
        assert torch.equal(moved, coords)
        assert torch.equal(jacobian, torch.eye(coords.shape[1]).expand_as(jacobian))


def test_hidden_layers_start_as_published(domain: ImageDomain) -> None:
    settings = FieldSettings(width=80, frequencies=40, global_code=7, local_channels=8)
    field = DeformationField(settings, domain.bounds, torch.Generator().manual_seed(1))
    weights = {name: values.detach() for name, values in field.named_parameters()}
    inputs = {"synthesis.0": 80, "modulation.0": 7 + 8 + 80}
    hidden = ("synthesis.1", "synthesis.2", "modulation.1", "modulation.2")
    limits = {name: 1 / count for name, count in inputs.items()}
    limits |= {name: math.sqrt(6 / 80) / 30 for name in hidden}
    for name, limit in limits.items():
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        assert weight.abs().max() <= limit
        assert weight.std() == pytest.approx(limit / math.sqrt(3), rel=0.05)
        assert 0.9 < bias.abs().max() * math.sqrt(inputs.get(name, 80)) <= 1
    assert field.embedding.std() == pytest.approx(1, rel=0.2)


def test_both_fields_have_frequencies_and_weights_of_their_own(deformation: Deformation) -> None:
    assert not torch.equal(deformation.field.embedding, deformation.inverse_field.embedding)
    for one, other in zip(
        deformation.field.parameters(), deformation.inverse_field.parameters(), strict=True
    ):
        assert not torch.equal(one, other)


def test_only_the_given_generator_is_drawn_from(
    domain: ImageDomain, small_field: FieldSettings
) -> None:
    def drawn(seed: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        made = Deformation.identity(domain, small_field, generator)
        return [made.field.embedding, *made.parameters()]

    before = torch.get_rng_state()
    first, again, other = drawn(5), drawn(5), drawn(6)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True) if a.any())


@pytest.mark.parametrize("largest", [0.999, 1.6])
def test_the_jacobian_is_that_of_autograd(
    field: DeformationField, code: LatentCode, largest: float
) -> None:
    coords = coords_in(field, 30, largest).requires_grad_()
    moved, jacobian = field.with_jacobian(coords, code)
    plainly_moved = field(coords, code)
    torch.testing.assert_close(moved, plainly_moved, atol=1e-13, rtol=0)
    for component in range(coords.shape[1]):
        for values in (moved, plainly_moved):
            total = values[:, component].sum()
            (expected,) = torch.autograd.grad(total, coords, retain_graph=True)
            torch.testing.assert_close(jacobian[:, component], expected, atol=1e-11, rtol=0)


@pytest.mark.parametrize("largest", [0.999, 1.6])
def test_the_jacobian_is_that_of_finite_differences(
    field: DeformationField, code: LatentCode, largest: float
) -> None:
    step = 1e-6
    coords = coords_in(field, 30, largest)
    jacobian = field.with_jacobian(coords, code)[1]
    columns = [
        (field(coords + e, code) - field(coords - e, code)) / (2 * step)
        for e in step * torch.eye(coords.shape[1], dtype=coords.dtype)
    ]
    assert (jacobian - torch.eye(coords.shape[1])).abs().max() > 0.05
    torch.testing.assert_close(jacobian, torch.stack(columns, dim=-1), atol=1e-6, rtol=1e-6)


def test_the_gradient_of_the_jacobian_is_that_of_finite_differences(
    field: DeformationField, code: LatentCode
) -> None:
    coords = coords_in(field, 10)
    codes = (code.global_code, code.local_code, *code.splines[0])
    parameters = [*field.parameters(), *codes]

    def total() -> Tensor:
        moved, jacobian = field.with_jacobian(coords, code)
        return moved.sum() + jacobian.square().sum()

    gradients = torch.autograd.grad(total(), parameters)
    generator = torch.Generator().manual_seed(1)
    step = 1e-6
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        with torch.no_grad():
            parameter.add_(step * direction)
            above = total()
            parameter.sub_(2 * step * direction)
            below = total()
            parameter.add_(step * direction)
        expected = (above - below) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), expected, atol=1e-5, rtol=1e-5)


def test_beyond_the_domain_the_displacement_is_that_of_the_nearest_boundary_point(
    field: DeformationField, code: LatentCode
) -> None:
    coords = coords_in(field, 60, 4.0)
    nearest = torch.maximum(torch.minimum(coords, field.bounds), -field.bounds)
    outside = nearest != coords
    assert outside.any(dim=1).sum() > 30
    torch.testing.assert_close(field(coords, code) - coords, field(nearest, code) - nearest)
    jacobian = field.with_jacobian(coords, code)[1] - torch.eye(coords.shape[1])
    assert (jacobian.movedim(1, 2)[outside] == 0).all()
    inside = field.with_jacobian(nearest, code)[1] - torch.eye(coords.shape[1])
    expected = inside.movedim(1, 2)[~outside]
    torch.testing.assert_close(jacobian.movedim(1, 2)[~outside], expected)


def test_a_vertex_of_the_local_code_lies_where_the_domain_ends(
    field: DeformationField, code: LatentCode
) -> None:
    size = torch.tensor(code.local_code.shape[-2::-1])
    vertices = torch.cartesian_prod(*(torch.arange(n) for n in size))
    coords = (2 * vertices.double() / (size - 1) - 1) * field.bounds
    moved = field(coords, code)
    everywhere = code.local_code.detach().clone()
    for vertex, expected in zip(vertices, moved, strict=True):
        # where only this vertex matters, its code may as well be everywhere
        with torch.no_grad():
            code.local_code.copy_(everywhere[tuple(vertex.flip(0))].expand_as(everywhere))
        at = (2 * vertex.double() / (size - 1) - 1) * field.bounds
        torch.testing.assert_close(field(at[None], code)[0], expected, atol=1e-12, rtol=0)


def test_all_parts_of_the_code_change_the_map(field: DeformationField, code: LatentCode) -> None:
    coords = coords_in(field, 20)
    before = field(coords, code)
    for values in (code.global_code, code.local_code, *code.splines[0]):
        with torch.no_grad():
            values.add_(0.1)
            assert (field(coords, code) - before).abs().amax(dim=1).min() > 1e-4
            values.sub_(0.1)


def test_at_first_only_the_output_layer_and_splines_learn_and_then_everything(
    domain: ImageDomain, small_field: FieldSettings
) -> None:
    new = Deformation.identity(domain, small_field, torch.Generator().manual_seed(2))
    coords = coords_in(new.field, 40)

    def names_that_learn() -> set[str]:
        modules = {"field": new.field, "code": new.code}
        for module in modules.values():
            module.zero_grad()
        moved, jacobian = new.field.with_jacobian(coords, new.code)
        torch.autograd.backward(moved.sin().sum() + jacobian.square().sum())
        return {
            f"{owner}.{name}"
            for owner, module in modules.items()
            for name, values in module.named_parameters()
            if values.grad is not None and values.grad.any()
        }

    splines = {"code.splines.0.0", "code.splines.0.1"}
    assert names_that_learn() == splines | {"field.output.weight", "field.output.bias"}
    with torch.no_grad():
        torch.nn.init.normal_(new.field.output.weight, generator=torch.Generator().manual_seed(1))
    everything = {f"field.{name}" for name, _ in new.field.named_parameters()}
    assert names_that_learn() == splines | everything | {"code.global_code", "code.local_code"}


def test_each_field_has_splines_of_its_own(deformation: Deformation) -> None:
    field, inverse_field, code = deformation.field, deformation.inverse_field, deformation.code
    coords = coords_in(field, 20)
    before = field(coords, code), inverse_field(coords, code)
    with torch.no_grad():
        code.splines[1][0].add_(0.1)
    assert torch.equal(field(coords, code), before[0])
    # the weights of all splines at a point have the sum 1
    torch.testing.assert_close(inverse_field(coords, code), before[1] + 0.1)


def test_splines_have_nearly_cubic_cells_on_every_box() -> None:
    settings = FieldSettings(spline_spacings=(20.0, 4.0, 1000.0))
    assert settings.spline_cells((1.0, 0.5), 0.01) == ((10, 5), (50, 25), (1, 1))
    assert settings.spline_cells((0.6, 1.0, 0.01), 0.01) == ((6, 10, 1), (30, 50, 1), (1, 1, 1))
    assert FieldSettings.paper().spline_cells((1.0, 1.0), 0.01) == ()


def test_the_local_code_has_nearly_cubic_cells_on_every_box() -> None:
    settings = FieldSettings(local_grid=16)
    assert settings.local_grid_size((1.0, 1.0, 1.0)) == (16, 16, 16)
    assert settings.local_grid_size((0.5, 1.0)) == (9, 16)
    assert settings.local_grid_size((1.0, 0.6, 0.01)) == (16, 10, 2)
    assert FieldSettings(local_grid=2).local_grid_size((0.1, 1.0)) == (2, 2)


def test_a_field_without_global_code_or_hidden_layers_works(domain: ImageDomain) -> None:
    settings = FieldSettings(
        width=1, depth=0, frequencies=1, global_code=0, local_channels=1, local_grid=2
    )
    generator = torch.Generator().manual_seed(1)
    smallest = Deformation.identity(domain, settings, generator)
    coords = coords_in(smallest.field, 5)
    moved, jacobian = smallest.field.with_jacobian(coords, smallest.code)
    assert torch.equal(moved, coords)
    assert jacobian.shape == (5, domain.dimension, domain.dimension)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("width", 1),
        ("depth", 0),
        ("frequencies", 1),
        ("global_code", 0),
        ("local_channels", 1),
        ("local_grid", 2),
    ],
)
def test_a_size_that_is_too_small_is_named(name: str, least: int) -> None:
    FieldSettings(**{name: least})
    limit = f"at least {least}" if least else "0 or more"
    with pytest.raises(ValueError, match=f"expected {name} of {limit}, got {least - 1}"):
        FieldSettings(**{name: least - 1})
