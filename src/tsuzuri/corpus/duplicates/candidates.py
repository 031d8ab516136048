"""Which documents are worth comparing: those that agree in one band of their signatures.

A bucket is the set of documents with one key in one band, wherever in the corpus they stand. Every pair of a
small bucket is compared. In a larger one each document is compared with the best of the bucket, which all of
a family of copies will lose to, and with the few that follow it in rank; what that leaves uncompared is
counted. Pairs are written as (better, worse) in ranks (0: the best document), sorted by the better one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled
from tsuzuri.core.files import atomic_file
from tsuzuri.corpus.duplicates.runs import (
    KEYED,
    KeyRange,
    in_order,
    keyed,
    read_range,
    write_runs,
)

Ranks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Buckets:
    """One band's documents whose keys lie in a range: a task for one worker."""

    sketches: tuple[Path, ...]
    """A file per part: (bands) runs of (key, row)."""
    ranks: Path
    """A `.npy`: (rows,) the rank of each document."""
    band: int
    """Which band."""
    bands: int
    """How many there are."""
    keys: KeyRange
    """Which keys."""
    bucket_documents: int
    """Largest bucket of which every pair is compared."""
    out: Path
    """Where the pairs go; what is not compared is counted beside it."""

    def write_pairs(self) -> None:
        """Write the distinct pairs of these buckets, unless an earlier run did."""
        if self.out.exists():
            return
        records = read_range(self.sketches, KEYED, self.keys, run=self.band, of_runs=self.bands)
        records["row"] = np.load(self.ranks, mmap_mode="r")[records["row"]]
        records = records[np.lexsort((records["row"], records["key"]))]
        keys, ranks = np.ascontiguousarray(records["key"]), np.ascontiguousarray(records["row"])
        del records
        bounds = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1], [True]]))
        bounds = bounds[np.flatnonzero(np.diff(bounds) > 1)[:, None] + np.arange(2)] if len(keys) else bounds
        better, worse, uncompared = pairs_of(ranks, bounds.reshape(-1, 2), self.bucket_documents)
        with atomic_file(uncompared_file(self.out), "w") as file:
            file.write(str(uncompared))
        write_runs(self.out, [in_order(keyed(better.astype(np.uint64), worse))])


def uncompared_file(pairs: Path) -> Path:
    """Where the number of pairs stands that the large buckets behind `pairs` left out."""
    return pairs.with_suffix(".uncompared")


def distinct_pairs(files: Sequence[Path], ranks: KeyRange) -> tuple[Ranks, Ranks]:
    """(better, worse) of every pair whose better one lies in a range, once, sorted."""
    records = read_range(files, KEYED, ranks)
    better, worse = records["key"].astype(np.int64), np.ascontiguousarray(records["row"])
    order = np.lexsort((worse, better))
    better, worse = better[order], worse[order]
    is_first = np.ones(len(better), bool)
    is_first[1:] = (better[1:] != better[:-1]) | (worse[1:] != worse[:-1])
    return better[is_first], worse[is_first]


@compiled
def _pairs_in(size: int, limit: int) -> int:
    """How many pairs of a bucket are compared."""
    if size <= limit:
        return size * (size - 1) // 2
    near = limit // 4  # fewer than the rest of the bucket, which is larger than `limit`
    return size - 1 + near * (size - 1) - near * (near + 1) // 2


@compiled
def pairs_of(ranks: Ranks, buckets: npt.NDArray[np.int64], limit: int) -> tuple[Ranks, Ranks, int]:
    """(better, worse) of the pairs to compare, and how many pairs of the buckets are not.

    `buckets` (n, 2) are bounds in `ranks`, which ascend in each bucket.
    """
    total = uncompared = 0
    for start, stop in buckets:
        size = stop - start
        total += _pairs_in(size, limit)
        uncompared += size * (size - 1) // 2 - _pairs_in(size, limit)
    better, worse = np.empty(total, np.int64), np.empty(total, np.int64)
    place = 0
    for start, stop in buckets:
        is_small = stop - start <= limit
        for one in range(start, stop):
            last = stop if is_small or one == start else min(stop, one + 1 + limit // 4)
            for other in range(one + 1, last):
                better[place], worse[place] = ranks[one], ranks[other]
                place += 1
    return better, worse, uncompared
