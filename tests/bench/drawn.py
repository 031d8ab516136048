"""Documents whose letters are drawn by chance, for the tests of benches that train on some."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from tsuzuri.core.manifest import make_box
from tsuzuri.corpus.document import DOCUMENT_SCHEMA, Document, SplitWriter, as_row

LETTERS = "あいうえおかきくけこさしすせそアイウエオカキクケコ山川日月火水木金土人"


def write_documents(
    box: Path,
    seed: int,
    splits: Mapping[str, int],
    *,
    characters: int,
    sources: Sequence[str],
    closings: Sequence[str],
) -> Path:
    """A documents box of so many texts in each split; sources and closing characters take turns."""
    chance = random.Random(seed)

    def work() -> dict[str, object]:
        for split, count in splits.items():
            with SplitWriter(box, split, DOCUMENT_SCHEMA) as writer:
                for number in range(count):
                    closing = closings[number % len(closings)]
                    text = "".join(chance.choices(LETTERS, k=characters)) + closing
                    source = sources[number % len(sources)]
                    writer.add(as_row(Document(f"{split}-{number}", text, source)))
        return {"sources": {source: {} for source in sources}}

    make_box(box, kind="documents", config={"seed": seed}, inputs={}, work=work)
    return box
