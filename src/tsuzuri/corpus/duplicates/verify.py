"""Whether candidates are near-copies: the Jaccard similarity of their sets of n-grams, exactly.

Only documents that are in some pair have their sets written down, a file per part; pairs are then verified
in groups whose sets fit into the memory given, each set read by its place.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled
from tsuzuri.core.files import atomic_file
from tsuzuri.corpus.duplicates.candidates import Ranks, distinct_pairs
from tsuzuri.corpus.duplicates.config import NearDuplicateConfig
from tsuzuri.corpus.duplicates.folding import folded_codes
from tsuzuri.corpus.duplicates.parts import Parts
from tsuzuri.corpus.duplicates.runs import KeyRange, groups
from tsuzuri.corpus.duplicates.shingles import Hashes, jaccard, ngram_set

VERIFIED = np.dtype([("better", "<i8"), ("worse", "<i8"), ("jaccard", "<f8")])
PLACED = np.dtype([("row", "<i8"), ("start", "<i8"), ("stop", "<i8")])
HASH_BYTES = 8


@dataclass(frozen=True)
class ShingleSets:
    """The sets of a part's candidates: a task for one worker."""

    parts: Parts
    """The documents."""
    part: int
    """Which part."""
    candidates: Path
    """A `.npy`: (rows,) true for a document in some pair."""
    shingle_characters: int
    """Length of the n-grams."""
    folder: Path
    """Where the sets go."""

    def write(self) -> None:
        """Write the sets one after the other, then where each begins, unless an earlier run did."""
        hashes, places = set_files(self.folder, self.part)
        if places.exists():
            return
        start, stop = self.parts.starts[self.part : self.part + 2]
        selected = np.array(np.load(self.candidates, mmap_mode="r")[start:stop])
        found = np.zeros(int(selected.sum()), PLACED)
        number = written = 0
        with atomic_file(hashes) as file:
            for rows, batch in self.parts.batches(self.part, ["text"], selected):
                codes, offsets = folded_codes(batch["text"])
                for row, (first, last) in zip(rows.tolist(), pairwise(offsets.tolist()), strict=True):
                    distinct = ngram_set(codes[first:last], self.shingle_characters)
                    file.write(distinct.data)
                    found[number] = row, written, written + len(distinct)
                    number, written = number + 1, written + len(distinct)
        with atomic_file(places) as file:
            np.save(file, found)


def set_files(folder: Path, part: int) -> tuple[Path, Path]:
    """The files of a part's sets, and of where each begins."""
    return folder / f"sets-{part:05}.u64", folder / f"sets-{part:05}.npy"


@dataclass(frozen=True)
class Pairs:
    """The pairs whose better document lies in a range of ranks: a task for one worker."""

    parts: Parts
    """The documents."""
    pairs: tuple[Path, ...]
    """Files of candidate pairs."""
    rows: Path
    """A `.npy`: (documents,) the row of each rank."""
    ranks: KeyRange
    """Which pairs."""
    config: NearDuplicateConfig
    """The threshold, and what the sets may take."""
    folder: Path
    """Where the sets are."""
    out: Path
    """Where the near-copies go."""

    def verify(self) -> None:
        """Write those pairs that are near-copies, in order, unless an earlier run did."""
        if self.out.exists():
            return
        better, worse = distinct_pairs(self.pairs, self.ranks)
        rows = np.load(self.rows, mmap_mode="r")
        found = [np.empty(0, VERIFIED)]
        with SetReader(self.folder, self.parts) as reader:
            left, right = np.array(rows[better]), np.array(rows[worse])
            sizes = reader.sizes(left) + reader.sizes(right)
            for start, stop in groups(sizes * HASH_BYTES, self.config.memory_bytes):
                wanted = np.unique(np.concatenate([left[start:stop], right[start:stop]]))
                hashes, offsets = reader.read(wanted)
                alike = jaccards(
                    hashes,
                    offsets,
                    np.searchsorted(wanted, left[start:stop]),
                    np.searchsorted(wanted, right[start:stop]),
                    self.config.threshold,
                )
                near = np.flatnonzero(alike >= self.config.threshold)
                records = np.empty(len(near), VERIFIED)
                records["better"], records["worse"] = better[start:stop][near], worse[start:stop][near]
                records["jaccard"] = alike[near]
                found.append(records)
        with atomic_file(self.out) as file:
            np.save(file, np.concatenate(found))


class SetReader:
    """Sets by the rows of their documents, read from the parts' files."""

    def __init__(self, folder: Path, parts: Parts) -> None:
        self._parts = parts
        files = [set_files(folder, part) for part in range(len(parts))]
        self._places = [np.load(places, mmap_mode="r") for _, places in files]
        self._paths = [hashes for hashes, _ in files]
        self._stack = ExitStack()

    def __enter__(self) -> SetReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def sizes(self, rows: Ranks) -> npt.NDArray[np.int64]:
        """How many n-grams each document has."""
        found = self._find(rows)
        return np.asarray(found["stop"] - found["start"])

    def read(self, rows: Ranks) -> tuple[Hashes, npt.NDArray[np.int64]]:
        """The sets of documents one after the other, and (rows + 1,) where each begins; rows ascend."""
        found, parts = self._find(rows), self._parts.part_of(rows)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(found["stop"] - found["start"])])
        hashes = np.empty(offsets[-1], np.uint64)
        bytes_of = hashes.view(np.uint8).data
        for part in np.unique(parts).tolist():
            with open(self._paths[part], "rb", buffering=0) as file:
                for number in np.flatnonzero(parts == part).tolist():
                    target = bytes_of[offsets[number] * HASH_BYTES : offsets[number + 1] * HASH_BYTES]
                    _read_into(file.fileno(), target, int(found["start"][number]) * HASH_BYTES)
        return hashes, offsets

    def _find(self, rows: Ranks) -> npt.NDArray[np.void]:
        found, parts = np.empty(len(rows), PLACED), self._parts.part_of(rows)
        for part in np.unique(parts).tolist():
            here = np.flatnonzero(parts == part)
            found[here] = self._places[part][np.searchsorted(self._places[part]["row"], rows[here])]
        return found


def _read_into(file: int, target: memoryview, start: int) -> None:
    while len(target):  # a call reads two gigabytes at most
        count = os.preadv(file, [target], start)
        assert count, "a file of sets ends before its sets do"
        target, start = target[count:], start + count


@compiled
def jaccards(
    hashes: Hashes,
    offsets: npt.NDArray[np.int64],
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    threshold: float,
) -> npt.NDArray[np.float64]:
    """(pairs,) the similarity of each pair of sets; 0 where their sizes already put it below `threshold`."""
    found = np.zeros(len(left))
    for pair in range(len(left)):
        one = hashes[offsets[left[pair]] : offsets[left[pair] + 1]]
        other = hashes[offsets[right[pair]] : offsets[right[pair] + 1]]
        if min(len(one), len(other)) >= threshold * max(len(one), len(other)):
            found[pair] = jaccard(one, other)
    return found
