"""Kills the stages at chosen places and lets them go on: a program of its own, for `test_killed.py`.

    python killing.py FOLDER KILLS

Each stage runs once in peace, and its operations on files (opening for writing, making, renaming, removing)
are counted. Then it is run again and killed by SIGKILL right before one of them, at as many places as are
asked for, evenly spread, and run once more to its end. Prints a line for each: `same`, or what differs.

One process imports everything and forks the others, which takes a fraction of the time; it touches no
Parquet itself, so that no thread is lost in the fork.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.corpus.duplicates.documents import edited, prose
from tests.processes import OPERATIONS, in_a_process

from tsuzuri.corpus.duplicates.boilerplate import boilerplate_lines
from tsuzuri.corpus.duplicates.folding import folded_codes
from tsuzuri.corpus.duplicates.near import near_duplicates
from tsuzuri.corpus.duplicates.passages import repeated_passages

STAGES: dict[str, Callable[..., dict[str, int]]] = {
    "near": near_duplicates,
    "passages": repeated_passages,
    "boilerplate": boilerplate_lines,
}


def write_documents(folder: Path) -> None:
    """Two Parquet files with copies, repeated passages and a menu."""
    texts = [f"{prose(7, 20)}\n{edited(prose(number % 4, 300), number, 3)}" for number in range(24)]
    for part in range(2):
        here = texts[12 * part : 12 * part + 12]
        ids = [f"{part}/{number}" for number in range(12)]
        table = pa.table({"id": ids, "text": here, "group": ["site"] * 12})
        pq.write_table(table, folder / f"part-{part}.parquet")


def run(stage: str, documents: Path, out: Path, place: int, count_file: Path) -> None:
    """Run a stage until its `place`th operation on files in `out`, and die there; count them in the end."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in OPERATIONS or not str(arguments[0]).startswith(str(out)):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        if count == place:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    sys.addaudithook(hook)
    STAGES[stage](sorted(documents.glob("*.parquet")), out)
    count_file.write_text(str(count))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, but its lock."""
    return {
        path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"
    }


def main(folder: Path, kills: int) -> None:
    """Kill each stage and print how it ends."""
    documents, count_file = folder / "documents", folder / "count"
    documents.mkdir()
    folded_codes(["か"])  # makes the table and wakes the compiler, which each child would do
    assert in_a_process(lambda: write_documents(documents)) == 0
    for stage in STAGES:
        whole = folder / f"{stage}-whole"
        assert (
            in_a_process(lambda stage=stage, whole=whole: run(stage, documents, whole, -1, count_file)) == 0
        )
        operations, expected = int(count_file.read_text()), contents(whole)
        for number in range(kills):
            out, place = folder / f"{stage}-{number}", number * operations // kills
            status = in_a_process(lambda s=stage, o=out, p=place: run(s, documents, o, p, count_file))
            assert status == -signal.SIGKILL, status
            assert in_a_process(lambda s=stage, o=out: run(s, documents, o, -1, count_file)) == 0
            found = contents(out)
            names = sorted({*found, *expected})
            print(
                " ".join(name for name in names if found.get(name) != expected.get(name)) or "same",
                flush=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
