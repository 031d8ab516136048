"""Records with named fields out of JSON, tables, Parquet and Arrow, one at a time in bounded memory.

A file called `.json` holds one record a line, as the Hub's and most benchmarks do, or one value: a list of
records, or a record in which others stand. A value is parsed whole, so that it has a limit of its own.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, count
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.corpus.charset import decode_as, name_of
from tsuzuri.corpus.sources.base import must_be_raised
from tsuzuri.corpus.sources.config import RecordFields
from tsuzuri.corpus.sources.members import Member, TooLargeError, open_member, read_lines, read_member

RECORD_SUFFIXES = (
    *(".jsonl", ".jsonl.gz", ".json", ".json.gz"),
    *(".tsv", ".tsv.gz", ".csv", ".csv.gz", ".parquet", ".arrow"),
)
ROWS_PER_READ = 16
MAX_VALUE_BYTES = 64 * 2**20
"""Largest JSON value that is parsed; as Python has it, it may be twenty times as large."""
Record = dict[str, Any]
_SURROGATES = re.compile("[\ud800-\udfff]")  # JSON can name half a character, UTF-8 cannot


class NotARecordError(Exception):
    """A line or file that is no JSON object, table row or Parquet file with the wanted columns: the reason
    that it is counted under."""


Numbered = tuple[int, Record | NotARecordError]
"""A row's number in its file, and what it holds."""


def read_records(
    member: Member, charset: str, fields: RecordFields, max_line_bytes: int
) -> Iterator[Numbered]:
    """The numbers and records of a file's rows in order; one that is none comes as an error, so that it loses
    only itself."""
    if member.ends_in(".parquet"):
        return _until_damage(_parquet(member, fields))
    if member.ends_in(".arrow"):
        return _until_damage(_arrow(member, fields))
    if member.ends_in(".jsonl", ".jsonl.gz"):
        return _json_lines(member, charset, max_line_bytes)
    if member.ends_in(".json", ".json.gz"):
        return _json(member, charset, max_line_bytes)
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


def records_at(record: Record, path: str) -> list[Record]:
    """The records at a dotted path of a record, where such stand."""
    return [
        item
        for found in _reached(record, path.split("."))
        for item in _leaves(found)
        if isinstance(item, dict)
    ]


def _values(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """What is no record, list or nothing at the end of a path, lists within lists opened."""
    leaves = (leaf for found in _reached(value, path) for leaf in _leaves(found))
    return (leaf for leaf in leaves if leaf is not None and not isinstance(leaf, dict))


def _reached(value: Any, path: Sequence[str]) -> Iterator[Any]:
    if not path:
        yield value
        return
    name, *rest = path
    if isinstance(value, dict) and name in value:
        yield from _reached(value[name], rest)
    elif isinstance(value, list):
        chosen = value if name == "*" else value[int(name) : int(name) + 1] if name.isdecimal() else []
        for item in chosen:
            yield from _reached(item, rest)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _json_lines(member: Member, charset: str, max_line_bytes: int) -> Iterator[Numbered]:
    with open_member(member) as stream:
        for number, line in _lines(member, stream, max_line_bytes):
            if line is None:
                yield number, NotARecordError("too_large")
            elif line.strip():
                yield number, _json_record(line, charset)


def has_lines(member: Member, charset: str = "utf-8") -> bool:
    """Whether a `.json` file holds a record a line, which its first line tells."""
    with open_member(member) as stream:
        first = next(read_lines(stream, MAX_VALUE_BYTES), None)
    return first is not None and isinstance(_json_record(first, charset), dict)


def _json(member: Member, charset: str, max_bytes: int) -> Iterator[Numbered]:
    """The records of a file of one a line, or of one value."""
    if member.span or has_lines(member, charset):
        return _json_lines(member, charset, max_bytes)
    try:
        value = json.loads(decode_as(read_member(member, min(max_bytes, MAX_VALUE_BYTES)), charset))
    except TooLargeError:
        return iter([(0, NotARecordError("too_large"))])
    except (ValueError, RecursionError):  # a first line that is torn hides the others
        return _json_lines(member, charset, max_bytes)
    rows = value if isinstance(value, list) else [value]
    return enumerate(row if isinstance(row, dict) else NotARecordError("damaged_line") for row in rows)


def _lines(member: Member, stream: IO[bytes], max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """The numbers and lines of a file, or of its span."""
    if member.span is None:
        return enumerate(read_lines(stream, max_bytes))
    stream.seek(member.span.offset)
    numbers = range(member.span.first_row, member.span.stop_row)
    return zip(numbers, read_lines(stream, max_bytes), strict=False)


def _json_record(line: bytes, charset: str) -> Record | NotARecordError:
    try:
        record = json.loads(decode_as(line, charset))
    except (ValueError, RecursionError):
        record = None
    return record if isinstance(record, dict) else NotARecordError("damaged_line")


def _table(member: Member, charset: str, max_line_bytes: int) -> Iterator[Numbered]:
    """The rows below the first line, which names the columns."""
    is_tsv = member.ends_in(".tsv", ".tsv.gz")
    csv.field_size_limit(max_line_bytes)
    too_long: list[int] = []  # lines since the last row, which stands for them

    def lines() -> Iterator[bytes]:
        if member.span and member.span.first_row > 0:
            yield next(read_lines(stream, max_line_bytes), None) or b""
        for number, line in _lines(member, stream, max_line_bytes):
            if line is None:
                too_long.append(number)
            yield line or b""

    with open_member(member) as stream:
        rows = csv.reader(
            (_decoded(line, charset) + "\n" for line in lines()),
            delimiter="\t" if is_tsv else ",",
            quoting=csv.QUOTE_NONE if is_tsv else csv.QUOTE_MINIMAL,
        )
        names = next(rows, [])
        for number in count(max(member.span.first_row - 1, 0) if member.span else 0):
            try:
                row = next(rows, None)
            except csv.Error:
                yield number, NotARecordError("damaged_line")
                continue
            if row is None:
                break
            if too_long:
                too_long.clear()
                yield number, NotARecordError("too_large")
            elif row:
                yield number, _row(names, row)


def _decoded(line: bytes, charset: str) -> str:
    """A line of a table; bytes that are no character become lone surrogates, so that they cost their row."""
    try:
        return decode_as(line, charset)
    except UnicodeDecodeError:
        return line.decode(name_of(charset), errors="surrogateescape")


def _row(names: Sequence[str], row: Sequence[str]) -> Record | NotARecordError:
    if len(row) != len(names):
        return NotARecordError("damaged_line")
    if any(_SURROGATES.search(cell) for cell in row):
        return NotARecordError("undecodable")
    return dict(zip(names, row, strict=True))


def _parquet(member: Member, fields: RecordFields) -> Iterator[Numbered]:
    """The rows of each row group up to its first damage."""
    with open_member(member) as stream:
        file = pq.ParquetFile(pa.PythonFile(stream, mode="r"))
        columns = _wanted_columns(file.schema_arrow, fields)
        if columns is None:
            yield member.span.first_row if member.span else 0, NotARecordError("no_text_column")
            return
        for group, first_row in enumerate(first_rows(file.metadata)):
            if member.span is None or member.span.first_row <= first_row < member.span.stop_row:
                batches = file.iter_batches(ROWS_PER_READ, [group], columns)
                yield from _until_damage(_numbered(batches, first_row), first_row)


def first_rows(metadata: pq.FileMetaData) -> list[int]:
    """The number of the first row of each row group."""
    sizes = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    return list(accumulate(sizes, initial=0))[:-1]


def _arrow(member: Member, fields: RecordFields) -> Iterator[Numbered]:
    """The rows of an Arrow stream, as `datasets` saves them; what is whole before a cut is read."""
    with open_member(member) as stream, pa.ipc.open_stream(pa.PythonFile(stream, mode="r")) as file:
        columns = _wanted_columns(file.schema, fields)
        if columns is None:
            yield 0, NotARecordError("no_text_column")
            return
        few = (
            batch.slice(start, ROWS_PER_READ).select(columns)
            for batch in file
            for start in range(0, batch.num_rows, ROWS_PER_READ)
        )
        yield from _numbered(few, 0)


def _numbered(batches: Iterable[pa.RecordBatch], first_row: int) -> Iterator[Numbered]:
    return enumerate((row for batch in batches for row in _rows(batch)), first_row)


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


def _until_damage(records: Iterator[Numbered], first_row: int = 0) -> Iterator[Numbered]:
    """The records up to the place where Arrow finds a footer, page or stream to be none."""
    following = first_row
    try:
        for number, record in records:
            following = number + 1
            yield number, record
    except (pa.ArrowException, OSError) as error:
        if must_be_raised(error):
            raise
        yield following, NotARecordError("damaged")


def needed_column(fields: RecordFields) -> str:
    """The column without which there is no document."""
    return (fields.records or fields.text).split(".")[0]


def _wanted_columns(schema: pa.Schema, fields: RecordFields) -> list[str] | None:
    """The columns that documents are made from, or None without that of the text or of the records."""
    wanted = {path.split(".")[0] for path in fields.model_dump().values() if path}
    columns = [name for name in schema.names if name in wanted]
    return columns if needed_column(fields) in columns else None
