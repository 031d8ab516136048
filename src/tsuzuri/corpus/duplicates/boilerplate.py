"""A site's furniture: lines that stand on page after page of one group (host, package).

A line, without the white space around it, is boilerplate in a group when it stands in at least
`min_documents` of the group's documents and in `min_share` of them. It stays in the first document that has
it, so that nothing is lost, and is cut from the others. The same line in another group is another line, and a
document without a group has no site.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from operator import methodcaller
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from tsuzuri.core.compiled import compiled
from tsuzuri.core.files import atomic_file
from tsuzuri.corpus.duplicates.config import BoilerplateConfig
from tsuzuri.corpus.duplicates.parts import Parts, open_parts
from tsuzuri.corpus.duplicates.runs import KeyRange, Records, in_order, key_ranges, read_range, write_runs
from tsuzuri.corpus.duplicates.shingles import Hashes, code_points, mixed, ngram_hashes
from tsuzuri.corpus.duplicates.spans import PLACE_BITS, Spans, joined, write_spans
from tsuzuri.corpus.work import Workers, in_folder

BOILERPLATE = "boilerplate.parquet"
LINE = np.dtype([("key", "<u8"), ("row", "<i8"), ("group", "<u8"), ("length", "<i8")])
PASSAGE = np.dtype([("key", "<u8"), ("length", "<i8")])
GROUP = np.dtype([("group", "<u8"), ("documents", "<i8")])
NO_GROUP = 0

_WHITE_SPACE = np.array([0x09, 0x0B, 0x0C, 0x0D, 0x20, 0x85, 0xA0, 0x3000, 0xFEFF], np.uint32)
_NEW_LINE = np.uint32(0x0A)


def boilerplate_lines(
    paths: Sequence[Path],
    folder: Path,
    config: BoilerplateConfig = BoilerplateConfig(),  # noqa: B008 (frozen)
    *,
    taking_part: Path | None = None,
    workers: int = 1,
) -> dict[str, int]:
    """Counts; `folder/boilerplate.parquet` has row, start and end of every line to cut (see `spans.cut`).

    `paths` are Parquet files with `text` and `group`; `taking_part` is a `.npy` of booleans for the rows of
    all files together. Memory: `memory_bytes` a worker, 32 bytes for each line of the part that it reads, and
    for a moment some 50 for each group of each part.
    """
    parts = open_parts(paths, ["text", "group"], taking_part)
    facts = {"boilerplate": config.as_mapping(), "documents": parts.fingerprint()}
    return in_folder(folder, facts, partial(_make, parts, config, folder / BOILERPLATE), workers)


def _make(
    parts: Parts, config: BoilerplateConfig, out: Path, folder: Path, workers: Workers
) -> dict[str, int]:
    groups = folder / "groups.npy"
    if not groups.exists():
        with atomic_file(groups) as file:
            np.save(file, _large_groups(parts, config.min_documents))
    lines = [Lines(parts, part, config, groups, folder) for part in range(len(parts))]
    workers.each(methodcaller("write"), lines, "lines of documents")
    runs = tuple(task.out for task in lines)
    ranges = key_ranges(sum(run.stat().st_size for run in runs), config.memory_bytes)
    tasks = [
        Recurring(runs, keys, config, groups, folder / f"recurring-{number:05}.run")
        for number, keys in enumerate(ranges)
    ]
    workers.each(methodcaller("write"), tasks, "recurring lines")
    counts = write_spans(out, _spans(parts, [task.out for task in tasks]))
    return {"groups": len(np.load(groups)), **counts}


def _spans(parts: Parts, recurring: Sequence[Path]) -> Iterator[Spans]:
    for start, stop in pairwise(parts.starts):
        found = read_range(recurring, PASSAGE, (start << PLACE_BITS, stop << PLACE_BITS))
        yield joined(found["key"], found["length"])


def _large_groups(parts: Parts, min_documents: int) -> npt.NDArray[np.void]:
    """(groups,) of `GROUP`, sorted: those with documents enough."""
    found: list[npt.NDArray[np.void]] = [np.empty(0, GROUP)]
    for part in range(len(parts)):
        names = pq.read_table(parts.paths[part], columns=["group"])["group"].filter(parts.selected(part))
        items = names.value_counts().to_pylist()
        found.append(np.array([(group_number(item["values"]), item["counts"]) for item in items], GROUP))
    everything = np.concatenate(found)
    numbers, of = np.unique(everything["group"], return_inverse=True)
    counted = np.zeros(len(numbers), GROUP)
    counted["group"] = numbers
    np.add.at(counted["documents"], of, everything["documents"])
    large: npt.NDArray[np.void] = counted[(counted["documents"] >= min_documents) & (numbers != NO_GROUP)]
    return large


def group_number(name: str | None) -> int:
    """A group's 64-bit number; `NO_GROUP` for a document that has none."""
    if not name:
        return NO_GROUP
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") or 1


@dataclass(frozen=True)
class Lines:
    """The lines of a part's documents in large groups: a task for one worker."""

    parts: Parts
    """The documents."""
    part: int
    """Which part."""
    config: BoilerplateConfig
    """Which lines are looked at."""
    groups: Path
    """The large groups."""
    folder: Path
    """Where the run goes."""

    @property
    def out(self) -> Path:
        """A run of lines by group and text."""
        return self.folder / f"lines-{self.part:05}.run"

    def write(self) -> None:
        """Write the run, unless an earlier run did."""
        if self.out.exists():
            return
        large = set(np.load(self.groups)["group"].tolist())
        found = [np.empty(0, LINE)]
        selected = self.parts.selected(self.part)
        for row, document in self.parts.read(self.part, ["text", "group"], selected):
            group = group_number(document["group"])
            if group in large:
                codes, _ = code_points([document["text"]])
                found.append(_lines(codes, row, group, self.config.min_characters))
        write_runs(self.out, [in_order(np.concatenate(found))])


def _lines(codes: npt.NDArray[np.uint32], row: int, group: int, shortest: int) -> Records:
    keys, starts, lengths = line_numbers(codes, np.uint64(group), shortest)
    records = np.empty(len(keys), LINE)
    records["key"], records["row"] = keys, starts | row << PLACE_BITS
    records["group"], records["length"] = group, lengths
    return records


@dataclass(frozen=True)
class Recurring:
    """The lines whose numbers lie in a range: a task for one worker."""

    runs: tuple[Path, ...]
    """Runs of lines."""
    keys: KeyRange
    """Which lines."""
    config: BoilerplateConfig
    """How often is too often."""
    groups: Path
    """The large groups."""
    out: Path
    """Where the lines to cut go, in the order of the corpus."""

    def write(self) -> None:
        """Write the lines to cut, unless an earlier run did."""
        if self.out.exists():
            return
        records = read_range(self.runs, LINE, self.keys)
        rows = records["row"] >> PLACE_BITS
        opens, is_new = np.ones(len(records), bool), np.ones(len(records), bool)
        opens[1:] = records["key"][1:] != records["key"][:-1]
        is_new[1:] = opens[1:] | (rows[1:] != rows[:-1])
        line = np.cumsum(opens) - 1
        documents = np.bincount(line[is_new])
        groups = np.load(self.groups)
        in_group = groups["documents"][np.searchsorted(groups["group"], records["group"][opens])]
        often = (documents >= self.config.min_documents) & (documents >= self.config.min_share * in_group)
        is_cut = often[line] & (rows > rows[opens][line])
        found = np.empty(int(is_cut.sum()), PASSAGE)
        found["key"], found["length"] = records["row"][is_cut], records["length"][is_cut]
        write_runs(self.out, [in_order(found)])


@compiled
def _is_white_space(code: np.uint32) -> bool:
    for blank in _WHITE_SPACE:  # noqa: SIM110 (numba knows no generators)
        if code == blank:
            return True
    return False


@compiled
def line_numbers(
    codes: npt.NDArray[np.uint32], group: np.uint64, shortest: int
) -> tuple[Hashes, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(number, start, length) of each line, its line break included, that has enough characters.

    The number is that of the group and of the line without the white space around it.
    """
    count = 1
    for code in codes:
        count += code == _NEW_LINE
    keys, starts, lengths = np.empty(count, np.uint64), np.empty(count, np.int64), np.empty(count, np.int64)
    number = np.empty(1, np.uint64)
    found = start = 0
    for place in range(len(codes) + 1):
        if place < len(codes) and codes[place] != _NEW_LINE:
            continue
        first, last = start, place
        while first < last and _is_white_space(codes[first]):
            first += 1
        while first < last and _is_white_space(codes[last - 1]):
            last -= 1
        if last - first >= shortest:
            ngram_hashes(codes[first:last], last - first, number)
            keys[found] = mixed(number[0] ^ group)
            starts[found], lengths[found] = start, min(place + 1, len(codes)) - start
            found += 1
        start = place + 1
    return keys[:found], starts[:found], lengths[:found]
