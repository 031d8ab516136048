"""A folder of unfinished work, and the processes that share it: each task leaves one file, whole or not at
all, so what a killed run had done is not done again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from tsuzuri.core.errors import ResumeError
from tsuzuri.core.files import locked, sweep_temporary, write_json
from tsuzuri.core.progress import track

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
            with Workers(workers) as team:
                counts = make(folder / UNFINISHED, team)
            write_json(folder / COUNTS, counts)
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
        return json.loads((folder / COUNTS).read_text(encoding="utf-8"))  # type: ignore[no-any-return]


class Workers:
    """This process, or several that are started at the first step and stay for all."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def each(self, step: Callable[[Item], None], items: Sequence[Item], what: str) -> None:
        """Do a step for every item; an error of one ends the others."""
        done: Iterable[None]
        if self._count == 1 or len(items) <= 1:
            done = map(step, items)
        else:
            self._pool = self._pool or ProcessPoolExecutor(self._count, mp_context=get_context("spawn"))
            done = self._pool.map(step, items)
        for _ in track(done, what, total=len(items)):
            pass
