"""What the bench of repetition says of its samples."""

from __future__ import annotations

from generate import DISTINCT_BAR, Result, comparisons, verdict


def result(distinct: float, loops: int) -> Result:
    return Result([distinct] * 10, ["loop"] * loops, nats_per_character=2.0, elapsed_s=1.0)


def test_the_peers_own_median_is_the_peer() -> None:
    distinct, _ = comparisons(result(0.9, 0), result(0.96, 0))
    assert (distinct.ratio, distinct.ours, distinct.peer) == (0.9 / 0.96, 0.9, 0.96)


def test_a_loop_looks_no_better_beside_a_peer_that_loops_more() -> None:
    _, loops = comparisons(result(0.9, 1), result(0.9, 5))
    assert (loops.ratio, loops.ours, loops.peer) == (0.9, 0.9, 1.0)


def test_the_bar_is_met_by_both_numbers_alone() -> None:
    assert verdict(result(DISTINCT_BAR, 0)).endswith("(0): met")
    assert verdict(result(DISTINCT_BAR - 0.01, 0)).endswith("(0): missed")
    assert verdict(result(DISTINCT_BAR, 1)).endswith("(1): missed")
