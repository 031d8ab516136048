"""Words of a text as spans, by segmentation (the extra `segment`) or by script alone, and what is counted of
them.

Rules that were written for words need some. `sudachi_words` are those of FineWeb-2 (Sudachi, mode A, white
space removed), at a few hundred kilobytes a second. `script_words` guess them from scripts, a hundred times
faster: runs of katakana, Latin letters and digits are whole words, kanji go in pairs, hiragana in pairs that
a particle or a change of script cuts short, any other mark stands alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled
from tsuzuri.corpus.quality.characters import CodePoints, character_table
from tsuzuri.corpus.quality.spans import number_spans
from tsuzuri.corpus.sudachi import morphemes

STOP_WORDS = tuple("のにをはたてがとで年し・月れさ")
"""FineWeb-2's stop words for Japanese, all of one character."""

KINDS_ASKED = (
    *("space", "letter", "punctuation"),
    *("hiragana_script", "katakana_script", "kanji_script", "latin_script", "digit_script"),
)
"""What `kinds` says of each class, by its bits."""
_SPACE, _LETTER, _PUNCTUATION, _HIRAGANA, _KATAKANA, _KANJI, _LATIN, _DIGIT = 1, 2, 4, 8, 16, 32, 64, 128
_SCRIPTS = _HIRAGANA | _KATAKANA | _KANJI | _LATIN | _DIGIT
_SYMBOL = re.compile(r"…|\.\.\.|#")  # EleutherAI/dps, japanese_prep.py
_PARTICLES = np.array([ord(mark) for mark in "をはがにのとでもへ"], dtype=np.uint32)


@dataclass(frozen=True)
class Words:
    """The words of one text."""

    spans: npt.NDArray[np.int32]
    """(words, 2) where each starts and ends."""
    nouns: int
    """How many are nouns, or (by script) hold no hiragana."""
    marks: int
    """How many are punctuation and symbols."""


def sudachi_words(text: str, points: CodePoints) -> Words:
    """Sudachi's shortest words; MissingExtraError without the extra `segment`."""
    starts: list[int] = []
    ends: list[int] = []
    nouns = marks = 0
    for offset, morpheme in morphemes(text):
        surface = morpheme.surface()
        stripped = surface.strip()
        if not stripped:
            continue
        start = offset + morpheme.begin() + len(surface) - len(surface.lstrip())
        starts.append(start)
        ends.append(start + len(stripped))
        kind = morpheme.part_of_speech()[0]
        nouns += kind == "名詞"
        marks += kind == "補助記号"
    return Words(np.array([starts, ends], dtype=np.int32).T.copy(), nouns, marks)


def script_words(text: str, points: CodePoints) -> Words:
    """Words as the scripts of a text suggest them."""
    table = character_table()
    spans, nouns, marks = _script_spans(points, table.classes, asked_kinds(), _PARTICLES)
    return Words(spans, nouns, marks)


@cache
def asked_kinds() -> npt.NDArray[np.uint32]:
    """(number of classes,) KINDS_ASKED of each class."""
    return character_table().bits_of(KINDS_ASKED)


def number_words(points: CodePoints, spans: npt.NDArray[np.int32]) -> tuple[Any, Any]:
    """((words,) a number for each word, (words + 1,) where each begins when nothing stands between them)."""
    offsets = np.zeros(len(spans) + 1, dtype=np.int64)
    np.cumsum(spans[:, 1] - spans[:, 0], out=offsets[1:])
    numbers = number_spans(points, spans).astype(np.uint32)
    numbers.flags.writeable = False  # as code points are: kernels are compiled for one kind of array
    return numbers, offsets


def symbol_words(text: str, spans: npt.NDArray[np.int32]) -> int:
    """How many words hold an ellipsis or `#`; of words that share one `...`, the last.

    dps means the same, but iterates over the characters of its joined words, so that its ratio is one of
    characters, and `...` never counts.
    """
    ends = [match.end() - 1 for match in _SYMBOL.finditer(text)]
    return len(np.unique(np.searchsorted(spans[:, 0], ends, side="right")))


@compiled
def describe_words(
    points: CodePoints,
    classes: npt.NDArray[np.uint8],
    kinds: npt.NDArray[np.uint32],
    spans: npt.NDArray[np.int32],
) -> tuple[int, int, int]:
    """(words that are more than punctuation, their characters, words with a letter)."""
    more = characters = lettered = 0
    for index in range(len(spans)):
        letter = other = False
        for at in range(spans[index, 0], spans[index, 1]):
            kind = kinds[classes[points[at]]]
            letter |= kind & _LETTER != 0
            other |= kind & _PUNCTUATION == 0
        lettered += letter
        more += other
        if other:
            characters += spans[index, 1] - spans[index, 0]
    return more, characters, lettered


@compiled
def _script_spans(
    points: CodePoints,
    classes: npt.NDArray[np.uint8],
    kinds: npt.NDArray[np.uint32],
    particles: npt.NDArray[np.uint32],
) -> tuple[npt.NDArray[np.int32], int, int]:
    spans = np.empty((len(points), 2), dtype=np.int32)
    found = nouns = marks = at = 0
    while at < len(points):
        kind = kinds[classes[points[at]]]
        start = at
        at += 1
        if kind & _SPACE != 0:
            continue
        script = kind & _SCRIPTS
        longest = 1 if script == 0 else 2 if script & (_HIRAGANA | _KANJI) != 0 else len(points)
        if script == _HIRAGANA and _is_one_of(points[start], particles):
            longest = 1
        while (
            at < len(points)
            and at - start < longest
            and kinds[classes[points[at]]] & script != 0
            and not (script == _HIRAGANA and _is_one_of(points[at], particles))
        ):
            at += 1
        spans[found, 0], spans[found, 1] = start, at
        found += 1
        marks += script == 0 and kind & _LETTER == 0
        nouns += script != 0 and script != _HIRAGANA
    return spans[:found].copy(), nouns, marks


@compiled
def _is_one_of(point: int, others: npt.NDArray[np.uint32]) -> bool:
    found = False
    for other in others:
        found |= point == other
    return found
