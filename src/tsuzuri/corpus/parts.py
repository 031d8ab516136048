"""The first step of a corpus: every batch of every source becomes a Parquet file, alone and in any order; a
batch of much text becomes several.

A row is a document after its treatment; one that fell out keeps its row, with the reason. A batch whose last
file is there is whole and is not read again. What a document does to the code that reads and treats it (an
exception, a crash, no end) costs that document and nothing else. Only where a source cannot find its next
item, the rest of a file or range is lost with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.core.errors import InputError
from tsuzuri.core.files import sweep_temporary
from tsuzuri.core.progress import track
from tsuzuri.corpus.anonymize.log import FINDING
from tsuzuri.corpus.document import (
    CHARACTERS_PER_EMPTY_ROW,
    CHARACTERS_PER_FILE,
    DOCUMENT_SCHEMA,
    Document,
    RowWriter,
    as_row,
)
from tsuzuri.corpus.duplicates import exact
from tsuzuri.corpus.executor import LocalPool, Watch
from tsuzuri.corpus.sources.base import (
    FAILED,
    Item,
    Source,
    Unreadable,
    described,
    must_be_raised,
    read_item,
)
from tsuzuri.corpus.treatment import Treated, Treatment

PARTS = "parts"
"""In a box: the folder of unfinished work, there until the box is finished."""
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
    missing = [number for number, task in enumerate(tasks) if not task.last.exists()]
    done = LocalPool(workers).run(Reading(tuple(sources), tuple(treatments), tuple(tasks)), missing)
    for _ in track(done, "reading", total=len(missing)):
        pass
    for place, source in enumerate(sources):
        _require_documents(source, [part for task in tasks if task.source == place for part in task.parts()])
    return [part for task in tasks for part in task.parts()]


@dataclass(frozen=True)
class Task:
    """A batch and the files that it becomes."""

    source: int
    batch: Any
    last: Path
    """The last of them, which appears when all are there."""

    def parts(self) -> list[Path]:
        """The files in order."""
        return [*takewhile(Path.exists, map(self.earlier, count())), self.last]

    def earlier(self, number: int) -> Path:
        """The file before the last that has this number."""
        return self.last.with_suffix(f".{number:03}.parquet")


@dataclass(frozen=True)
class Reading:
    """The job of the workers."""

    sources: tuple[Source[Any], ...]
    treatments: tuple[Treatment, ...]
    tasks: tuple[Task, ...]
    part_characters: int = CHARACTERS_PER_FILE
    """Of the rows of a file, after which the next is begun."""

    def run(self, piece: int, watch: Watch) -> None:
        """Make the parts of one task."""
        task = self.tasks[piece]
        source, treatment = self.sources[task.source], self.treatments[task.source]
        for unfinished in reversed(task.parts()):  # so that a kill leaves no gap behind which some stay
            unfinished.unlink(missing_ok=True)
        rows = map(_row, treated_in(source, treatment, task.batch, watch))
        row = next(rows, None)
        for number in count():
            part = task.earlier(number)
            size = 0
            with RowWriter(part, PART_SCHEMA) as writer:
                while row is not None and size < self.part_characters:
                    writer.add(row)
                    size += len(row["text"]) + CHARACTERS_PER_EMPTY_ROW
                    row = next(rows, None)
            if row is None:
                break
        part.replace(task.last)


def treated_in(source: Source[Any], treatment: Treatment, batch: Any, watch: Watch) -> Iterator[Treated]:
    """The documents of a batch after their treatment.

    To the watch, finding an item is one thing and making a document of it another. Where none can be found,
    the rest of the unit is lost: of a batch that is a tuple each element is one, else it is the whole batch.
    """
    steps = count()
    for unit in [(one,) for one in batch] if isinstance(batch, tuple) else [batch]:
        items = source.items(unit)
        name = f"{source.name}/{_name(unit)}"
        while True:
            if reason := _skips(watch, next(steps)):
                yield _lost(source, Unreadable(name, reason))
                break
            try:
                item = next(items, None)
            except Exception as error:
                if must_be_raised(error):
                    raise
                yield _lost(source, Unreadable(name, FAILED, detail=described(error)))
                break
            if item is None:
                break
            if reason := _skips(watch, next(steps)):
                yield _lost(source, Unreadable(item.id, reason))
            else:
                yield from _treated(source, treatment, item)


def _skips(watch: Watch, step: int) -> str:
    """Why a step must be left out, or an empty string when it begins."""
    watch.at(step)
    return watch.skipped.get(step, "")


def _treated(source: Source[Any], treatment: Treatment, item: Item | Unreadable) -> Iterator[Treated]:
    found = read_item(item)
    if found is not None:
        yield _lost(source, found) if isinstance(found, Unreadable) else treatment(found)


def _lost(source: Source[Any], found: Unreadable) -> Treated:
    document = Document(id=found.id, text="", source=source.name)
    return Treated(document, 0, found.reason, found.detail, documents=found.documents)


def _name(unit: Any) -> str:
    first = unit[0] if isinstance(unit, tuple) else unit
    return str(getattr(first, "place", None) or getattr(first, "name", first))


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
