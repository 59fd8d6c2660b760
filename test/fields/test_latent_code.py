from __future__ import annotations

import pytest
import torch

from itk_nephi.fields.latent_code import InterpolatedCode, LatentCode
from itk_nephi.fields.settings import FieldSettings

SETTINGS = FieldSettings(global_code=6, local_channels=3, local_grid=9)
BOUNDS = (1.0, 0.5)


def code(seed: int, settings: FieldSettings = SETTINGS) -> LatentCode:
    return LatentCode(settings, BOUNDS, torch.Generator().manual_seed(seed))


def test_its_sizes_are_those_of_the_settings_the_grid_reversed() -> None:
    assert code(1).global_code.shape == (6,)
    columns, rows = SETTINGS.local_grid_size(BOUNDS)
    assert code(1).local_code.shape == (rows, columns, 3)
    assert rows < columns


def test_only_its_generator_decides_what_it_starts_from() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, same, other = code(1), code(1), code(2)
    assert torch.equal(torch.get_rng_state(), state)
    for name in ("global_code", "local_code"):
        assert torch.equal(getattr(one, name), getattr(same, name))
        assert not torch.equal(getattr(one, name), getattr(other, name))


def test_codes_start_with_a_length_of_about_one_whatever_their_size() -> None:
    for size in (4, 64):
        settings = FieldSettings(global_code=size, local_channels=size, local_grid=40)
        lengths = code(3, settings).local_code.detach().square().sum(dim=-1)
        # the mean of 800 lengths, each of standard deviation (2 / size) ** 0.5
        assert float(lengths.mean()) == pytest.approx(
            1, abs=4 * (2 / size / lengths.numel()) ** 0.5
        )


def test_no_global_code_is_an_empty_one() -> None:
    settings = FieldSettings(global_code=0, local_channels=3, local_grid=4)
    assert code(1, settings).global_code.shape == (0,)


@pytest.mark.parametrize("name", ["global_code", "local_code"])
def test_an_interpolated_code_is_on_the_line_between_two(name: str) -> None:
    one, other = code(1), code(2)
    for share in (0.0, 0.25, 1.0):
        found = getattr(InterpolatedCode(one, other, share), name)
        expected = (1 - share) * getattr(one, name) + share * getattr(other, name)
        torch.testing.assert_close(found, expected)
    assert torch.equal(getattr(InterpolatedCode(one, other, 0.0), name), getattr(one, name))
    assert torch.equal(getattr(InterpolatedCode(one, other, 1.0), name), getattr(other, name))


def test_interpolation_can_be_repeated() -> None:
    one, other = code(1), code(2)
    half = InterpolatedCode(one, other, 0.5)
    quarter = InterpolatedCode(one, half, 0.5)
    expected = InterpolatedCode(one, other, 0.25)
    torch.testing.assert_close(quarter.local_code, expected.local_code)


def test_both_ends_learn_by_their_share() -> None:
    one, other = code(1), code(2)
    InterpolatedCode(one, other, 0.25).global_code.sum().backward()
    for end, share in ((one, 0.75), (other, 0.25)):
        assert end.global_code.grad is not None
        torch.testing.assert_close(end.global_code.grad, torch.full((6,), share))


def test_splines_start_at_zero_and_are_interpolated_each_with_its_own() -> None:
    ends = [LatentCode(SETTINGS, BOUNDS, torch.Generator(), [(4, 2)]) for _ in range(2)]
    for end in ends:
        end.add_spline((8, 4))
        for splines in end.splines:
            assert [tuple(spline.shape) for spline in splines] == [(5, 7, 2), (7, 11, 2)]
            assert not any(spline.any() for spline in splines)
    for n, spline in enumerate([s for end in ends for splines in end.splines for s in splines]):
        torch.nn.init.constant_(spline, n)
    found = InterpolatedCode(*ends, 0.25).splines
    assert [[spline[0, 0, 0].item() for spline in splines] for splines in found] == [[1, 2], [3, 4]]
    found[1][0].sum().backward()
    assert ends[0].splines[0][0].grad is None
    torch.testing.assert_close(ends[1].splines[1][0].grad, torch.full((5, 7, 2), 0.25))
