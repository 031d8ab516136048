"""A folder of unfinished work, and the steps of that: each task leaves one file, whole or not at all, so what
a killed run had done is not done again."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tsuzuri.core.errors import ResourceError, ResumeError
from tsuzuri.core.files import locked, sweep_temporary, write_json
from tsuzuri.core.progress import track
from tsuzuri.corpus.executor import LocalPool, Watch

Item = TypeVar("Item")

FACTS, COUNTS, UNFINISHED = "facts.json", "counts.json", "unfinished"


def in_folder(
    folder: Path,
    facts: Mapping[str, Any],
    make: Callable[[Path, Workers], dict[str, int]],
    workers: int,
) -> dict[str, int]:
    """The counts that `make` returns, or those of an earlier run that ended.

    `make` gets a folder for its unfinished work, removed when it ends, and so many workers. Raises
    ResumeError when `folder` was begun with other facts.
    """
    with locked(folder):
        facts = json.loads(json.dumps(facts))
        if (folder / FACTS).exists():
            if json.loads((folder / FACTS).read_text(encoding="utf-8")) != facts:
                raise ResumeError(
                    f"{folder} was begun with other documents or another configuration",
                    hint=f"remove {folder}, or give another folder",
                )
        else:
            write_json(folder / FACTS, facts)
        if not (folder / COUNTS).exists():
            sweep_temporary(folder)
            (folder / UNFINISHED).mkdir(exist_ok=True)
            with LocalPool(workers, item_limit_s=math.inf) as pool:
                counts = make(folder / UNFINISHED, Workers(pool))
            write_json(folder / COUNTS, counts)
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
        return json.loads((folder / COUNTS).read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Workers:
    """This process, or several where there is work to share."""

    pool: LocalPool

    def each(self, step: Callable[[Item], None], items: Sequence[Item], what: str) -> None:
        """Do a step for every item; an error of one ends the others, and so does the death of a worker."""
        done: Iterable[object]
        if self.pool.workers == 1 or len(items) <= 1:
            done = map(step, items)
        else:
            done = self.pool.run(Step(step, items), range(len(items)))
        try:
            for _ in track(done, what, total=len(items)):
                pass
        except ResourceError as error:
            raise ResourceError(f"{what}: {error.message}", hint=error.hint) from error


@dataclass(frozen=True)
class Step:
    """A step for items, none of which may be left out, as the job of the workers."""

    step: Callable[[Any], None]
    items: Sequence[Any]

    def run(self, piece: int, watch: Watch) -> None:
        """Do the step for one item, however long it takes."""
        self.step(self.items[piece])
