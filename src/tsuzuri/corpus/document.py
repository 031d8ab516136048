"""A document: one text with where it came from and under what terms, and its Parquet form."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.core.files import atomic_file

ROWS_PER_READ = 256
CHARACTERS_PER_ROW_GROUP = 4_000_000
CHARACTERS_PER_EMPTY_ROW = 1_000  # a row costs memory even without text
CHARACTERS_PER_FILE = 50_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """One text and its provenance."""

    id: str
    """Unique in the corpus: the source's name, then the place inside it."""
    text: str
    """The text itself."""
    source: str
    """The label of the source."""
    url: str = ""
    """Where it can be found by others."""
    license: str = ""
    """SPDX expression."""
    license_url: str = ""
    """Where the license can be read."""
    title: str = ""
    """Its title."""
    author: str = ""
    """Who wrote it."""
    date: str = ""
    """When it was published, as the source writes it."""
    charset: str = ""
    """The encoding that it was read in."""
    group: str = ""
    """What must not be divided between training and held-out text: author, package, host."""
    meta: str = "{}"
    """Anything else that the source knows, as a JSON object."""


COLUMNS = tuple(field.name for field in fields(Document))
DOCUMENT_SCHEMA = pa.schema([pa.field(name, pa.string(), nullable=False) for name in COLUMNS])


def read_documents(box: Path, split: str) -> Iterator[Document]:
    """The documents of a box's split (`train` or `heldout`) in their stable order, a few hundred in memory
    at a time."""
    for path in split_files(box, split):
        yield from read_rows(path)


def split_files(box: Path, split: str) -> list[Path]:
    """The Parquet files of a box's split, in order."""
    return sorted(Path(box).glob(f"{split}-[0-9]*.parquet"))


def read_rows(path: Path) -> Iterator[Document]:
    """The documents of one Parquet file, in order."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_PER_READ, columns=list(COLUMNS)):
            for row in batch.to_pylist():
                yield Document(**row)


def as_row(document: Document) -> dict[str, str]:
    """The document as a mapping of its columns."""
    return {name: getattr(document, name) for name in COLUMNS}


class RowWriter:
    """One zstd Parquet file, written in bounded memory, whole or not at all; most of a row is its `text`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.characters = 0
        self._schema = schema
        self._waiting: list[Mapping[str, Any]] = []
        self._waiting_characters = 0
        self._stack = ExitStack()
        file = self._stack.enter_context(atomic_file(path))
        self._writer = self._stack.enter_context(pq.ParquetWriter(file, schema, compression="zstd"))

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            try:
                self._flush()
            except BaseException:
                self._stack.__exit__(*sys.exc_info())
                raise
        self._stack.__exit__(*error)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row, at the latest when the row group is full or the file is closed."""
        characters = len(row.get("text", ""))
        self._waiting.append(row)
        self._waiting_characters += characters + CHARACTERS_PER_EMPTY_ROW
        self.characters += characters
        if self._waiting_characters >= CHARACTERS_PER_ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
            self._waiting, self._waiting_characters = [], 0


class SplitWriter:
    """Rows into numbered files `<name>-00000.parquet` of bounded size; none when no row comes."""

    def __init__(self, box: Path, name: str, schema: pa.Schema) -> None:
        self._box, self._name, self._schema = box, name, schema
        self._files = 0
        self._open: RowWriter | None = None

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        self._close(*error)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row into the open file, beginning a new one when that is full."""
        if self._open and self._open.characters >= CHARACTERS_PER_FILE:
            self._close(None, None, None)
        if self._open is None:
            self._open = RowWriter(self._box / f"{self._name}-{self._files:05}.parquet", self._schema)
            self._files += 1
        self._open.add(row)

    def _close(self, *error: Any) -> None:
        if self._open:
            self._open.__exit__(*error)
            self._open = None
