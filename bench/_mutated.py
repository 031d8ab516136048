"""Gigabytes of text out of megabytes of real ones, a corpus's duplicates planted in it in known shares.

Each pass over the real texts is another text: all kanji and katakana that occur go through a permutation of
that pass (none for the first), so the lengths, the mixture of scripts and how often characters come again are
those of real text, and no long passage of one pass stands in another. Among these originals stand exact
copies, near-copies (characters changed at random places, until their 5-grams are as alike as wished) and
documents that quote a passage of an earlier one; fifty originals in a row are a site, with its own lines at
the top and the bottom of every page. Copies are made anew from the number of their original: nothing is kept
but the real texts.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt

from _copies import real_texts

EXACT, NEAR, QUOTING, ORIGINAL = "exact copy", "near-copy", "quoting", "original"
SHARES = {EXACT: 0.1, NEAR: 0.2}
"""Kind → its share of the documents; the rest are originals."""
QUOTING_EVERY = 14
"""One original in so many quotes an earlier one."""
LOWEST, HIGHEST = 0.85, 0.95
"""What the similarity of a near-copy lies between, as expected of the places chosen."""
NGRAM = 5
QUOTED_CHARACTERS = 300
PAGES_PER_SITE = 50
PIECE_CHARACTERS = 4_000
WHOLE_WORKS = 10
"""One work in so many stays whole; the others are divided into documents of the length of web pages."""
MIN_CHARACTERS = 200
_BEYOND = re.compile("[\U00010000-\U0010ffff]")

Codes = npt.NDArray[np.uint16]
"""UTF-16 code units of text without surrogates."""


@dataclass(frozen=True)
class Made:
    """One document."""

    kind: str
    number: int
    """Of the original that it is, or is a copy of."""
    site: int
    text: str


class Mutations:
    """Documents without end; the same for the same texts and seed."""

    def __init__(self, texts: Sequence[str], seed: int) -> None:
        self._texts = [codes_of(text) for text in texts]
        self._seed = seed
        found = np.unique(np.concatenate(self._texts))
        is_kanji, is_katakana = (found >= 0x4E00) & (found <= 0x9FFF), (found >= 0x30A1) & (found <= 0x30FA)
        self._alphabets = [found[is_kanji], found[is_katakana]]
        self._tables: dict[int, Codes] = {}

    def __iter__(self) -> Iterator[Made]:
        generator = np.random.default_rng([self._seed, 0])
        originals = 0
        while True:
            kind = _kind(generator.random()) if originals else ORIGINAL
            if kind == ORIGINAL:
                number, originals = originals, originals + 1
                kind = QUOTING if _quotes(number) else ORIGINAL
            else:
                number = int(generator.integers(originals))
            body = self._body(number)
            body = near_copy(body, generator) if kind == NEAR else body
            site = number // PAGES_PER_SITE
            yield Made(kind, number, site, _page(body, site))

    def _body(self, number: int) -> Codes:
        """An original without its site's lines."""
        body = self._mutated(number)
        if not _quotes(number):
            return body
        generator = np.random.default_rng([self._seed, 2, number])
        quoted = self._mutated(int(generator.integers(number)))
        start = int(generator.integers(max(1, len(quoted) - QUOTED_CHARACTERS)))
        place = int(generator.integers(len(body)))
        return np.concatenate([body[:place], quoted[start : start + QUOTED_CHARACTERS], body[place:]])

    def _mutated(self, number: int) -> Codes:
        variant, place = divmod(number, len(self._texts))
        return self._table(variant)[self._texts[place]]

    def _table(self, variant: int) -> Codes:
        """(65536,) what each code unit becomes."""
        if variant not in self._tables:
            table = np.arange(2**16, dtype=np.uint16)
            generator = np.random.default_rng([self._seed, 1, variant])
            for alphabet in self._alphabets if variant else ():
                table[alphabet] = generator.permutation(alphabet)
            self._tables[variant] = table
        return self._tables[variant]


def codes_of(text: str) -> Codes:
    """The code units of a text, less its characters beyond U+FFFF."""
    return np.frombuffer(_BEYOND.sub("", text).encode("utf-16-le"), dtype="<u2")


def text_of(codes: Codes) -> str:
    """The text of code units."""
    return codes.astype("<u2").tobytes().decode("utf-16-le")


def near_copy(codes: Codes, generator: np.random.Generator) -> Codes:
    """The text with characters at random places put for others, so that its set of 5-grams is expected to be
    between `LOWEST` and `HIGHEST` like."""
    like = generator.uniform(LOWEST, HIGHEST)
    changed_grams = (1 - like) / (1 + like)
    changed = 1 - (1 - changed_grams) ** (1 / NGRAM)
    count = max(1, round(len(codes) * changed))
    copy = codes.copy()
    copy[generator.integers(len(codes), size=count)] = codes[generator.integers(len(codes), size=count)]
    return copy


def base_texts(data: Path, limit_bytes: float) -> list[str]:
    """Real texts of about so many bytes: articles, and works as published, most in pieces of some
    thousand characters."""
    found, size = [], 0
    for text in _articles_and_works(data):
        if len(text) >= MIN_CHARACTERS:
            found.append(text)
            size += len(text.encode())
        if size >= limit_bytes:
            break
    return found


def write_shards(
    documents: Iterator[Made], folder: Path, total_bytes: float, shard_bytes: float
) -> tuple[Counter[str], int]:
    """Write JSON-lines shards with at least so many bytes of text; how many of each kind, and the bytes."""
    folder.mkdir(parents=True)
    kinds: Counter[str] = Counter()
    written = shards = 0
    while written < total_bytes:
        until = min(total_bytes, written + shard_bytes)
        with open(folder / f"shard-{shards:05}.jsonl", "wb") as file:
            while written < until:
                made = next(documents)
                file.write(_line(made, kinds.total()))
                written += len(made.text.encode())
                kinds[made.kind] += 1
        shards += 1
    return kinds, written


def _line(made: Made, place: int) -> bytes:
    url = f"https://site-{made.site}.example.jp/{place}"
    record = {"id": str(place), "url": url, "site": f"site-{made.site}", "text": made.text}
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def _quotes(number: int) -> bool:
    return number % QUOTING_EVERY == QUOTING_EVERY - 1


def _kind(draw: float) -> str:
    for kind, share in SHARES.items():
        if draw < share:
            return kind
        draw -= share
    return ORIGINAL


def _page(body: Codes, site: int) -> str:
    return (
        f"第{site}商店街のホームページ\n新着情報｜お店の案内｜地図と交通｜第{site}商店街について\n"
        f"{text_of(body)}\nこのページの文章や写真を無断で転載することを禁じます。第{site}商店街振興組合"
    )


def _articles_and_works(data: Path) -> Iterator[str]:
    """In turns as long as there are both."""
    articles = (text for name, text in real_texts(data, 0))
    for article, work in zip_longest(articles, _pieces(data)):
        yield from filter(None, (article, work))


def _pieces(data: Path) -> Iterator[str]:
    works = (path.read_text("cp932", errors="replace") for path in sorted(data.glob("aozora/*/*.txt")))
    return chain.from_iterable(
        [work] if number % WHOLE_WORKS == 0 else divided(work) for number, work in enumerate(works)
    )


def divided(text: str) -> list[str]:
    """The text in pieces that end with a line, of `PIECE_CHARACTERS` or little more where lines are short."""
    pieces, start = [], 0
    while start < len(text):
        end = text.find("\n", start + PIECE_CHARACTERS)
        end = len(text) if end < 0 else end + 1
        pieces.append(text[start:end])
        start = end
    return pieces
