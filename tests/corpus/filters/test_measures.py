"""Measures of a text against plain definitions of them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.filters import measures

TEXT = st.text(alphabet="あアー漢々、。Ａaz09 \n…〜Ω", max_size=300)


def counts_of(text: str) -> dict[str, int]:
    return measures.script_counts(measures.class_counts(measures.code_points(text)))


@pytest.mark.parametrize(
    ("character", "script"),
    [
        *zip("あゞぁ", ["hiragana", "other", "hiragana"], strict=True),
        *zip("アーヷｱ", ["katakana"] * 4, strict=True),
        *zip("漢々〆𠮷神", ["kanji"] * 5, strict=True),
        *zip("aＺé", ["latin"] * 3, strict=True),
        *zip("0９", ["digit"] * 2, strict=True),
        *zip("。、Ω😀", ["other"] * 4, strict=True),
    ],
)
def test_scripts(character: str, script: str) -> None:
    assert counts_of(character) == {**dict.fromkeys(measures.SCRIPTS, 0), script: 1}


@given(TEXT)
def test_every_character_that_is_no_space_is_counted_once(text: str) -> None:
    assert sum(counts_of(text).values()) == len("".join(text.split()))


def test_ratios() -> None:
    counts = measures.class_counts(measures.code_points("漢字かな。abcd 1"))
    assert measures.japanese_ratio(counts) == pytest.approx(5 / 10)
    assert measures.kana_ratio(counts) == pytest.approx(2 / 4)
    empty = measures.class_counts(measures.code_points(""))
    assert measures.japanese_ratio(empty) == measures.kana_ratio(empty) == 0


def test_repeated_lines() -> None:
    assert measures.repeated_line_ratio("甲\n乙\n\n甲\n甲") == pytest.approx(2 / 4)
    assert measures.repeated_line_ratio("\n\n") == 0


@given(TEXT)
def test_repeated_ngrams_are_swallows(text: str) -> None:
    grams = Counter(text[at : at + measures.NGRAM] for at in range(len(text) - measures.NGRAM + 1))
    expected = sum(count > 1 for count in grams.values()) / len(grams) if sum(grams.values()) > 1 else 0.0
    assert measures.repeated_ngram_ratio(measures.code_points(text)) == pytest.approx(expected)
