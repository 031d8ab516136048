"""Token buckets and addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.serving.accounts import limits
from tsuzuri.serving.accounts.limits import RateLimiter, network_of


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_bucket_gives_its_content_at_once_and_refills_evenly() -> None:
    clock = Clock()
    limiter = RateLimiter(clock)
    assert [limiter.take("a", many=60, per_s=60) for _ in range(60)] == [0.0] * 60
    assert limiter.left("a", many=60, per_s=60) == 0
    assert limiter.take("a", many=60, per_s=60) == pytest.approx(1.0)
    assert limiter.take("b", many=60, per_s=60) == 0.0
    clock.now_s += 2.0
    assert limiter.left("a", many=60, per_s=60) == 2
    assert [limiter.take("a", many=60, per_s=60) for _ in range(3)] == [0.0, 0.0, pytest.approx(1.0)]


@given(st.lists(st.floats(0, 30), max_size=200), st.integers(1, 20))
def test_no_minute_holds_more_than_twice_the_rate_and_waiting_as_told_lets_in(
    pauses: list[float], many: int
) -> None:
    clock = Clock()
    limiter = RateLimiter(clock)
    taken: list[float] = []
    for pause in pauses:
        clock.now_s += pause
        wait_s = limiter.take("a", many=many, per_s=60)
        if not wait_s:
            taken.append(clock.now_s)
            continue
        assert limiter.left("a", many=many, per_s=60) == 0
        clock.now_s += wait_s + 1e-3
        assert limiter.take("a", many=many, per_s=60) == 0
        taken.append(clock.now_s)
    for start in taken:
        assert sum(start <= at < start + 60 for at in taken) <= 2 * many


def test_the_memory_of_buckets_is_bounded() -> None:
    clock = Clock()
    limiter = RateLimiter(clock)
    for number in range(limits.MOST_BUCKETS + 10):
        limiter.take(str(number), many=10, per_s=60)
    assert len(limiter._full_at_s) <= limits.MOST_BUCKETS


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_addresses_of_one_subscriber_are_one(address: str, network: str) -> None:
    assert network_of(address) == network
