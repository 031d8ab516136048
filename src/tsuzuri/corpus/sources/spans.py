"""Large files of records cut into spans of rows, so that each is read alone and a killed build loses little.

A row keeps its number in the file, so a document is called the same however its file is cut. Files of lines
are cut between lines, Parquet between row groups; what can only be read from its start (packed files, Arrow
streams, one JSON value, tables whose cells may hold newlines) is not cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.corpus.sources.base import must_be_raised
from tsuzuri.corpus.sources.members import BATCH_BYTES, Member, Span, group_by_size
from tsuzuri.corpus.sources.records import first_rows, has_lines

SCAN_BYTES = 2**20


def in_batches(members: Iterable[Member]) -> list[tuple[Member, ...]]:
    """The files in batches of some megabytes, large ones cut where they can be."""
    return group_by_size(part for member in members for part in split_member(member))


def split_member(member: Member, span_bytes: int = BATCH_BYTES) -> list[Member]:
    """The file, or its spans of at least so many bytes where it is larger and can be cut."""
    if member.inner or member.size <= span_bytes:
        return [member]
    if member.ends_in(".jsonl", ".tsv") or (member.ends_in(".json") and has_lines(member)):
        return [replace(member, span=span, size=size) for span, size in _spans_of_lines(member, span_bytes)]
    if member.ends_in(".parquet"):
        return _split_parquet(member, span_bytes)
    return [member]


def _spans_of_lines(member: Member, span_bytes: int) -> Iterator[tuple[Span, int]]:
    start = place = first_row = row = 0
    with open(member.path, "rb") as file:
        while chunk := file.read(min(SCAN_BYTES, span_bytes)):
            row += chunk.count(b"\n")
            end = place + chunk.rfind(b"\n") + 1
            if end - start >= span_bytes and end > place:
                yield Span(first_row, row, start), end - start
                start, first_row = end, row
            place += len(chunk)
    if start < place:
        yield Span(first_row, row + 1, start), place - start  # the last line may have no end


def _split_parquet(member: Member, span_bytes: int) -> list[Member]:
    try:
        metadata = pq.read_metadata(member.path)
    except (pa.ArrowException, OSError) as error:
        if must_be_raised(error):
            raise
        return [member]  # which is counted when it is read
    spans: list[Member] = []
    first_row = size = 0
    for group, row in enumerate(first_rows(metadata)):
        size += metadata.row_group(group).total_byte_size
        stop_row = row + metadata.row_group(group).num_rows
        if size >= span_bytes or stop_row == metadata.num_rows:
            spans.append(replace(member, span=Span(first_row, stop_row), size=size))
            first_row, size = stop_row, 0
    return spans or [member]
