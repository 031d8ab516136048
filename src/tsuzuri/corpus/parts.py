"""The first step of a corpus: every batch of every source becomes one Parquet file, alone and in any order.

A row is a document after its treatment; one that fell out keeps its row, with the reason. A part that is
there is whole and is not made again. What a document does to the code that reads it (an exception, a crash,
no end) costs that document and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.core.errors import InputError, TsuzuriError
from tsuzuri.core.files import sweep_temporary
from tsuzuri.core.progress import track
from tsuzuri.corpus.anonymize.log import FINDING
from tsuzuri.corpus.document import DOCUMENT_SCHEMA, Document, RowWriter, as_row
from tsuzuri.corpus.duplicates import exact
from tsuzuri.corpus.executor import LocalPool, Watch
from tsuzuri.corpus.sources.base import Source, Unreadable
from tsuzuri.corpus.treatment import FAILED, Treated, Treatment

REJECTED_SCHEMA = pa.schema(
    [
        *DOCUMENT_SCHEMA,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),  # what was found; what was allowed
    ]
)
PART_SCHEMA = pa.schema(
    [
        *REJECTED_SCHEMA,
        pa.field("documents", pa.int64(), nullable=False),  # that the row stands for
        pa.field("characters", pa.int64(), nullable=False),
        pa.field("key", pa.binary(exact.KEY_BYTES), nullable=False),
        pa.field("findings", pa.list_(FINDING), nullable=False),
    ]
)


def make_parts(
    sources: Sequence[Source[Any]], treatments: Sequence[Treatment], folder: Path, *, workers: int
) -> list[Path]:
    """The part files of all sources in order, those missing made now; each source has its treatment.

    InputError when a source gives no document at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep_temporary(folder)
    tasks = [
        Task(place, batch, folder / f"{source.name}-{number:05}.parquet")
        for place, source in enumerate(sources)
        for number, batch in enumerate(source.batches())
    ]
    missing = [number for number, task in enumerate(tasks) if not task.part.exists()]
    done = LocalPool(workers).run(Reading(tuple(sources), tuple(treatments), tuple(tasks)), missing)
    for _ in track(done, "reading", total=len(missing)):
        pass
    for place, source in enumerate(sources):
        _require_documents(source, [task.part for task in tasks if task.source == place])
    return [task.part for task in tasks]


@dataclass(frozen=True)
class Task:
    """A batch and the file that it becomes."""

    source: int
    batch: Any
    part: Path


@dataclass(frozen=True)
class Reading:
    """The job of the workers."""

    sources: tuple[Source[Any], ...]
    treatments: tuple[Treatment, ...]
    tasks: tuple[Task, ...]

    def run(self, piece: int, watch: Watch) -> None:
        """Make the part of one task."""
        task = self.tasks[piece]
        source, treatment = self.sources[task.source], self.treatments[task.source]
        with RowWriter(task.part, PART_SCHEMA) as writer:
            for treated in treated_in(source, treatment, task.batch, watch):
                writer.add(_row(treated))


def treated_in(source: Source[Any], treatment: Treatment, batch: Any, watch: Watch) -> Iterator[Treated]:
    """The documents of a batch after their treatment.

    To the watch, reading a document and treating it are two items. What cannot even be read takes the rest of
    its unit with it: of a batch that is a tuple each element is one, else it is the whole batch.
    """
    step = 0
    for unit in [(one,) for one in batch] if isinstance(batch, tuple) else [batch]:
        documents = source.read(unit)
        while True:
            watch.at(step)
            reason, step = watch.skipped.get(step, ""), step + 1
            try:
                item = None if reason else next(documents, None)
            except (TsuzuriError, OSError):
                raise
            except Exception:
                item, reason = None, FAILED
            if reason:
                yield _lost(source, f"{source.name}/{_name(unit)}", reason)
            if item is None:
                break
            watch.at(step)
            reason, step = watch.skipped.get(step, ""), step + 1
            if isinstance(item, Unreadable):
                yield _lost(source, item.id, item.reason, item.documents)
            else:
                yield _lost(source, item.id, reason) if reason else treatment(item)


def _lost(source: Source[Any], name: str, reason: str, documents: int = 1) -> Treated:
    return Treated(Document(id=name, text="", source=source.name), 0, reason, documents=documents)


def _name(unit: Any) -> str:
    first = unit[0] if isinstance(unit, tuple) else unit
    return str(getattr(first, "name", first))


def _row(treated: Treated) -> dict[str, Any]:
    text = treated.document.text
    return {
        **as_row(treated.document),
        "reason": treated.reason,
        "detail": treated.detail,
        "documents": treated.documents,
        "characters": treated.characters if treated.reason else len(text),
        "key": bytes(exact.KEY_BYTES) if treated.reason else exact.key(text),
        "findings": treated.findings,
    }


def _require_documents(source: Source[Any], parts: Sequence[Path]) -> None:
    reasons: Counter[str] = Counter()
    for part in parts:
        for row in pq.read_table(part, columns=["reason", "documents"]).to_pylist():
            reasons[row["reason"]] += row["documents"]
    if not reasons[""]:
        found = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "nothing"
        raise InputError(
            f"the source {source.name!r} gives no document: {found}",
            hint="look at its encoding, its fields.text and its quality, or leave it out",
        )
