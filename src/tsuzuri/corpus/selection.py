"""The second step of a corpus: which rows of the parts stay, what is cut out of them, and what is held out.

Everything here compares documents with each other: exact copies, near-copies, a site's recurring lines,
passages that an earlier document has. Memory: some 40 bytes for each row, text aside (`duplicates` states its
own), whatever the documents are.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.core.errors import InputError
from tsuzuri.core.files import atomic_file
from tsuzuri.corpus import decontaminate, split, stats
from tsuzuri.corpus.config import CorpusConfig, LicenseRules
from tsuzuri.corpus.decontaminate import CONTAMINATED, contaminated
from tsuzuri.corpus.duplicates import exact, near
from tsuzuri.corpus.duplicates.boilerplate import BOILERPLATE, boilerplate_lines
from tsuzuri.corpus.duplicates.near import DECISIONS, near_duplicates
from tsuzuri.corpus.duplicates.passages import PASSAGES, repeated_passages
from tsuzuri.corpus.refusals import Place, Refusals

COLUMNS = ("source", "group", "reason", "characters", "key")

Mask = npt.NDArray[np.bool_]


@dataclass
class Rows:
    """What is known of every row of the parts, in their order."""

    source: npt.NDArray[np.int32]
    """Its place in the list of sources."""
    group: npt.NDArray[np.uint64]
    characters: npt.NDArray[np.int64]
    key: npt.NDArray[np.uint64]
    """(rows, 2) the two halves of the exact key."""
    reason: npt.NDArray[np.int16]
    """Its place in `reasons`; 0 for what stays."""
    reasons: list[str] = field(default_factory=lambda: [""])

    @property
    def kept(self) -> Mask:
        """Which rows stay."""
        kept: Mask = self.reason == 0
        return kept

    def drop(self, rows: Mask | npt.NDArray[np.int64], reason: str) -> None:
        """Let rows fall out for a reason."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        self.reason[rows] = self.reasons.index(reason)


@dataclass(frozen=True)
class Selection:
    """The outcome."""

    rows: Rows
    heldout: Mask
    """Which of the rows that stay are held out."""
    cuts: tuple[tuple[Path, int], ...]
    """Parquet files of spans to cut, and the shortest piece that each leaves (see `duplicates.spans`)."""
    counts: dict[str, Any]
    """stage → what it counted."""
    details: tuple[Callable[[int, int], dict[int, str]], ...]
    """What says, of the rows from one to another, with which document or test item they were compared."""


def select(
    parts: Sequence[Path],
    sources: Sequence[str],
    fractions: Sequence[float],
    config: CorpusConfig,
    refusals: Refusals,
    folder: Path,
    workers: int,
) -> Selection:
    """The selection; `fractions` are the held-out shares of the sources. Unfinished work is kept in `folder`,
    and begun anew where other rows take part than before (a document was withdrawn).

    InputError when nothing is left to train on or to hold out.
    """
    rows = read_rows(parts, sources)
    counts: dict[str, Any] = {}
    details: list[Callable[[int, int], dict[int, str]]] = []
    _drop_refused(rows, parts, config.licenses, refusals)
    kept = np.flatnonzero(rows.kept)
    rows.drop(kept[~exact.first_occurrences(rows.key[kept])], stats.DUPLICATE)
    _begin(folder, rows.kept)
    if config.decontaminate.benchmarks:
        counts["decontaminate"] = contaminated(
            parts,
            folder / "benchmarks",
            config.decontaminate,
            config.root,
            taking_part=folder / "single.npy",
            workers=workers,
        )
        found = pq.read_table(folder / "benchmarks" / CONTAMINATED, columns=["row"])["row"].to_numpy()
        rows.drop(found, stats.CONTAMINATED)
        details.append(partial(decontaminate.read_details, folder / "benchmarks" / CONTAMINATED))
    duplicates = config.duplicates
    if duplicates.near:
        mask = _write_mask(folder / "unique.npy", rows.kept)
        counts["near"] = near_duplicates(
            parts, folder / "near", duplicates.near, taking_part=mask, workers=workers
        )
        decisions = pq.read_table(folder / "near" / DECISIONS, columns=["row", "keep"])
        lost = decisions["row"].to_numpy()[~decisions["keep"].to_numpy(zero_copy_only=False)]
        rows.drop(lost, stats.NEAR_DUPLICATE)
        details.append(partial(near.read_details, folder / "near" / DECISIONS))
    cuts = []
    if duplicates.boilerplate:
        may_be_cut = np.array([source.recurring_lines == "cut" for source in config.source])
        mask = _write_mask(folder / "cut.npy", rows.kept & may_be_cut[rows.source])
        counts["boilerplate"] = boilerplate_lines(
            parts, folder / "boilerplate", duplicates.boilerplate, taking_part=mask, workers=workers
        )
        cuts.append((folder / "boilerplate" / BOILERPLATE, duplicates.boilerplate.min_kept_characters))
    if duplicates.passages:
        mask = _write_mask(folder / "distinct.npy", rows.kept)
        counts["passages"] = repeated_passages(
            parts, folder / "passages", duplicates.passages, taking_part=mask, workers=workers
        )
        cuts.append((folder / "passages" / PASSAGES, duplicates.passages.min_kept_characters))
    return Selection(rows, _hold_out(rows, sources, fractions), tuple(cuts), counts, tuple(details))


def read_rows(parts: Sequence[Path], sources: Sequence[str]) -> Rows:
    """What the parts say of their rows."""
    place = {name: number for number, name in enumerate(sources)}
    reasons = [""]
    columns: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in COLUMNS}
    for part in parts:
        table = pq.read_table(part, columns=list(COLUMNS))
        columns["source"].append(_coded(table["source"], lambda name: place[name], np.int32))
        columns["group"].append(_coded(table["group"], split.group_number, np.uint64))
        for reason in table["reason"].unique().to_pylist():
            if reason not in reasons:
                reasons.append(reason)
        columns["reason"].append(_coded(table["reason"], reasons.index, np.int16))
        columns["characters"].append(table["characters"].to_numpy())
        columns["key"].append(exact.halves(table["key"].to_pylist()))
    joined = {name: np.concatenate(found) for name, found in columns.items()}
    return Rows(**joined, reasons=reasons)


def _drop_refused(rows: Rows, parts: Sequence[Path], rules: LicenseRules, refusals: Refusals) -> None:
    """What is given under terms that do not suit, and what must not be used: the latter is a reason above
    every other, for nothing of such a document may be kept or shown."""
    start = 0
    for part in parts:
        table = pq.read_table(part, columns=["id", "url", "license"])
        unsuitable = start + np.flatnonzero(_coded(table["license"], rules.refuses, np.bool_))
        rows.drop(unsuitable[rows.reason[unsuitable] == 0], stats.LICENSE)
        places = table.select(["id", "url"]).to_pylist() if refusals else []
        refused = np.array([Place(**place) in refusals for place in places], bool)
        rows.drop(start + np.flatnonzero(refused), stats.WITHDRAWN)
        start += table.num_rows


def _coded(column: pa.ChunkedArray, number: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """The number of each value of a column of text, asked once for each distinct one."""
    codes = column.combine_chunks().dictionary_encode()
    numbers = np.array([number(value) for value in codes.dictionary.to_pylist()], dtype)
    found: npt.NDArray[Any] = numbers[codes.indices.to_numpy()] if len(numbers) else np.zeros(0, dtype)
    return found


def _begin(folder: Path, kept: Mask) -> None:
    mask = folder / "single.npy"
    if mask.exists() and not np.array_equal(np.load(mask), kept):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write_mask(mask, kept)


def _write_mask(path: Path, mask: Mask) -> Path:
    with atomic_file(path) as file:
        np.save(file, mask)
    return path


def _hold_out(rows: Rows, sources: Sequence[str], fractions: Sequence[float]) -> Mask:
    chosen = np.zeros(len(rows.source), bool)
    kept = rows.kept
    groups = {}
    for number, (name, fraction) in enumerate(zip(sources, fractions, strict=True)):
        own = np.flatnonzero(kept & (rows.source == number))
        chosen[own] = split.heldout(rows.group[own], rows.characters[own], fraction)
        groups[name] = len(np.unique(rows.group[own]))
    lost = Counter(rows.reasons[number] for number in rows.reason[rows.reason != 0].tolist())
    fates = ", ".join(f"{count} {reason}" for reason, count in lost.most_common())
    if not kept.any():
        raise InputError(
            f"no document is left; fallen out: {fates}",
            hint="loosen the rules that they fell out by, or add text",
        )
    for is_missing, name, other in (
        (not chosen.any(), "heldout", "raise"),
        (not (kept & ~chosen).any(), "train", "lower"),
    ):
        if is_missing:
            sizes = ", ".join(f"{source} has {found}" for source, found in groups.items())
            raise InputError(
                f"no document is left for {name}: groups (author, file) are held out whole, and {sizes}"
                f"{f'; fallen out: {fates}' if fates else ''}",
                hint=f"{other} corpus.heldout_fraction, choose a finer fields.group or group_by, or add text",
            )
    return chosen
