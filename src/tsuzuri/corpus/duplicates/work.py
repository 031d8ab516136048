"""A folder of unfinished work, and the processes that share it: each task leaves one file, whole or not at
all, so what a killed run had done is not done again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
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
    folder: Path, facts: Mapping[str, Any], make: Callable[[Path], dict[str, int]]
) -> dict[str, int]:
    """The counts that `make` returns, or those of an earlier run that ended.

    `make` gets a folder for its unfinished work, removed when it ends. Raises ResumeError when `folder` was
    begun with other facts.
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
            write_json(folder / COUNTS, make(folder / UNFINISHED))
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
        counts: dict[str, int] = json.loads((folder / COUNTS).read_text(encoding="utf-8"))
        return counts


def each(step: Callable[[Item], None], items: Sequence[Item], *, workers: int, what: str) -> None:
    """Do a step for every item, in this process or in several; an error of one ends the others."""
    if workers == 1 or len(items) <= 1:
        for item in track(items, what, total=len(items)):
            step(item)
        return
    with ProcessPoolExecutor(min(workers, len(items)), mp_context=get_context("spawn")) as pool:
        try:
            for _ in track(pool.map(step, items), what, total=len(items)):
                pass
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
