"""Passages to cut out of documents: a Parquet file of them, and the cut, which divides no character."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.core.files import atomic_file

SPAN_SCHEMA = pa.schema(
    [pa.field(name, pa.int64(), nullable=False) for name in ("row", "start", "end")],
)
PLACE_BITS = 31
"""A row and a place in its text are one number, `row << PLACE_BITS | place`, in the order of the corpus."""
ZERO_WIDTH_JOINER = "\u200d"
_HALF_WIDTH_VOICING = "\uff9e\uff9f"
_SKIN_TONES = range(0x1F3FB, 0x1F400)

Spans = npt.NDArray[np.int64]


def joined(where: npt.NDArray[np.uint64], lengths: npt.NDArray[np.int64]) -> Spans:
    """(n, 3) row, start and end of what passages cover together; they come in the order of the corpus."""
    rows = (where >> np.uint64(PLACE_BITS)).astype(np.int64)
    starts = (where & np.uint64(2**PLACE_BITS - 1)).astype(np.int64)
    if not len(rows):
        return np.empty((0, 3), np.int64)
    ends = np.maximum.accumulate(starts + lengths + (rows << PLACE_BITS)) - (rows << PLACE_BITS)
    opens = np.ones(len(rows), bool)
    opens[1:] = (rows[1:] != rows[:-1]) | (starts[1:] > ends[:-1])
    first = np.flatnonzero(opens)
    return np.stack([rows[first], starts[first], ends[np.append(first[1:], len(rows)) - 1]], axis=1)


def write_spans(path: Path, parts: Iterator[Spans]) -> dict[str, int]:
    """Write spans, which come in the order of the corpus, and count them."""
    counts = {"documents_cut": 0, "spans": 0, "characters_cut": 0}
    with atomic_file(path) as file, pq.ParquetWriter(file, SPAN_SCHEMA, compression="zstd") as writer:
        for spans in parts:
            columns = [pa.array(np.ascontiguousarray(column)) for column in spans.T]
            writer.write_table(pa.table(columns, schema=SPAN_SCHEMA))
            counts["documents_cut"] += len(np.unique(spans[:, 0]))
            counts["spans"] += len(spans)
            counts["characters_cut"] += int((spans[:, 2] - spans[:, 1]).sum())
    return counts


def read_spans(path: Path, start_row: int, stop_row: int) -> dict[int, list[tuple[int, int]]]:
    """row → its spans in order, for the rows in a range."""
    wanted = [("row", ">=", start_row), ("row", "<", stop_row)]
    table = pq.read_table(path, filters=wanted).to_pydict()
    found: dict[int, list[tuple[int, int]]] = {}
    for row, start, end in zip(table["row"], table["start"], table["end"], strict=True):
        found.setdefault(row, []).append((start, end))
    return found


class Cut(NamedTuple):
    """A passage to cut out of a text."""

    start: int
    end: int
    min_kept_characters: int
    """Shortest piece left beside it that is kept; between two passages the smaller number counts."""


def cut(text: str, passages: Iterable[Cut]) -> str:
    """The text without passages of it; empty where too little is left.

    Passages shrink to whole characters: no base is parted from its marks. Pieces that are too short, white
    space around them aside, go too; where two pieces meet in the middle of a line, a line break is put, so
    that nobody is made to say what nobody wrote.
    """
    pieces: list[tuple[str, int]] = []
    place, before = 0, None
    for start, end, least in _merged(passages):
        while start < end and not is_boundary(text, start):
            start += 1
        while start < end and not is_boundary(text, end):
            end -= 1
        if start < end:
            pieces.append((text[place:start], least if before is None else min(before, least)))
            place, before = end, least
    if before is None:
        return text
    whole = ""
    for piece, least in [*pieces, (text[place:], before)]:
        if len(piece.strip()) >= max(1, least):
            needs_break = whole and not whole.endswith("\n") and not piece.startswith("\n")
            whole += ("\n" if needs_break else "") + piece
    return whole


def _merged(passages: Iterable[Cut]) -> list[Cut]:
    """The passages in order, those that touch as one."""
    found: list[Cut] = []
    for passage in sorted(passages):
        if found and passage.start <= found[-1].end:
            last = found.pop()
            least = min(last.min_kept_characters, passage.min_kept_characters)
            passage = Cut(last.start, max(last.end, passage.end), least)
        found.append(passage)
    return found


def is_boundary(text: str, place: int) -> bool:
    """Whether a text can be divided before `place` without dividing what a reader sees as one character."""
    if place in (0, len(text)):
        return True
    after = text[place]
    return not (
        unicodedata.category(after) in ("Mn", "Me", "Mc")
        or after in _HALF_WIDTH_VOICING
        or ord(after) in _SKIN_TONES
        or ZERO_WIDTH_JOINER in (after, text[place - 1])
        or text[place - 1 : place + 1] == "\r\n"
    )
