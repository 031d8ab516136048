from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.data.mixture import BLOCK_ROWS, Mixture

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
