"""Passages that an earlier document already has: found exactly, out of core, in characters.

A passage is a run of `min_characters` code points or more; it is cut from every document but the first that
has it. Repetition within one document (a refrain) is its author's. The answer is the one that a suffix
array of the whole corpus gives (Lee et al. 2022, arXiv 2107.06499), which needs the corpus in memory
several times over and is built on bytes, so that it divides characters. Here instead:

1. Winnowing (Schleimer, Wilkerson, Aiken: SIGMOD 2003) chooses anchors: of every N - k + 1 consecutive
   k-grams the one with the smallest number, k = N / 2. A passage of N characters holds the same anchor
   wherever it stands, and only one place in about N / 4 is one.
2. Anchors that two documents have are found in sorted runs.
3. Around those alone, every window of N characters gets its number; windows are found in sorted runs too,
   and all but those of the first document with them are cut.

Windows are compared by 64-bit numbers: that one of m windows is cut for a text that it only shares a number
with has the probability m / 2^64, given that it is in doubt at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from operator import methodcaller
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled
from tsuzuri.core.files import atomic_folder
from tsuzuri.corpus.duplicates.config import RepeatedPassageConfig
from tsuzuri.corpus.duplicates.parts import Parts, open_parts
from tsuzuri.corpus.duplicates.runs import (
    KEYED,
    KeyRange,
    Records,
    in_order,
    key_ranges,
    keyed,
    read_range,
    write_runs,
)
from tsuzuri.corpus.duplicates.shingles import Hashes, code_points, mixed, ngram_hashes
from tsuzuri.corpus.duplicates.spans import PLACE_BITS, Spans, joined, write_spans
from tsuzuri.corpus.work import Workers, in_folder

PASSAGES = "passages.parquet"
PLACES = np.dtype([("key", "<u8")])


def repeated_passages(
    paths: Sequence[Path],
    folder: Path,
    config: RepeatedPassageConfig = RepeatedPassageConfig(),  # noqa: B008 (frozen)
    *,
    taking_part: Path | None = None,
    workers: int = 1,
) -> dict[str, int]:
    """Counts; `folder/passages.parquet` has row, start and end of every passage to cut (see `spans.cut`).

    `paths` are Parquet files with `text`; `taking_part` is a `.npy` of booleans for the rows of all files
    together. Memory: `memory_bytes` a worker, and some dozen bytes per character of the longest document.
    """
    parts = open_parts(paths, ["text"], taking_part)
    facts = {"passages": config.as_mapping(), "documents": parts.fingerprint()}
    return in_folder(folder, facts, partial(_make, parts, config, folder / PASSAGES), workers)


def _make(
    parts: Parts, config: RepeatedPassageConfig, out: Path, folder: Path, workers: Workers
) -> dict[str, int]:
    texts = [Texts(parts, part, config, folder) for part in range(len(parts))]
    workers.each(methodcaller("write_anchors"), texts, "anchors of passages")
    anchors = tuple(text.anchors for text in texts)
    shared = _repeats(anchors, folder / "shared", config, workers, is_first_cut=True)
    workers.each(partial(_write_windows, shared), texts, "windows around anchors")
    windows = tuple(run for text in texts for run in sorted(text.windows.iterdir()))
    repeated = _repeats(windows, folder / "repeated", config, workers, is_first_cut=False)
    return write_spans(out, _spans(parts, repeated, config.min_characters))


def _write_windows(shared: Sequence[Path], texts: Texts) -> None:
    texts.write_windows(shared)


def _spans(parts: Parts, repeated: Sequence[Path], length: int) -> Iterator[Spans]:
    for start, stop in pairwise(parts.starts):
        where = read_range(repeated, PLACES, (start << PLACE_BITS, stop << PLACE_BITS))["key"]
        yield joined(where, np.full(len(where), length))


def _repeats(
    runs: tuple[Path, ...], stem: Path, config: RepeatedPassageConfig, workers: Workers, *, is_first_cut: bool
) -> list[Path]:
    """Files of the places whose key two documents have; of the first document too if `is_first_cut`."""
    total_bytes = sum(run.stat().st_size for run in runs)
    tasks = [
        Repeats(runs, keys, is_first_cut, stem.with_name(f"{stem.name}-{number:05}.run"))
        for number, keys in enumerate(key_ranges(total_bytes, config.memory_bytes))
    ]
    workers.each(methodcaller("write"), tasks, f"{stem.name} passages")
    return [task.out for task in tasks]


@dataclass(frozen=True)
class Texts:
    """The documents of a part: a task for one worker, twice."""

    parts: Parts
    """The documents."""
    part: int
    """Which part."""
    config: RepeatedPassageConfig
    """How long a passage is."""
    folder: Path
    """Where the runs go."""

    @property
    def anchors(self) -> Path:
        """A run of (k-gram, place)."""
        return self.folder / f"anchors-{self.part:05}.run"

    @property
    def windows(self) -> Path:
        """A folder of runs of (window, place)."""
        return self.folder / f"windows-{self.part:05}"

    def write_anchors(self) -> None:
        """Write the anchors of every document that is long enough, unless an earlier run did."""
        if self.anchors.exists():
            return
        found = [np.empty(0, KEYED)]
        for row, codes in self._codes(self.parts.selected(self.part)):
            if len(codes) >= self.config.min_characters:
                keys, places = anchors(codes, self.config.min_characters // 2, self.config.min_characters)
                found.append(keyed(keys, places | row << PLACE_BITS))
        write_runs(self.anchors, [in_order(np.concatenate(found))])

    def write_windows(self, shared: Sequence[Path]) -> None:
        """Write the windows that hold a shared anchor, unless an earlier run did."""
        if self.windows.exists():
            return
        start, stop = self.parts.starts[self.part : self.part + 2]
        where = read_range(shared, PLACES, (start << PLACE_BITS, stop << PLACE_BITS))["key"].astype(np.int64)
        rows, places = where >> PLACE_BITS, where & (2**PLACE_BITS - 1)
        selected = np.zeros(stop - start, bool)
        selected[rows - start] = True
        waiting, runs = [np.empty(0, KEYED)], 0
        with atomic_folder(self.windows) as folder:
            for row, codes in self._codes(selected):
                first, last = np.searchsorted(rows, [row, row + 1])
                waiting.append(windows(codes, places[first:last], self.config.min_characters, row))
                if sum(map(len, waiting)) * KEYED.itemsize * 4 >= self.config.memory_bytes:
                    write_runs(folder / f"{runs:05}.run", [in_order(np.concatenate(waiting))])
                    waiting, runs = [np.empty(0, KEYED)], runs + 1
            write_runs(folder / f"{runs:05}.run", [in_order(np.concatenate(waiting))])

    def _codes(self, selected: npt.NDArray[np.bool_]) -> Iterator[tuple[int, npt.NDArray[np.uint32]]]:
        for row, document in self.parts.read(self.part, ["text"], selected):
            yield row, code_points([document["text"]])[0]


@dataclass(frozen=True)
class Repeats:
    """The places in a range of keys that two documents have: a task for one worker."""

    runs: tuple[Path, ...]
    """Runs of (key, place)."""
    keys: KeyRange
    """Which keys."""
    is_first_cut: bool
    """Whether the places of the first document with a key are among them."""
    out: Path
    """Where the places go, in the order of the corpus."""

    def write(self) -> None:
        """Write the places, unless an earlier run did."""
        if self.out.exists():
            return
        records = read_range(self.runs, KEYED, self.keys)
        keys, where = np.ascontiguousarray(records["key"]), np.ascontiguousarray(records["row"])
        opens = np.ones(len(keys), bool)
        opens[1:] = keys[1:] != keys[:-1]
        group = np.cumsum(opens) - 1
        rows = where >> PLACE_BITS
        is_later = rows > rows[opens][group]  # than the first document with that key
        if self.is_first_cut:
            in_later = np.zeros(int(opens.sum()), bool)
            in_later[group[is_later]] = True
            is_later = in_later[group]
        found = np.empty(int(is_later.sum()), PLACES)
        found["key"] = np.sort(where[is_later])
        write_runs(self.out, [found])


@compiled
def anchors(codes: npt.NDArray[np.uint32], gram: int, length: int) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """(number, place) of each k-gram that is the last smallest of `length - gram + 1` consecutive ones.

    Small numbers are mixed once more: ranges of keys are to hold alike many.
    """
    hashes = np.empty(len(codes), np.uint64)
    count = ngram_hashes(codes, gram, hashes)
    width = length - gram + 1
    places = np.empty(max(0, count - width + 1), np.int64)
    found, smallest = 0, -1
    for stop in range(width, count + 1):
        if smallest < stop - width:
            smallest = stop - width
            for place in range(stop - width + 1, stop):
                if hashes[place] <= hashes[smallest]:
                    smallest = place
        elif hashes[stop - 1] <= hashes[smallest]:
            smallest = stop - 1
        if not found or places[found - 1] != smallest:
            places[found] = smallest
            found += 1
    numbers = np.empty(found, np.uint64)
    for anchor in range(found):
        numbers[anchor] = mixed(hashes[places[anchor]])
    return numbers, places[:found]


def windows(codes: npt.NDArray[np.uint32], places: npt.NDArray[np.int64], length: int, row: int) -> Records:
    """(number, place) of the windows of `length` characters that hold one of the anchors at `places`."""
    hashes = np.empty(len(codes), np.uint64)
    hashes = hashes[: ngram_hashes(codes, length, hashes)]
    change = np.zeros(len(hashes) + 1, np.int64)
    np.add.at(change, np.maximum(0, places + length // 2 - length), 1)
    np.add.at(change, np.minimum(len(hashes), places + 1), -1)
    starts = np.flatnonzero(np.cumsum(change[:-1]))
    return keyed(hashes[starts], starts | row << PLACE_BITS)
