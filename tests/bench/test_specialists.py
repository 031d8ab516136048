"""What specialists gain is reckoned from what models make of passages: the formulas, on numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from _specialists import Read, mixed
from specialists_quality import best_two, interval

PRIOR = np.array([0.25, 0.75])


def read(seed: int) -> Read:
    """Two models, three tokens that are given and five that are scored."""
    draw = np.random.default_rng(seed)
    return Read(np.log(draw.uniform(0.01, 0.9, (2, 3))), np.log(draw.uniform(0.01, 0.9, (2, 5))))


@pytest.mark.parametrize("seed", range(5))
def test_a_mixture_weighs_whoever_foresaw_more(seed: int) -> None:
    """Token by token, as one would write it down."""
    one = read(seed)
    weights, nats = PRIOR * np.exp(one.before.sum(1)), 0.0
    for token in np.exp(one.rest.T):
        shares = weights / weights.sum()
        nats -= math.log(shares @ token)
        weights = weights * token
    assert mixed(one, [0, 1], PRIOR) == pytest.approx(nats / math.log(2))


def test_a_mixture_of_one_is_that_one() -> None:
    one = read(7)
    assert mixed(one, [1], np.ones(1)) == pytest.approx(-one.rest[1].sum() / math.log(2))


def test_the_two_likeliest_share_what_they_had_alone() -> None:
    before = np.log(np.array([[0.1], [0.5], [0.4]]))
    members, prior = best_two(Read(before, before), [0, 1, 2], np.array([0.2, 0.2, 0.6]))
    assert members == [2, 1]
    assert prior.tolist() == pytest.approx([0.75, 0.25])


def test_an_interval_holds_the_ratio_and_narrows_where_all_gain_alike() -> None:
    draw = np.random.default_rng(0)
    bits = draw.uniform(50, 150, 200)
    domains = ["a", "b"] * 100
    assert interval(bits * 1.05, bits, domains) == pytest.approx((1.05, 1.05))
    low, high = interval(bits * draw.uniform(1.0, 1.1, 200), bits, domains)
    assert low < 1.05 < high
