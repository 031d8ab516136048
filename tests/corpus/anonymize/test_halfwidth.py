"""The half-width copy keeps every character's place."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.anonymize.halfwidth import HYPHENS, half_width


@given(st.text())
def test_lengths_stay_and_a_second_time_changes_nothing(text: str) -> None:
    folded = half_width(text)
    assert len(folded) == len(text)
    assert half_width(folded) == folded


@given(st.text(st.characters(min_codepoint=0xFF01, max_codepoint=0xFF5E)))
def test_full_width_ascii_becomes_what_nfkc_makes_of_it(text: str) -> None:
    assert half_width("仮" + text)[1:] == unicodedata.normalize("NFKC", text)


def test_every_hyphen_is_one_and_the_long_vowel_only_between_digits() -> None:
    assert half_width(HYPHENS) == "-" * len(HYPHENS)
    assert half_width("０３ー１２ーサーバー3ー") == "03-12ーサーバー3ー"


def test_what_is_no_ascii_stays() -> None:
    assert half_width("〒㈱①ｶﾞ…𠮟\ud800　。") == "〒㈱①ｶﾞ…𠮟\ud800 。"
