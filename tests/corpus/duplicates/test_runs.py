"""Sorted runs: every record in exactly one range, in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.corpus.duplicates.runs import (
    KEYED,
    KEYS,
    groups,
    in_order,
    key_ranges,
    keyed,
    read_range,
    write_runs,
)

KEY = st.one_of(st.integers(0, 5), st.integers(0, KEYS - 1), st.just(KEYS - 1))


@settings(max_examples=30, deadline=None)
@given(
    files=st.lists(st.lists(st.tuples(KEY, KEY), max_size=8), min_size=1, max_size=4),
    memory_bytes=st.integers(1, 2_000),
)
def test_ranges_divide_what_the_files_hold(
    files: list[list[tuple[int, int]]], memory_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, paths, row = tmp_path_factory.mktemp("runs"), [], 0
    expected: list[list[tuple[int, int]]] = [[], []]
    for number, records in enumerate(files):
        rows = np.arange(row, row + len(records))
        row += len(records)
        paths.append(folder / str(number))
        keys = np.array(records, np.uint64).reshape(-1, 2)
        write_runs(paths[-1], [in_order(keyed(keys[:, run], rows)) for run in range(2)])
        for run in range(2):
            expected[run] += list(zip(keys[:, run].tolist(), rows.tolist(), strict=True))
    for run in range(2):
        ranges = key_ranges(row * KEYED.itemsize, memory_bytes)
        found = [read_range(paths, KEYED, keys, run=run, of_runs=2) for keys in ranges]
        assert np.concatenate(found).tolist() == sorted(expected[run])


def test_ranges_are_as_many_as_the_memory_asks_for() -> None:
    assert key_ranges(0, 100) == [(0, KEYS)]
    assert len(key_ranges(1_000, 1_000)) == 4
    ranges = key_ranges(1_000, 100)
    assert [lower for lower, _ in ranges[1:]] == [upper for _, upper in ranges[:-1]]
    assert (ranges[0][0], ranges[-1][1]) == (0, KEYS)


@given(sizes=st.lists(st.integers(1, 50)), memory_bytes=st.integers(1, 100))
def test_groups_fit_the_memory_or_hold_one_item(sizes: list[int], memory_bytes: int) -> None:
    found = list(groups(np.array(sizes, np.int64), memory_bytes))
    assert [number for start, stop in found for number in range(start, stop)] == list(range(len(sizes)))
    for start, stop in found:
        assert stop == start + 1 or sum(sizes[start:stop]) <= memory_bytes
