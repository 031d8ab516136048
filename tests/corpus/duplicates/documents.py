"""Made-up documents with copies among them, as the Parquet files that the stages read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

LETTERS = "あいうえおかがきぎくぐけげこごはばぱひびぴ漢字仮名交文山川草木日本語アイウエオ。、"


def prose(seed: int, characters: int) -> str:
    """Random Japanese characters, no two texts of which have a 5-gram in common but by chance."""
    return "".join(random.Random(seed).choices(LETTERS, k=characters))


def edited(text: str, seed: int, edits: int) -> str:
    """The text with some characters replaced by ones that it does not have."""
    generator, characters = random.Random(seed), list(text)
    for place in generator.sample(range(len(characters)), edits):
        characters[place] = generator.choice("龍鳳麒麟亀鶴")
    return "".join(characters)


def write_parts(folder: Path, documents: Sequence[tuple[str, str]], cuts: Sequence[int]) -> list[Path]:
    """(id, text) documents in Parquet files that end at the cuts."""
    folder.mkdir(parents=True, exist_ok=True)
    bounds = [0, *cuts, len(documents)]
    paths = []
    for number, (start, stop) in enumerate(pairwise(bounds)):
        paths.append(folder / f"part-{number:05}.parquet")
        ids, texts = [name for name, _ in documents[start:stop]], [text for _, text in documents[start:stop]]
        schema = pa.schema([("id", pa.string()), ("text", pa.string())])
        pq.write_table(pa.table([ids, texts], schema=schema), paths[-1])
    return paths
