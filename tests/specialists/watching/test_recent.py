"""The last minute: what is counted, what is forgotten, how far a percentile may be off."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.specialists.gateway.pace import quantile
from tsuzuri.specialists.watching.recent import BUCKETS, PART_S, PARTS, LastMinute, bucket_of, percentile_ms

LAW = ("law", "r1")


class Clock:
    """A clock that is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(1, 600_000), min_size=1, max_size=50), st.sampled_from([0.5, 0.99]))
def test_a_percentile_is_within_half_a_bucket_of_the_true_one(times: list[float], share: float) -> None:
    found = percentile_ms(Counter(map(bucket_of, times)), share)
    assert found is not None
    true, most = quantile(times, share), 2 ** (0.5 / BUCKETS) * 1.000001
    assert true / most <= found <= true * most


def test_of_no_times_there_is_no_percentile() -> None:
    assert percentile_ms({}, 0.5) is None


def test_what_ended_is_told_for_a_minute_and_what_runs_as_long_as_it_does() -> None:
    clock = Clock()
    minute = LastMinute(clock)
    minute.note(LAW, "done", tokens=8, first_s=0.016, total_s=0.064)
    clock.now += PART_S
    minute.note(LAW, "stalled", total_s=3.0)
    (told,) = minute.told({LAW: 2, ("news", "r1"): 0})
    assert (told.in_flight, told.tokens, told.each) == (2, 8, (1, 1))
    assert told.outcomes == {"done": 1, "stalled": 1}
    assert told.first_ms == {bucket_of(16): 1}
    assert sum(told.total_ms.values()) == 2
    clock.now += (PARTS - 1) * PART_S
    (told,) = minute.told({})
    assert (told.outcomes, len(told.each), told.each[0]) == ({"stalled": 1}, PARTS, 1)
    clock.now += PART_S
    assert minute.told({}) == ()
    (told,) = minute.told({LAW: 1})
    assert (told.in_flight, sum(told.each)) == (1, 0)
