"""Loops are found exactly where a plain search finds them, and not in prose."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.generation.loops import (
    LAST_CHARACTERS,
    MIN_CHARACTERS,
    MIN_REPEATS,
    distinct_ngrams,
    looped_suffix,
)


def plain_search(text: str) -> str:
    """The exact loop's definition, word for word."""
    for period in range(1, len(text) + 1):
        length = period
        while length < len(text) and text[-1 - length] == text[-1 - length + period]:
            length += 1
        if length >= MIN_REPEATS * period and length >= MIN_CHARACTERS:
            return text[-length:]
    return ""


@given(
    prose=st.text(alphabet="あい", max_size=LAST_CHARACTERS // 4),
    unit=st.text(alphabet="あい", min_size=1, max_size=12),
    length=st.integers(0, LAST_CHARACTERS // 2),
)
def test_the_fast_search_is_the_plain_one(prose: str, unit: str, length: int) -> None:
    text = prose + (unit * length)[:length]
    assert looped_suffix(text) == plain_search(text)


@pytest.mark.parametrize(
    ("prose", "loop"),
    [
        ("川へ行った。", "ないることに" * 5),
        ("川へ行った。", "ないることに" * 5 + "ない"),
        ("川へ行った。", "え" * 30),
        ("", "山の向こうの小さな村に住んでいた、ひとりの男の話をしよう。" * 3),
    ],
)
def test_the_loop_is_what_is_said_again_and_again(prose: str, loop: str) -> None:
    assert looped_suffix(prose + loop) == loop


@pytest.mark.parametrize(
    "text",
    [
        "",
        "え" * 29,
        "むかし、むかし、あるところに",
        "ふふふふふふふふふ……………………",
        "「さようなら、また会う日まで、元気でいてね」" * 2 + "と言った。",
    ],
)
def test_what_only_looks_like_a_loop(text: str) -> None:
    assert looped_suffix(text) == ""


def test_a_loop_may_drift() -> None:
    chosen = random.Random(1)
    drifting = "".join(chosen.choice(("ことにはないる", "にはないる", "にないる")) for _ in range(30))
    assert plain_search(drifting) == ""
    assert looped_suffix("川へ行った。" + drifting) == drifting[-LAST_CHARACTERS:]


@given(text=st.text(alphabet="あいうえお", max_size=60), n=st.integers(1, 5))
def test_distinct_ngrams_are_a_share(text: str, n: int) -> None:
    grams = [text[start:][:n] for start in range(len(text) - n + 1)]
    assert distinct_ngrams(text, n) == (len(set(grams)) / len(grams) if grams else 1)


def test_the_published_loop_measures_what_is_known_of_it(shared_data: Path) -> None:
    samples = json.loads((shared_data / "seed-prompts.json").read_text(encoding="utf-8"))["samples"]
    measured = [round(distinct_ngrams(sample["published_output"][:500]), 2) for sample in samples]
    assert measured == [0.91, 0.98, 0.68]
    looping = samples[2]["published_output"]
    assert looped_suffix(looping[: looping.index("な\n\n")]) != ""
