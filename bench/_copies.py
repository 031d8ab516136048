"""Real documents with planted near-copies of known similarity: the truth to measure deduplication by."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.corpus.duplicates.exact import fold

LOWEST, HIGHEST = 0.8, 0.95
NGRAM = 5
ROWS_PER_FILE = 4_000
Texts = dict[str, str]


@dataclass(frozen=True)
class Copies:
    """Documents, and which of them were planted."""

    texts: Texts
    """id → text, in the order of the corpus."""
    planted: dict[str, str]
    """The id of a copy → that of its original; their similarity lies between `LOWEST` and `HIGHEST`."""

    @property
    def megabytes(self) -> float:
        """The UTF-8 bytes of all texts, in millions."""
        return sum(len(text.encode()) for text in self.texts.values()) / 1e6

    def write(self, folder: Path) -> list[Path]:
        """The documents in Parquet files."""
        folder.mkdir(parents=True)
        items, paths = list(self.texts.items()), []
        for start in range(0, len(items), ROWS_PER_FILE):
            ids, texts = zip(*items[start : start + ROWS_PER_FILE], strict=True)
            paths.append(folder / f"part-{len(paths):05}.parquet")
            pq.write_table(pa.table({"id": ids, "text": texts}), paths[-1], compression="zstd")
        return paths


def ngrams(text: str) -> set[str]:
    """The character 5-grams of the folded text."""
    folded = fold(text)
    return {folded[place : place + NGRAM] for place in range(max(1, len(folded) - NGRAM + 1))}


def similarity(one: str, other: str) -> float:
    """The Jaccard similarity of two texts' 5-grams, on sets of strings."""
    left, right = ngrams(one), ngrams(other)
    return len(left & right) / len(left | right)


def with_copies(texts: Texts, count: int, seed: int) -> Copies:
    """The texts and, at random places among them, near-copies of some."""
    generator = random.Random(seed)
    originals = [name for name, text in texts.items() if 60 <= len(text) <= 20_000]
    planted: dict[str, str] = {}
    items = list(texts.items())
    for name in generator.sample(originals, min(count, len(originals))):
        if copy := near_copy(texts[name], generator):
            planted[f"copy/{name}"] = name
            items.append((f"copy/{name}", copy))
    generator.shuffle(items)
    return Copies(dict(items), planted)


def near_copy(text: str, generator: random.Random) -> str:
    """The text with characters changed, runs left out and passages put in; nothing if that went too far."""
    wanted = generator.uniform(LOWEST, HIGHEST)
    changed, like = text, 1.0
    while like > wanted:
        place = generator.randrange(len(changed))
        kind = generator.random()
        before = changed
        if kind < 0.7:
            changed = changed[:place] + generator.choice(text) + changed[place + 1 :]
        elif kind < 0.85:
            changed = changed[:place] + changed[place + max(1, len(text) // 100) :]
        else:
            passage = "".join(generator.choices(text, k=max(1, len(text) // 100)))
            changed = changed[:place] + passage + changed[place:]
        steps = max(1, len(text) // 400)
        for _ in range(steps if kind < 0.7 else 0):
            place = generator.randrange(len(changed))
            changed = changed[:place] + generator.choice(text) + changed[place + 1 :]
        like = similarity(text, changed)
    chosen = changed if like >= LOWEST else before
    return chosen if LOWEST <= similarity(text, chosen) <= HIGHEST else ""


def real_texts(data: Path, works: int) -> Iterator[tuple[str, str]]:
    """(id, text) of Wikipedia articles and of Aozora works as published."""
    with gzip.open(data / "kyoto-wikipedia.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            article = json.loads(line)
            yield f"wikipedia/{article['id']}", article["text"]
    for path in sorted(data.glob("aozora/*/*.txt"))[:works]:
        yield f"aozora/{path.parent.name}/{path.stem}", path.read_text(encoding="cp932", errors="replace")


def made_texts(count: int) -> Iterator[tuple[str, str]]:
    """(id, text) of random words, where there is no real text."""
    generator = random.Random(0)
    letters = [chr(code) for code in (*range(0x3041, 0x3094), *range(0x4E00, 0x5200))]
    words = ["".join(generator.choices(letters, k=generator.randint(1, 4))) for _ in range(20_000)]
    for number in range(count):
        yield f"made/{number}", "".join(generator.choices(words, k=generator.randint(20, 800)))
