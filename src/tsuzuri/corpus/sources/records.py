"""Records with named fields out of JSON lines, tables, Parquet and Arrow, one at a time in bounded memory."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.corpus.sources.config import RecordFields
from tsuzuri.corpus.sources.members import Member, open_member, read_lines

RECORD_SUFFIXES = (".jsonl", ".jsonl.gz", ".tsv", ".tsv.gz", ".csv", ".csv.gz", ".parquet", ".arrow")
ROWS_PER_READ = 256
Record = dict[str, Any]
_SURROGATES = re.compile("[\ud800-\udfff]")  # JSON can name half a character, UTF-8 cannot


class NotARecordError(Exception):
    """A line or file that is no JSON object, table row or Parquet file with the wanted columns."""


def read_records(
    member: Member, charset: str, fields: RecordFields, max_line_bytes: int
) -> Iterator[Record | NotARecordError]:
    """The records of a file in order; a line that is none comes as an error, so that one torn line loses
    only itself."""
    if member.ends_in(".parquet"):
        return _parquet(member, fields)
    if member.ends_in(".arrow"):
        return _arrow(member, fields)
    if member.ends_in(".jsonl", ".jsonl.gz"):
        return _json_lines(member, charset, max_line_bytes)
    return _table(member, charset, max_line_bytes)


def at_path(record: Record, path: str | None) -> str:
    """The text at a dotted path of a record, several values joined by newlines, or an empty string."""
    return _SURROGATES.sub("\ufffd", "\n".join(_values(record, path.split(".")))) if path else ""


def _values(value: Any, path: Sequence[str]) -> Iterator[str]:
    if not path:
        if value is not None and not isinstance(value, (dict, list)):
            yield str(value)
        elif isinstance(value, list):
            for item in value:
                yield from _values(item, path)
        return
    name, *rest = path
    if isinstance(value, dict) and name in value:
        yield from _values(value[name], rest)
    elif isinstance(value, list):
        chosen = value if name == "*" else value[int(name) : int(name) + 1] if name.isdecimal() else []
        for item in chosen:
            yield from _values(item, rest)


def _json_lines(member: Member, charset: str, max_line_bytes: int) -> Iterator[Record | NotARecordError]:
    with open_member(member) as stream:
        for line in read_lines(stream, max_line_bytes):
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode(charset))
            except (ValueError, RecursionError):
                record = None
            yield record if isinstance(record, dict) else NotARecordError("damaged_line")


def _table(member: Member, charset: str, max_line_bytes: int) -> Iterator[Record | NotARecordError]:
    is_tsv = member.ends_in(".tsv", ".tsv.gz")
    csv.field_size_limit(max_line_bytes)
    with open_member(member) as stream:
        lines = read_lines(stream, max_line_bytes)
        rows = csv.reader(
            (line.decode(charset, errors="surrogateescape") + "\n" for line in lines),
            delimiter="\t" if is_tsv else ",",
            quoting=csv.QUOTE_NONE if is_tsv else csv.QUOTE_MINIMAL,
        )
        try:
            names = next(rows, [])
            for row in rows:
                if row:
                    yield _row(names, row)
        except csv.Error:
            yield NotARecordError("damaged")


def _row(names: Sequence[str], row: Sequence[str]) -> Record | NotARecordError:
    if len(row) != len(names):
        return NotARecordError("damaged_line")
    if any(_SURROGATES.search(cell) for cell in row):
        return NotARecordError("undecodable")
    return dict(zip(names, row, strict=True))


def _parquet(member: Member, fields: RecordFields) -> Iterator[Record | NotARecordError]:
    with open_member(member) as stream:
        try:
            file = pq.ParquetFile(pa.PythonFile(stream, mode="r"))
        except pa.ArrowInvalid:
            yield NotARecordError("damaged")
            return
        columns = _wanted_columns(file.schema_arrow, fields)
        if columns is None:
            yield NotARecordError("no_text_column")
            return
        try:
            for batch in file.iter_batches(batch_size=ROWS_PER_READ, columns=columns):
                yield from batch.to_pylist()
        except OSError:  # a page that is damaged, behind an index that is whole
            yield NotARecordError("damaged")


def _arrow(member: Member, fields: RecordFields) -> Iterator[Record | NotARecordError]:
    """The rows of an Arrow stream, as `datasets` saves them; what is whole before a cut is read."""
    with open_member(member) as stream:
        try:
            with pa.ipc.open_stream(pa.PythonFile(stream, mode="r")) as file:
                columns = _wanted_columns(file.schema, fields)
                if columns is None:
                    yield NotARecordError("no_text_column")
                    return
                for batch in file:
                    for start in range(0, batch.num_rows, ROWS_PER_READ):
                        yield from batch.slice(start, ROWS_PER_READ).select(columns).to_pylist()
        except (pa.ArrowInvalid, OSError):
            yield NotARecordError("damaged")


def _wanted_columns(schema: pa.Schema, fields: RecordFields) -> list[str] | None:
    """The columns that documents are made from, or None without that of the text."""
    wanted = {path.split(".")[0] for path in fields.model_dump().values() if path}
    columns = [name for name in schema.names if name in wanted]
    return columns if fields.text.split(".")[0] in columns else None
