from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from itk_nephi.fields.jet import Jet

POINTS, FEATURES, DIMENSION = 7, 5, 3

Operation = Callable[[Jet], Jet]


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def random(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


OPERATIONS: dict[str, Operation] = {
    "sine": Jet.sine,
    "sum": lambda jet: jet + jet.sine(),
    "product": lambda jet: jet * jet.sine(),
    "affine map": lambda jet: jet.linear(
        torch.linspace(-1, 2, 4 * FEATURES, dtype=torch.float64).reshape(4, FEATURES),
        torch.arange(4.0, dtype=torch.float64),
    ),
    "linear map": lambda jet: jet.linear(torch.eye(FEATURES, dtype=torch.float64) * 3),
    "first part": lambda jet: jet.split(2)[0],
    "other part": lambda jet: jet.split(2)[1],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_derivatives_are_those_of_torch(name: str, generator: torch.Generator) -> None:
    operation = OPERATIONS[name]
    value = random(generator, POINTS, FEATURES)
    tangents = random(generator, DIMENSION, POINTS, FEATURES)
    found = operation(Jet(value, tangents))
    for along in range(DIMENSION):
        expected, derivative = torch.autograd.functional.jvp(
            lambda values: operation(Jet(values)).value, value, tangents[along]
        )
        torch.testing.assert_close(found.value, expected)
        torch.testing.assert_close(found.derivatives[along], derivative)


@pytest.mark.parametrize("name", OPERATIONS)
def test_without_tangents_values_are_the_same_and_no_derivatives_are_made(
    name: str, generator: torch.Generator
) -> None:
    value = random(generator, POINTS, FEATURES)
    tangents = random(generator, DIMENSION, POINTS, FEATURES)
    alone = OPERATIONS[name](Jet(value))
    assert torch.equal(alone.value, OPERATIONS[name](Jet(value, tangents)).value)
    with pytest.raises(ValueError, match="expected a jet with derivatives, got values only"):
        _ = alone.derivatives


def test_a_part_without_tangents_has_no_derivatives_to_give_its_sum(
    generator: torch.Generator,
) -> None:
    value = random(generator, POINTS, FEATURES)
    both = Jet(value, random(generator, DIMENSION, POINTS, FEATURES))
    for mixed in (both + Jet(value), Jet(value) + both, both * Jet(value)):
        assert mixed.tangents is None
