"""Documents that are poison to the code that reads them are set aside and stop nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.executor import CRASHED
from tsuzuri.corpus.parts import make_parts
from tsuzuri.corpus.sources.base import Unreadable
from tsuzuri.corpus.sources.config import FilesSource
from tsuzuri.corpus.treatment import FAILED, Treatment

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

    def read(self, batch: tuple[Story, ...]) -> Iterator[Document | Unreadable]:
        for story in batch:
            kind = story.name.split("-")[0]
            if kind == "undecodable":
                yield Unreadable(story.name, kind)
                continue
            if kind == "deadly":
                os.kill(os.getpid(), signal.SIGKILL)
            yield Document(id=f"{story.name}/0", text=f"{story.name}{TEXT}", source=self.name)
            if kind == "raises":
                raise RecursionError
            if kind == "crashes":
                os.kill(os.getpid(), signal.SIGKILL)
            text: Any = f"2 {story.name}{TEXT}"
            if kind == "breaks":
                text = None
            second: Any = Document(id=f"{story.name}/1", text=text, source=self.name)
            yield Deadly(second.id) if kind == "poisons" else second


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
        ("raises", {"raises-1/0": "", "tales/raises-1": FAILED}),
        ("crashes", {"crashes-1/0": "", "tales/crashes-1": CRASHED}),
        ("poisons", {"poisons-1/0": "", "poisons-1/1": CRASHED}),
        ("breaks", {"breaks-1/0": "", "breaks-1/1": FAILED}),
        ("undecodable", {"undecodable-1": "undecodable"}),
    ],
)
def test_poison_costs_itself_alone(tmp_path: Path, kind: str, found: dict[str, str]) -> None:
    good = {f"{name}/{number}": "" for name in ("a", "b", "c") for number in (0, 1)}
    rows = read(tmp_path, ("a", f"{kind}-1", "b"), ("c",))
    assert rows == {**good, **found}
    assert list(rows)[: 2 + len(found)] == ["a/0", "a/1", *found]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_no_byte(tmp_path: Path, workers: int) -> None:
    stories = [tuple(f"{batch}-{number}" for number in range(3)) for batch in range(5)]
    read(tmp_path / "one", *stories, workers=2)
    read(tmp_path / "other", *stories, workers=workers)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


def test_a_source_of_poison_alone_is_an_error_that_counts_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gives no document: 2 undecodable, 1 crashed"):
        read(tmp_path, ("undecodable-1", "undecodable-2", "deadly"))
