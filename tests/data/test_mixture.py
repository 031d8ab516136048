from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.core.errors import RecipeError
from tsuzuri.data.mixture import BLOCK_ROWS, Mixture, shares

WEIGHTS = st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=9)


def parts(weights: list[float]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


@settings(max_examples=25, deadline=None)
@given(weights=WEIGHTS)
def test_every_prefix_is_within_one_row_of_its_shares(weights: list[float]) -> None:
    mixture = Mixture(parts(weights))
    rows = mixture.block_rows + 50
    components, ranks = mixture.place(np.arange(rows))
    for component, count in enumerate(mixture.counts.tolist()):
        drawn = np.cumsum(components == component)
        due = np.arange(1, rows + 1) * count / mixture.block_rows
        assert np.abs(drawn - due).max() < 1
        own = ranks[components == component]
        assert own.tolist() == list(range(len(own)))


@settings(max_examples=25, deadline=None)
@given(weights=WEIGHTS, rows=st.integers(0, 10**12))
def test_counts_of_a_prefix_need_no_walk(weights: list[float], rows: int) -> None:
    mixture = Mixture(parts(weights))
    drawn = mixture.drawn(rows)
    assert sum(drawn) == rows
    components, ranks = mixture.place(np.arange(rows, rows + 40))
    for component, rank in zip(components.tolist(), ranks.tolist(), strict=True):
        assert rank == drawn[component]
        drawn[component] += 1


@settings(max_examples=25, deadline=None)
@given(weights=WEIGHTS)
def test_shares_are_kept_to_one_part_in_a_block(weights: list[float]) -> None:
    mixture = Mixture(parts(weights))
    for share, count in zip(parts(weights), mixture.counts.tolist(), strict=True):
        assert abs(count / mixture.block_rows - share) <= len(weights) / BLOCK_ROWS
        assert count >= 1


def test_simple_ratios_make_short_blocks() -> None:
    assert Mixture([1.0]).block_rows == 1
    mixture = Mixture([0.75, 0.25])
    assert mixture.counts.tolist() == [3, 1]
    assert mixture.place(np.arange(8))[0].tolist() == [0, 0, 0, 1, 0, 0, 0, 1]


def test_a_source_of_any_share_is_not_forgotten() -> None:
    assert Mixture([1 - 1e-9, 1e-9]).counts.tolist() == [BLOCK_ROWS, 1]


def test_without_weights_the_tokens_decide() -> None:
    assert shares(None, {"a": 300, "b": 100}) == {"a": 0.75, "b": 0.25}
    assert shares(None, {"a": 300, "b": 0}) == {"a": 1.0, "b": 0.0}


def test_weights_come_in_any_unit() -> None:
    assert shares({"b": 6, "a": 2, "c": 0}, {"a": 1, "b": 1, "c": 1}) == {"a": 0.25, "b": 0.75, "c": 0.0}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": 1, "aozorra": 1}, "did you mean 'aozora'"),
        ({"a": 1}, "no weight for source 'aozora'"),
        ({"a": -1, "aozora": 1}, "must be 0 or more"),
        ({"a": float("nan"), "aozora": 1}, "must be 0 or more"),
        ({"a": float("inf"), "aozora": 1}, "must be 0 or more"),
        ({"a": 0, "aozora": 0}, "gives no source any weight"),
        ({"a": 1, "aozora": 1, "empty": 1}, "does not hold|do not hold"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        shares(weights, {"a": 10, "aozora": 10})


def test_a_source_without_tokens_cannot_be_drawn() -> None:
    with pytest.raises(RecipeError, match="'a' has a weight but no tokens"):
        shares({"a": 1}, {"a": 0})
