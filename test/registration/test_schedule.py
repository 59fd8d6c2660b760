from __future__ import annotations

import math
import time

import numpy as np
import pytest

from itk_nephi.registration.optimizer import LEAST_STEPS, RISE, TAIL, WINDOW, Schedule, TimeLimit


def factors(schedule: Schedule, losses: list[float], pace: float = math.inf) -> list[float]:
    """Return the sizes of the steps that are taken while these dissimilarities are seen."""
    found = []
    for loss in losses:
        if (left := schedule.left(pace)) == 0:
            break
        found.append(schedule.factor(left))
        schedule.advance(left, loss)
    return found


def expected_factors(count: int, planned: int) -> list[float]:
    phases = [step / count for step in range(count)]
    return [
        min(1, (phase + 1 / planned) / RISE) * (1 + math.cos(math.pi * phase)) / 2
        for phase in phases
    ]


def test_steps_rise_and_fall_to_zero_along_a_cosine() -> None:
    expected = expected_factors(80, 80)
    assert expected[:3] == pytest.approx([1 / 16, 2 / 16, 3 / 16], rel=0.01)
    assert max(expected) > 0.9
    assert factors(Schedule(80), [1.0] * 100) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("pace", [40.0, 3.0, -5.0])
def test_fewer_steps_fall_along_the_same_cosine(pace: float) -> None:
    count = max(int(pace), LEAST_STEPS)
    expected = expected_factors(count, 80)
    assert factors(Schedule(80), [1.0] * 100, pace) == pytest.approx(expected, abs=1e-12)


def test_the_way_of_all_steps_shrinks_faster_than_their_number() -> None:
    ways = {
        count: sum(factors(Schedule(count, full_steps=25), [1.0] * count))
        for count in (1, 5, 10, 25, 50)
    }
    for few, many in ((1, 5), (5, 10), (10, 25)):
        assert ways[few] / ways[many] < (few / many) ** 2
    assert ways[50] / ways[25] == pytest.approx(2, rel=0.1)


def test_time_that_runs_short_makes_steps_smaller() -> None:
    plain, careful = Schedule(100), Schedule(100, full_steps=25)
    for schedule in (plain, careful):
        assert factors(schedule, [1.0] * 50) == factors(Schedule(100), [1.0] * 50)
    fewer, smaller = (factors(schedule, [1.0] * 100, pace=20.0) for schedule in (plain, careful))
    assert smaller[0] == pytest.approx((20 / 25) ** 2 * fewer[0])
    assert len(smaller) == len(fewer) == 10


def test_a_short_level_is_never_made_longer() -> None:
    assert len(factors(Schedule(4), [1.0] * 100, pace=1.0)) == 4


def test_time_that_runs_short_on_the_way_still_ends_at_zero() -> None:
    schedule = Schedule(100)
    early = factors(schedule, [1.0] * 50)
    late = factors(schedule, [1.0] * 100, pace=20.0)
    assert schedule.phase == 1
    assert len(late) == 10
    assert late == sorted(late, reverse=True)
    assert late[0] < early[-1]
    assert late[-1] < 0.05


def noisy(trend: np.ndarray, seed: int) -> list[float]:
    noise = 0.01 * np.random.default_rng(seed).normal(size=len(trend))
    return (trend + noise).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_a_level_that_has_come_to_a_plateau_ends_soon_and_with_small_steps(seed: int) -> None:
    trend = 0.3 + 0.7 * np.exp(-np.arange(1000) / 20)
    found = factors(Schedule(1000, early_stop=True), noisy(trend, seed))
    assert 2 * WINDOW + TAIL <= len(found) < 400
    fall = found[found.index(max(found)) :]
    assert fall == sorted(fall, reverse=True)
    assert found[-1] < 0.01
    assert len(factors(Schedule(1000), noisy(trend, seed))) == 1000


@pytest.mark.parametrize("seed", range(5))
def test_a_level_that_still_gains_is_not_ended(seed: int) -> None:
    # in a window twice the noise of a single value, seven standard errors
    trend = 1 - 0.02 / WINDOW * np.arange(500)
    assert len(factors(Schedule(500, early_stop=True), noisy(trend, seed))) == 500


def test_a_schedule_goes_on_from_where_another_stood() -> None:
    losses = noisy(np.full(200, 0.5), seed=1)
    whole = Schedule(200, early_stop=True)
    expected = factors(whole, losses)
    for stop in (10, WINDOW + 3, 2 * WINDOW + 5):
        first, second = (Schedule(200, early_stop=True) for _ in range(2))
        begun = factors(first, losses[:stop])
        second.load_state(first.state())
        assert begun + factors(second, losses[stop:]) == expected


def test_the_pace_shares_the_time_among_the_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    limit = TimeLimit(160.0)
    limit.prepared(4.0)
    found = []
    for seconds in (5.0, 0.5, 0.5, 0.5):
        found.append(limit.pace(phase=0.25, later=1))
        now += seconds
    assert found[:3] == [math.inf] * 3
    # 54 s are left, 4 of which to prepare the next level; 0.75 + 1 levels
    assert found[3] == pytest.approx((160 - 106 - 4) / 0.5 / 1.75)


def test_without_a_limit_there_is_always_time() -> None:
    limit = TimeLimit(math.inf)
    assert {limit.pace(0.5, 1) for _ in range(10)} == {math.inf}
