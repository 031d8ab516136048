"""Buckets become pairs, pairs become clusters, and what stays is as the rule says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.corpus.duplicates.candidates import PAIR_BYTES, pair_counts, pairs_of, rank_ranges
from tsuzuri.corpus.duplicates.clusters import cluster
from tsuzuri.corpus.duplicates.runs import keyed, write_runs
from tsuzuri.corpus.duplicates.verify import VERIFIED


@settings(deadline=None)
@given(sizes=st.lists(st.integers(2, 12), max_size=4), limit=st.integers(2, 12))
def test_small_buckets_are_compared_whole_and_large_ones_with_their_best(
    sizes: list[int], limit: int
) -> None:
    bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    ranks = np.arange(bounds[-1]) * 3
    buckets = np.stack([bounds[:-1], bounds[1:]], axis=1)
    compared, uncompared = pair_counts(np.array(sizes, np.int64), limit)
    better, worse = pairs_of(ranks, buckets, limit, int(compared.sum()))
    pairs = list(zip(better.tolist(), worse.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert len(pairs) + uncompared.sum() == sum(size * (size - 1) // 2 for size in sizes)
    for start, stop in buckets.tolist():
        members = ranks[start:stop].tolist()
        assert {(members[0], other) for other in members[1:]} <= set(pairs)
        if len(members) <= limit:
            assert {(one, other) for one in members for other in members if one < other} <= set(pairs)


PAIRS = st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda pair: pair[0] < pair[1]))


@settings(deadline=None)
@given(pairs=PAIRS, cut=st.integers(0, 20))
def test_what_stays_resembles_nothing_better_that_stays(pairs: set[tuple[int, int]], cut: int) -> None:
    records = np.array([(one, other, 0.8 + one / 100) for one, other in sorted(pairs)], VERIFIED)
    found = cluster(12, [records[:cut], records[cut:]])
    kept = found.best == np.arange(12)
    for document in range(12):
        better_kept = [one for one, other in pairs if other == document and kept[one]]
        assert kept[document] == (not better_kept)
        if better_kept:
            assert found.best[document] == min(better_kept)
            assert found.jaccard[document] == pytest.approx(0.8 + min(better_kept) / 100)
        assert found.is_paired[document] == any(document in pair for pair in pairs)
    reached = {document: {document} for document in range(12)}
    for _ in range(12):
        for one, other in pairs:
            reached[one] = reached[other] = reached[one] | reached[other]
    assert found.cluster.tolist() == [min(reached[document]) for document in range(12)]


@settings(deadline=None)
@given(pairs=st.lists(st.integers(0, 11), max_size=40), pairs_in_memory=st.integers(1, 20))
def test_ranges_of_ranks_hold_as_many_pairs_as_fit(
    pairs: list[int], pairs_in_memory: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pairs") / "pairs.run"
    better = np.array(sorted(pairs), np.uint64)
    write_runs(path, [keyed(better, np.full(len(better), 12))])
    ranges = rank_ranges([path], 12, pairs_in_memory * PAIR_BYTES)
    assert [rank for start, stop in ranges for rank in range(start, stop)] == list(range(12))
    for start, stop in ranges:
        assert stop == start + 1 or sum(start <= one < stop for one in pairs) <= pairs_in_memory
