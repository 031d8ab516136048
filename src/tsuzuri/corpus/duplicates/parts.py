"""The documents to compare: Parquet files, whose rows are numbered through in the order of the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.core.errors import InputError
from tsuzuri.core.files import sha256_bytes

ROWS_PER_READ = 256
FOOTER_BYTES = 2**16


@dataclass(frozen=True)
class Parts:
    """Parquet files of documents, and which of their rows are looked at."""

    paths: tuple[Path, ...]
    """The files, in order."""
    starts: tuple[int, ...]
    """(files + 1,) the number of each file's first row; the last is the number of all rows."""
    taking_part: Path | None = None
    """A `.npy` of (rows,) booleans; unset: every row takes part."""

    @property
    def rows(self) -> int:
        """How many rows the files have together."""
        return self.starts[-1]

    def __len__(self) -> int:
        return len(self.paths)

    def part_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The number of the file that each row stands in."""
        return np.searchsorted(self.starts, rows, side="right").astype(np.int64) - 1

    def selected(self, part: int) -> npt.NDArray[np.bool_]:
        """(rows of the part,) which of them take part."""
        if self.taking_part is None:
            return np.ones(self.starts[part + 1] - self.starts[part], bool)
        return np.array(np.load(self.taking_part, mmap_mode="r")[self.starts[part] : self.starts[part + 1]])

    def read(
        self, part: int, columns: Sequence[str], selected: npt.NDArray[np.bool_]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """(row, its columns) of the selected rows of a part, in order, a few hundred in memory."""
        for rows, batch in self.batches(part, columns, selected):
            for row, *values in zip(rows.tolist(), *batch.values(), strict=True):
                yield row, dict(zip(columns, values, strict=True))

    def batches(
        self, part: int, columns: Sequence[str], selected: npt.NDArray[np.bool_], characters: int = 0
    ) -> Iterator[tuple[npt.NDArray[np.int64], dict[str, list[Any]]]]:
        """Selected rows of a part and their columns, in order, until a batch has `characters` of text."""
        rows: list[npt.NDArray[np.int64]] = []
        waiting: dict[str, list[Any]] = {column: [] for column in columns}
        found = 0
        for first, batch in self._read(part, columns):
            here = np.flatnonzero(selected[first - self.starts[part] :][: batch.num_rows])
            if not len(here):
                continue
            rows.append(here + first)
            for column in columns:
                values = batch.column(column).take(pa.array(here))
                waiting[column] += (values.fill_null("") if column == "text" else values).to_pylist()
            found += sum(map(len, waiting["text"][-len(here) :])) if characters else 0
            if found >= characters:
                yield np.concatenate(rows), waiting
                rows, waiting, found = [], {column: [] for column in columns}, 0
        if rows:
            yield np.concatenate(rows), waiting

    def _read(self, part: int, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        row = self.starts[part]
        with pq.ParquetFile(self.paths[part]) as file:
            for batch in file.iter_batches(batch_size=ROWS_PER_READ, columns=list(columns)):
                yield row, batch
                row += batch.num_rows

    def fingerprint(self) -> str:
        """A hash of the files' sizes and footers, and of which rows take part."""
        facts = []
        for path in self.paths:
            with open(path, "rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - FOOTER_BYTES))
                facts.append(f"{size} {sha256_bytes(file.read())}")
        if self.taking_part is not None:
            facts.append(sha256_bytes(self.taking_part.read_bytes()))
        return sha256_bytes("\n".join(facts).encode())


def open_parts(paths: Sequence[Path], columns: Sequence[str], taking_part: Path | None = None) -> Parts:
    """The files as parts; InputError when one is no Parquet file, or lacks a column."""
    starts = [0]
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(f"{path} is no readable Parquet file") from error
        for column in columns:
            if column not in schema.names:
                raise InputError(
                    f"{path} has no column {column!r}", hint=f"its columns are {', '.join(schema.names)}"
                )
        if "text" in columns and not is_text(schema.field("text").type):
            raise InputError(f"the column 'text' of {path} holds {schema.field('text').type}, not text")
        starts.append(starts[-1] + rows)
    assert taking_part is None or len(np.load(taking_part, mmap_mode="r")) == starts[-1]
    return Parts(tuple(map(Path, paths)), tuple(starts), taking_part)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds strings."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
