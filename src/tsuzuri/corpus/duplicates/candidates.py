"""Which documents are worth comparing: those that agree in one band of their signatures.

A bucket is the set of documents with one key in one band, wherever in the corpus they stand. Every pair of a
small bucket is compared. In a larger one each document is compared with the best of the bucket, which all of
a family of copies will lose to, and with the few that follow it in rank; what that leaves uncompared is
counted. Pairs are written as (better, worse) in ranks (0: the best document), sorted by the better one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled
from tsuzuri.core.files import atomic_folder
from tsuzuri.corpus.duplicates.config import NearDuplicateConfig
from tsuzuri.corpus.duplicates.runs import (
    KEYED,
    KeyRange,
    groups,
    in_order,
    keyed,
    open_records,
    read_range,
    write_runs,
)

Ranks = npt.NDArray[np.int64]

PAIR_BYTES = 64
"""What one candidate takes while pairs are sorted and verified, its sets aside."""
UNCOMPARED = "uncompared"


@dataclass(frozen=True)
class Buckets:
    """One band's documents whose keys lie in a range: a task for one worker."""

    sketches: tuple[Path, ...]
    """A file per part: (bands) runs of (key, row)."""
    ranks: Path
    """A `.npy`: (rows,) the rank of each document."""
    band: int
    """Which band."""
    keys: KeyRange
    """Which keys."""
    config: NearDuplicateConfig
    """Which buckets are compared whole, and what their pairs may take."""
    out: Path
    """A folder for runs of pairs, and for the number of those left out."""

    def write_pairs(self) -> None:
        """Write the distinct pairs of these buckets, unless an earlier run did."""
        if self.out.exists():
            return
        records = read_range(self.sketches, KEYED, self.keys, run=self.band, of_runs=self.config.bands)
        records["row"] = np.load(self.ranks, mmap_mode="r")[records["row"]]
        records = records[np.lexsort((records["row"], records["key"]))]
        ranks = np.ascontiguousarray(records["row"])
        edges = np.flatnonzero(np.concatenate([[True], np.diff(records["key"]) != 0, [True]]))
        shared = np.flatnonzero(np.diff(edges) > 1)
        buckets = np.stack([edges[shared], edges[shared + 1]], axis=1)
        compared, uncompared = pair_counts(np.diff(buckets)[:, 0], self.config.bucket_documents)
        with atomic_folder(self.out) as folder:
            (folder / UNCOMPARED).write_text(str(int(uncompared.sum())))
            for start, stop in groups(compared * PAIR_BYTES, self.config.memory_bytes):
                total = int(compared[start:stop].sum())
                better, worse = pairs_of(ranks, buckets[start:stop], self.config.bucket_documents, total)
                run = in_order(keyed(better.astype(np.uint64), worse))
                write_runs(folder / f"{start:012}.run", [run])


def pair_counts(sizes: Ranks, limit: int) -> tuple[Ranks, Ranks]:
    """(buckets,) how many pairs of each are compared, and how many are not."""
    every = sizes * (sizes - 1) // 2
    near = limit // 4  # fewer than the rest of a bucket that is larger than `limit`
    few = sizes - 1 + near * (sizes - 1) - near * (near + 1) // 2
    compared = np.where(sizes <= limit, every, few)
    return compared, every - compared


def rank_ranges(files: Sequence[Path], documents: int, memory_bytes: int) -> list[KeyRange]:
    """Ranges of ranks whose pairs fit into the memory, or of one document whose pairs do not."""
    pairs = np.zeros(documents + 1, np.int64)
    for path in files:
        better = open_records(path, KEYED)["key"].astype(np.int64)
        pairs[1:] += np.bincount(better, minlength=documents)
    ends, bounds = np.cumsum(pairs), [0]
    while bounds[-1] < documents:
        last = np.searchsorted(ends, ends[bounds[-1]] + memory_bytes // PAIR_BYTES, side="right") - 1
        bounds.append(max(bounds[-1] + 1, int(last)))
    return list(pairwise(bounds))


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
def pairs_of(ranks: Ranks, buckets: npt.NDArray[np.int64], limit: int, total: int) -> tuple[Ranks, Ranks]:
    """(better, worse) of the `total` pairs to compare.

    `buckets` (n, 2) are bounds in `ranks`, which ascend in each bucket.
    """
    better, worse = np.empty(total, np.int64), np.empty(total, np.int64)
    place = 0
    for start, stop in buckets:
        is_small = stop - start <= limit
        for one in range(start, stop):
            last = stop if is_small or one == start else min(stop, one + 1 + limit // 4)
            for other in range(one + 1, last):
                better[place], worse[place] = ranks[one], ranks[other]
                place += 1
    return better, worse
