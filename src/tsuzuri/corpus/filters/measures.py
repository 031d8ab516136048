"""Numbers about a text, each from one vectorised pass over its code points."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

CodePoints = npt.NDArray[np.uint32]

SCRIPTS = ("hiragana", "katakana", "kanji", "latin", "digit", "other")
"""The scripts that the corpus is counted in; `other` is everything else that is no white space."""
_SPACE = len(SCRIPTS)
_JAPANESE_PUNCTUATION = len(SCRIPTS) + 1  # reported as `other`

_RANGES = (
    ("hiragana", 0x3041, 0x3096),
    ("hiragana", 0x309D, 0x309F),
    ("katakana", 0x30A1, 0x30FA),
    ("katakana", 0x30FC, 0x30FF),
    ("katakana", 0x31F0, 0x31FF),
    ("katakana", 0xFF66, 0xFF9F),
    ("kanji", 0x3005, 0x3007),
    ("kanji", 0x3400, 0x4DBF),
    ("kanji", 0x4E00, 0x9FFF),
    ("kanji", 0xF900, 0xFAFF),
    ("kanji", 0x20000, 0x3FFFF),
    ("latin", 0x41, 0x5A),
    ("latin", 0x61, 0x7A),
    ("latin", 0xC0, 0x24F),
    ("latin", 0xFF21, 0xFF3A),
    ("latin", 0xFF41, 0xFF5A),
    ("digit", 0x30, 0x39),
    ("digit", 0xFF10, 0xFF19),
)
_PUNCTUATION = "、。，．・：；？！「」『』（）〔〕【】《》〈〉…‥―〜～ゝゞヽヾ"
NGRAM = 10
NGRAM_WINDOW = 1_000_000
"""Repetition is measured on this many characters from the start, so that memory stays bounded."""


def code_points(text: str) -> CodePoints:
    """(n,) the text's Unicode scalar values."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


def class_counts(points: CodePoints) -> npt.NDArray[np.int64]:
    """(8,) how many code points are of each of SCRIPTS, then white space, then Japanese punctuation."""
    return np.bincount(_class_table()[points], minlength=_JAPANESE_PUNCTUATION + 1)


def script_counts(counts: npt.NDArray[np.int64]) -> dict[str, int]:
    """Characters per script, from `class_counts`."""
    scripts = {name: int(counts[index]) for index, name in enumerate(SCRIPTS)}
    scripts["other"] += int(counts[_JAPANESE_PUNCTUATION])
    return scripts


def japanese_ratio(counts: npt.NDArray[np.int64]) -> float:
    """Share of kana, kanji and Japanese punctuation in what is no white space."""
    japanese = counts[:3].sum() + counts[_JAPANESE_PUNCTUATION]
    return float(japanese / max(1, counts.sum() - counts[_SPACE]))


def kana_ratio(counts: npt.NDArray[np.int64]) -> float:
    """Share of kana in kana and kanji."""
    return float(counts[:2].sum() / max(1, counts[:3].sum()))


def repeated_line_ratio(text: str) -> float:
    """Share of the lines that repeat an earlier one, Σ(f - 1) / lines (Swallow's
    duplicate_paragraph_fraction)."""
    lines = [line for line in text.split("\n") if line.strip()]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


def repeated_ngram_ratio(points: CodePoints) -> float:
    """Share of the distinct 10-grams of characters that occur more than once (Swallow's
    duplicate_10_gram_fraction)."""
    points = points[:NGRAM_WINDOW]
    length = len(points) - NGRAM + 1
    if length < 2:
        return 0.0
    hashes = np.zeros(length, dtype=np.uint64)
    for offset in range(NGRAM):  # polynomial in 2^64 arithmetic with Knuth's multiplier
        hashes = hashes * np.uint64(6364136223846793005) + points[offset : offset + length].astype(np.uint64)
    hashes.sort()
    starts = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1])))
    return float(np.count_nonzero(np.diff(starts, append=length) > 1) / len(starts))


@cache
def _class_table() -> npt.NDArray[np.uint8]:
    table = np.full(0x110000, SCRIPTS.index("other"), dtype=np.uint8)
    for name, first, last in _RANGES:
        table[first : last + 1] = SCRIPTS.index(name)
    for space in (*range(0x09, 0x0E), 0x20, 0xA0, 0x3000):
        table[space] = _SPACE
    for mark in _PUNCTUATION:
        table[ord(mark)] = _JAPANESE_PUNCTUATION
    return table
