"""What a kill does to a corpus is seen: a lost, changed or misplaced document, and processes left behind."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from corpus import Killing, harmed, none_of, spread
from tsuzuri.core.manifest import make_box
from tsuzuri.corpus.document import DOCUMENT_SCHEMA, Document, SplitWriter, as_row

COPY = """
import os, shutil, sys, time
whole, damaged, box, mark = sys.argv[1:]
was_killed = os.path.exists(mark)
open(mark, "w").close()
time.sleep(1)
shutil.copytree(damaged if was_killed else whole, box)
os.remove(mark)
"""
"""Makes a corpus; after a kill another one."""


def make_corpus(box: Path, texts: dict[str, str], heldout: str = "c") -> Path:
    """A documents box with one document held out."""

    def work() -> dict[str, int]:
        for split in ("train", "heldout"):
            with SplitWriter(box, split, DOCUMENT_SCHEMA) as writer:
                for name, text in texts.items():
                    if (name == heldout) == (split == "heldout"):
                        writer.add(as_row(Document(id=name, text=text, source="made")))
        return {"documents": len(texts)}

    make_box(box, kind="documents", config={}, inputs={}, work=work)
    return box


TEXTS = {"a": "甲", "b": "乙", "c": "丙"}


@pytest.mark.parametrize(
    ("texts", "heldout", "documents"),
    [
        (TEXTS, "c", set()),
        ({"a": "甲", "c": "丙"}, "c", {"b"}),
        ({**TEXTS, "b": "丁"}, "c", {"b"}),
        ({**TEXTS, "d": "丁"}, "c", {"d"}),
        (TEXTS, "b", {"b", "c"}),
    ],
)
def test_documents_lost_changed_added_or_misplaced_are_named(
    tmp_path: Path, texts: dict[str, str], heldout: str, documents: set[str]
) -> None:
    found = harmed(make_corpus(tmp_path / "box", texts, heldout), make_corpus(tmp_path / "whole", TEXTS))
    assert {name for name in found if "." not in name} == documents
    assert (len(found) > 0) == (len(documents) > 0)


def test_instants_are_spread_over_the_whole_duration() -> None:
    instants = spread(10, 5.0, random.Random(0))
    assert [int(instant / 0.5) for instant in sorted(instants)] == list(range(10))
    assert instants != sorted(instants)


@pytest.mark.parametrize("is_harmful", [False, True])
def test_every_instant_kills_once_and_what_it_did_is_seen(tmp_path: Path, is_harmful: bool) -> None:
    whole = make_corpus(tmp_path / "whole", TEXTS)
    damaged = make_corpus(tmp_path / "damaged", {**TEXTS, "b": "丁"}) if is_harmful else whole
    box = tmp_path / "box"
    command = [sys.executable, "-I", "-S", "-c", COPY, *map(str, (whole, damaged, box, tmp_path / "mark"))]
    killing = Killing(command, box, whole, random.Random(0))
    killing.run([0.8, 0.6])
    killing.close()
    assert (killing.kills, killing.corpora, killing.left_behind) == (2, 1, 0)
    assert ("b" in killing.harmed) == is_harmful
    assert none_of("lost", killing.harmed, 3).ours == len(killing.harmed)
