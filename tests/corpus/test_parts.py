"""Documents that are poison to the code that reads them are set aside and stop nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from ctypes import c_longlong
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.executor import CRASHED, Watch
from tsuzuri.corpus.parts import Reading, Task, make_parts
from tsuzuri.corpus.sources.base import FAILED, Item, Unreadable, described
from tsuzuri.corpus.sources.config import FilesSource
from tsuzuri.corpus.treatment import Treatment

TEXT = "むかし、むかし、あるところに、おじいさんとおばあさんが住んでいました。" * 3
CONFIG = FilesSource.model_validate({"path": "x", "quality": {"max_repeated_ngram_ratio": 1}})


@dataclass
class Deadly:
    """A document that kills the process in which its text is looked at."""

    id: str

    @property
    def text(self) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return ""


@dataclass(frozen=True)
class Story:
    """A member of a batch."""

    name: str


@dataclass
class Stories:
    """A source whose members are told what to do by their names."""

    name: str
    stories: tuple[tuple[str, ...], ...]

    @property
    def config(self) -> Any:
        return CONFIG

    def fingerprint(self) -> str:
        return ""

    def batches(self) -> list[tuple[Story, ...]]:
        return [tuple(map(Story, batch)) for batch in self.stories]

    def items(self, batch: tuple[Story, ...]) -> Iterator[Item | Unreadable]:
        for story in batch:
            kind = story.name.split("-")[0]
            if kind == "undecodable":
                yield Unreadable(story.name, kind)
                continue
            if kind == "deadly":
                os.kill(os.getpid(), signal.SIGKILL)
            for number in (0, 1, 2):
                if kind == "lost" and number == 1:
                    raise RecursionError
                name = f"{story.name}/{number}"
                yield Item(name, partial(self.tell, name, kind if number == 1 else ""))

    def tell(self, name: str, kind: str) -> Document:
        if kind == "raises":
            int("9" * 5000)
        if kind == "crashes":
            os.kill(os.getpid(), signal.SIGKILL)
        text: Any = None if kind == "breaks" else f"{name}{TEXT}"
        document: Any = Document(id=name, text=text, source=self.name)
        return Deadly(name) if kind == "poisons" else document  # type: ignore[return-value]


def read(folder: Path, *stories: tuple[str, ...], workers: int = 2) -> dict[str, str]:
    """id → reason of the rows of all parts in order."""
    parts = make_parts([Stories("tales", stories)], [Treatment(CONFIG)], folder, workers=workers)
    tables = [pq.read_table(part).to_pydict() for part in parts]
    return {
        name: reason for table in tables for name, reason in zip(table["id"], table["reason"], strict=True)
    }


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("raises", {"raises-1/0": "", "raises-1/1": FAILED, "raises-1/2": ""}),
        ("crashes", {"crashes-1/0": "", "crashes-1/1": CRASHED, "crashes-1/2": ""}),
        ("poisons", {"poisons-1/0": "", "poisons-1/1": CRASHED, "poisons-1/2": ""}),
        ("breaks", {"breaks-1/0": "", "breaks-1/1": FAILED, "breaks-1/2": ""}),
        ("undecodable", {"undecodable-1": "undecodable"}),
        ("lost", {"lost-1/0": "", "tales/lost-1": FAILED}),
        ("deadly", {"tales/deadly-1": CRASHED}),
    ],
)
def test_poison_costs_itself_alone(tmp_path: Path, kind: str, found: dict[str, str]) -> None:
    good = {f"{name}/{number}": "" for name in ("a", "b", "c") for number in range(3)}
    rows = read(tmp_path, ("a", f"{kind}-1", "b"), ("c",))
    assert rows == {**good, **found}
    assert list(rows)[: 3 + len(found)] == ["a/0", "a/1", "a/2", *found]


def test_what_failed_says_how_and_shows_no_text(tmp_path: Path) -> None:
    parts = make_parts([Stories("tales", (("raises-1",),))], [Treatment(CONFIG)], tmp_path, workers=1)
    detail = pq.read_table(parts[0])["detail"].to_pylist()[1]
    assert detail.startswith("ValueError: Exceeds the limit (4300 digits) for integer string conversion")
    for message in ("invalid literal: '電話は03-3581-0101'", '電話は"03-3581-0101"', "電話"):
        assert "3581" not in described(ValueError(message))
        assert "電話" not in described(ValueError(message))
    assert described(RecursionError()) == "RecursionError"


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_no_byte(tmp_path: Path, workers: int) -> None:
    stories = [tuple(f"{batch}-{number}" for number in range(3)) for batch in range(5)]
    read(tmp_path / "one", *stories, workers=2)
    read(tmp_path / "other", *stories, workers=workers)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


def test_a_batch_of_much_text_becomes_several_files(tmp_path: Path) -> None:
    source = Stories("tales", (("a", "b", "poisons-1", "c"), ("d",)))
    batches = source.batches()
    tasks = tuple(
        Task(0, batch, tmp_path / f"tales-{number}.parquet") for number, batch in enumerate(batches)
    )
    job = Reading((source,), (Treatment(CONFIG),), tasks, part_characters=2 * 1_100)
    for number in range(20):
        tasks[0].earlier(number).write_bytes(b"of a run that was killed")
    steps_of_a_story = 7  # three items are found and read, and none is found behind them
    for piece in (0, 1):
        job.run(piece, Watch(c_longlong(), {2 * steps_of_a_story + 3: CRASHED}))
    names = [path.name for task in tasks for path in task.parts()]
    assert names[:3] == ["tales-0.000.parquet", "tales-0.001.parquet", "tales-0.002.parquet"]
    assert names[-2:] == ["tales-1.000.parquet", "tales-1.parquet"]
    found = [row for task in tasks for path in task.parts() for row in pq.read_table(path)["id"].to_pylist()]
    assert found == [f"{name}/{row}" for name in ("a", "b", "poisons-1", "c", "d") for row in range(3)]


def test_a_source_of_poison_alone_is_an_error_that_counts_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gives no document: 2 undecodable, 1 crashed"):
        read(tmp_path, ("undecodable-1", "undecodable-2", "deadly"))
