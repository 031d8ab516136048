"""The first step of a corpus: every batch of every source becomes one Parquet file, alone and in any order.

A row is a document, read, normalised and judged by what it holds alone; one that fell out keeps its row (its
text only on request), with the reason. A part that is there is whole and is not made again. What a document
does to the code that reads it (an exception, a crash, no end) costs that document and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.core.errors import InputError, TsuzuriError
from tsuzuri.core.files import sweep_temporary
from tsuzuri.core.progress import track
from tsuzuri.corpus.document import DOCUMENT_SCHEMA, Document, RowWriter, as_row
from tsuzuri.corpus.duplicates import exact
from tsuzuri.corpus.executor import LocalPool, Watch
from tsuzuri.corpus.filters.rules import reject_reason
from tsuzuri.corpus.normalize import normalize
from tsuzuri.corpus.sources.base import Source, Unreadable

REJECTED_SCHEMA = DOCUMENT_SCHEMA.append(pa.field("reason", pa.string(), nullable=False))
PART_SCHEMA = REJECTED_SCHEMA.append(pa.field("characters", pa.int64(), nullable=False)).append(
    pa.field("key", pa.binary(exact.KEY_BYTES), nullable=False)
)
FAILED = "failed"
"""Why a document fell out over which our own code, or a library's, raised what nobody expected."""


def make_parts(
    sources: Sequence[Source[Any]], folder: Path, *, keep_rejected: bool, workers: int
) -> list[Path]:
    """The part files of all sources in order, those missing made now.

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
    done = LocalPool(workers).run(Reading(tuple(sources), tuple(tasks), keep_rejected), missing)
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
    tasks: tuple[Task, ...]
    keep_rejected: bool

    def run(self, piece: int, watch: Watch) -> None:
        """Make the part of one task."""
        task = self.tasks[piece]
        source = self.sources[task.source]
        with RowWriter(task.part, PART_SCHEMA) as writer:
            for document, reason in judged(source, task.batch, watch):
                writer.add(_row(document, reason, keep_text=self.keep_rejected or not reason))


def judged(source: Source[Any], batch: Any, watch: Watch) -> Iterator[tuple[Document, str]]:
    """The documents of a batch, each with the reason why it falls out, or an empty one.

    To the watch, reading a document and judging it are two items. What cannot even be read takes the rest of
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
                yield Document(id=f"{source.name}/{_name(unit)}", text="", source=source.name), reason
            if item is None:
                break
            watch.at(step)
            reason, step = watch.skipped.get(step, ""), step + 1
            if isinstance(item, Unreadable):
                yield Document(id=item.id, text="", source=source.name), item.reason
            elif reason:
                yield replace(item, text=""), reason
            else:
                yield judge(source, item)


def judge(source: Source[Any], item: Document) -> tuple[Document, str]:
    """The document normalised, and why it falls out."""
    try:
        text = normalize(item.text, fold_width=source.config.fold_width)
        title = normalize(item.title, fold_width=source.config.fold_width).strip()
        return replace(item, text=text, title=title), reject_reason(text, source.config.filters)
    except Exception:
        return replace(item, text=""), FAILED


def _name(unit: Any) -> str:
    first = unit[0] if isinstance(unit, tuple) else unit
    return str(getattr(first, "name", first))


def _row(document: Document, reason: str, *, keep_text: bool) -> dict[str, Any]:
    key = exact.key(document.text) if not reason else bytes(exact.KEY_BYTES)
    row = as_row(document if keep_text else replace(document, text=""))
    return {**row, "reason": reason, "characters": len(document.text), "key": key}


def _require_documents(source: Source[Any], parts: Sequence[Path]) -> None:
    reasons: Counter[str] = Counter()
    for part in parts:
        reasons.update(pq.read_table(part, columns=["reason"])["reason"].to_pylist())
    if not reasons[""]:
        found = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "nothing"
        raise InputError(
            f"the source {source.name!r} gives no document: {found}",
            hint="look at its encoding, its fields.text and its filters, or leave it out",
        )
