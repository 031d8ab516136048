"""Groups are held out by their hash, whole."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.split import group_number, heldout

SIZES = st.dictionaries(st.text(min_size=1, max_size=8), st.integers(1, 1_000), min_size=2, max_size=40)


def position(group: str) -> float:
    return group_number(group) / 2**64


def groups_held_out(sizes: dict[str, int], fraction: float) -> set[str]:
    """Of groups of two documents each, those held out; never is one divided."""
    names = [name for name in sizes for _ in range(2)]
    numbers = np.array([group_number(name) for name in names], np.uint64)
    chosen = heldout(numbers, np.array([sizes[name] for name in names]), fraction).tolist()
    assert chosen[::2] == chosen[1::2]
    return {name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen}


@given(SIZES, st.floats(0.01, 0.99))
def test_a_group_stays_where_it_is_when_the_corpus_grows(sizes: dict[str, int], fraction: float) -> None:
    before = {group for group in sizes if position(group) < fraction}
    after = groups_held_out({**sizes, "新": 5}, fraction)
    if before:
        assert after - {"新"} == before - {"新"}


@given(SIZES, st.floats(0.01, 0.5), st.floats(0.01, 0.49))
def test_a_larger_share_holds_the_smaller(sizes: dict[str, int], fraction: float, more: float) -> None:
    if any(position(group) < fraction for group in sizes):
        assert groups_held_out(sizes, fraction) <= groups_held_out(sizes, fraction + more)


def test_few_groups_still_give_one_that_is_not_most_of_the_source() -> None:
    chosen = groups_held_out({"大": 900, "甲": 60, "乙": 40}, 1e-9)
    assert len(chosen) == 1
    assert chosen < {"甲", "乙"}


def test_nothing_is_held_out_where_nothing_can_be() -> None:
    assert groups_held_out({"甲": 10}, 1e-9) == set()
    assert groups_held_out({}, 0.5) == set()
    assert groups_held_out({"甲": 10, "乙": 10}, 0) == set()
    assert groups_held_out({"甲": 10, "乙": 10}, 1) == {"甲", "乙"}


def test_the_share_is_about_what_was_asked() -> None:
    sizes = {f"著者{number}": 1 for number in range(20_000)}
    assert 0.017 < len(groups_held_out(sizes, 0.02)) / len(sizes) < 0.023
