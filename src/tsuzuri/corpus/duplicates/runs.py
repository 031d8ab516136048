"""Sorted runs on disk: how more records than fit into memory are brought together by their keys.

Every part of a corpus leaves one file of records sorted by key. All records of a range of keys, from every
file, are then found by bisection and read at once; a range is as small as the memory asks for. Equal keys
are never divided. This is the merge of an external sort without the merge: ranges are independent, so any
number of workers takes them in any order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tsuzuri.core.files import atomic_file

Records: TypeAlias = npt.NDArray[np.void]
KeyRange: TypeAlias = tuple[int, int]

KEYED = np.dtype([("key", "<u8"), ("row", "<i8")])
SORT_COPIES = 4  # what is read, what is sorted, its order, and what comes out
KEYS = 2**64


def keyed(keys: npt.NDArray[np.uint64], rows: npt.NDArray[np.int64]) -> Records:
    """(n,) records of `KEYED`, in the order given."""
    records = np.empty(len(keys), KEYED)
    records["key"], records["row"] = keys, rows
    return records


def in_order(records: Records) -> Records:
    """The records sorted by key; equal keys stay in their order."""
    return records[np.argsort(records["key"], kind="stable")]


def write_runs(path: Path, runs: Sequence[npt.NDArray[Any]]) -> None:
    """Write runs of equal length, each sorted by key, one after the other into one file."""
    with atomic_file(path) as file:
        for run in runs:
            file.write(np.ascontiguousarray(run).data)


def read_range(
    paths: Sequence[Path], dtype: np.dtype[Any], keys: KeyRange, *, run: int = 0, of_runs: int = 1
) -> Records:
    """The records of all files with lower ≤ key < upper, sorted by key, then file and place within it."""
    found = [np.empty(0, dtype)]
    for path in paths:
        records = open_records(path, dtype)
        length = len(records) // of_runs
        records = records[run * length : (run + 1) * length]
        if len(records):
            column = records["key"]
            stop = len(records) if keys[1] >= KEYS else bisect_left(column, keys[1])
            found.append(np.array(records[bisect_left(column, keys[0]) : stop]))
    return in_order(np.concatenate(found))


def open_records(path: Path, dtype: np.dtype[Any]) -> Records:
    """A file's records, mapped, not read."""
    if not path.stat().st_size:
        return np.empty(0, dtype)
    return np.memmap(path, dtype=dtype, mode="r")


def key_ranges(total_bytes: int, memory_bytes: int) -> list[KeyRange]:
    """Ranges that divide the keys evenly, as few as let each be sorted in the memory given."""
    count = max(1, -(-total_bytes * SORT_COPIES // memory_bytes))
    bounds = [KEYS * number // count for number in range(count)]
    return list(zip(bounds, [*bounds[1:], KEYS], strict=True))


def groups(bytes_each: npt.NDArray[np.int64], memory_bytes: int) -> Iterator[tuple[int, int]]:
    """Bounds of consecutive items that fit into the memory together, or of one that does not."""
    ends = np.cumsum(bytes_each)
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + memory_bytes, side="right")))
        yield start, stop
        start = stop
