"""Records with named fields out of JSON lines, tables, Parquet and Arrow, one at a time in bounded memory."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.corpus.sources.base import must_be_raised
from tsuzuri.corpus.sources.config import RecordFields
from tsuzuri.corpus.sources.members import Member, open_member, read_lines

RECORD_SUFFIXES = (".jsonl", ".jsonl.gz", ".tsv", ".tsv.gz", ".csv", ".csv.gz", ".parquet", ".arrow")
ROWS_PER_READ = 16
Record = dict[str, Any]
_SURROGATES = re.compile("[\ud800-\udfff]")  # JSON can name half a character, UTF-8 cannot


class NotARecordError(Exception):
    """A line or file that is no JSON object, table row or Parquet file with the wanted columns: the reason
    that it is counted under."""


def read_records(
    member: Member, charset: str, fields: RecordFields, max_line_bytes: int
) -> Iterator[Record | NotARecordError]:
    """The records of a file in order; a line that is none comes as an error, so that one torn line loses
    only itself."""
    if member.ends_in(".parquet"):
        return _until_damage(_parquet(member, fields))
    if member.ends_in(".arrow"):
        return _until_damage(_arrow(member, fields))
    if member.ends_in(".jsonl", ".jsonl.gz"):
        return _json_lines(member, charset, max_line_bytes)
    return _table(member, charset, max_line_bytes)


def at_path(record: Record, path: str | None) -> str:
    """The text at a dotted path of a record, several values joined by newlines, or an empty string; a number
    or date is written out, bytes are nothing."""
    found = _values(record, path.split(".")) if path else ()
    return _mended("\n".join(str(value) for value in found if not isinstance(value, bytes)))


def text_at(record: Record, path: str) -> str | None:
    """Like `at_path`, but None where a value is anything else than text."""
    found = list(_values(record, path.split(".")))
    return _mended("\n".join(found)) if all(isinstance(value, str) for value in found) else None


def _mended(text: str) -> str:
    return _SURROGATES.sub("\ufffd", text)


def _values(value: Any, path: Sequence[str]) -> Iterator[Any]:
    if not path:
        if value is not None and not isinstance(value, (dict, list)):
            yield value
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
            if line is None:
                yield NotARecordError("too_large")
            elif line.strip():
                yield _json_record(line, charset)


def _json_record(line: bytes, charset: str) -> Record | NotARecordError:
    try:
        record = json.loads(line.decode(charset))
    except (ValueError, RecursionError):
        record = None
    return record if isinstance(record, dict) else NotARecordError("damaged_line")


def _table(member: Member, charset: str, max_line_bytes: int) -> Iterator[Record | NotARecordError]:
    is_tsv = member.ends_in(".tsv", ".tsv.gz")
    csv.field_size_limit(max_line_bytes)
    too_long: list[int] = []  # lines since the last row, which stands for them

    def lines() -> Iterator[str]:
        for number, line in enumerate(read_lines(stream, max_line_bytes)):
            if line is None:
                too_long.append(number)
            yield "\n" if line is None else line.decode(charset, errors="surrogateescape") + "\n"

    with open_member(member) as stream:
        rows = csv.reader(
            lines(),
            delimiter="\t" if is_tsv else ",",
            quoting=csv.QUOTE_NONE if is_tsv else csv.QUOTE_MINIMAL,
        )
        names: list[str] | None = None
        while True:
            try:
                row = next(rows, None)
            except csv.Error:
                yield NotARecordError("damaged_line")
                continue
            if row is None:
                break
            if too_long:
                too_long.clear()
                yield NotARecordError("too_large")
            elif names is None:
                names = row
            elif row:
                yield _row(names, row)


def _row(names: Sequence[str], row: Sequence[str]) -> Record | NotARecordError:
    if len(row) != len(names):
        return NotARecordError("damaged_line")
    if any(_SURROGATES.search(cell) for cell in row):
        return NotARecordError("undecodable")
    return dict(zip(names, row, strict=True))


def _parquet(member: Member, fields: RecordFields) -> Iterator[Record | NotARecordError]:
    with open_member(member) as stream:
        file = pq.ParquetFile(pa.PythonFile(stream, mode="r"))
        columns = _wanted_columns(file.schema_arrow, fields)
        if columns is None:
            yield NotARecordError("no_text_column")
            return
        for batch in file.iter_batches(batch_size=ROWS_PER_READ, columns=columns):
            yield from _rows(batch)


def _arrow(member: Member, fields: RecordFields) -> Iterator[Record | NotARecordError]:
    """The rows of an Arrow stream, as `datasets` saves them; what is whole before a cut is read."""
    with open_member(member) as stream, pa.ipc.open_stream(pa.PythonFile(stream, mode="r")) as file:
        columns = _wanted_columns(file.schema, fields)
        if columns is None:
            yield NotARecordError("no_text_column")
            return
        for batch in file:
            for start in range(0, batch.num_rows, ROWS_PER_READ):
                yield from _rows(batch.slice(start, ROWS_PER_READ).select(columns))


def _rows(batch: pa.RecordBatch) -> Iterator[Record | NotARecordError]:
    """The rows of a batch; one that is damaged (wrong UTF-8, a date that is none) loses only itself."""
    try:
        batch.validate(full=True)
        rows = batch.to_pylist()
    except (ValueError, ArithmeticError):
        if batch.num_rows > 1:
            for row in range(batch.num_rows):
                yield from _rows(batch.slice(row, 1))
        else:
            yield NotARecordError("damaged_row")
        return
    yield from rows


def _until_damage(records: Iterator[Record | NotARecordError]) -> Iterator[Record | NotARecordError]:
    """The records up to the place where Arrow finds a footer, page or stream to be none."""
    try:
        yield from records
    except (pa.ArrowException, OSError) as error:
        if must_be_raised(error):
            raise
        yield NotARecordError("damaged")


def _wanted_columns(schema: pa.Schema, fields: RecordFields) -> list[str] | None:
    """The columns that documents are made from, or None without that of the text."""
    wanted = {path.split(".")[0] for path in fields.model_dump().values() if path}
    columns = [name for name in schema.names if name in wanted]
    return columns if fields.text.split(".")[0] in columns else None
