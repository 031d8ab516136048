"""Folding by table is folding."""

from __future__ import annotations

import sys
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.corpus.duplicates.exact import fold
from tsuzuri.corpus.duplicates.folding import folded_codes

SPECIAL = (
    "゛゜￣´ｶﾞﾊﾟか\u3099が①㈱㍻…ßﬁΣςİǅ\u1161\u1100ㄱㅏ각　 \u00a0\u00a8\u0301é\u2f9d神\U0002f82a🀄\U000e0100葛"
)


def folded(texts: list[str]) -> list[str]:
    codes, offsets = folded_codes(texts)
    whole = codes.tobytes().decode("utf-32-le")
    return [whole[start:stop] for start, stop in pairwise(offsets.tolist())]


@settings(deadline=None)  # the first call compiles
@given(
    st.lists(
        st.text(st.one_of(st.sampled_from(SPECIAL), st.characters(exclude_categories=["Cs"])), max_size=12),
        max_size=5,
    )
)
def test_the_table_says_what_fold_says(texts: list[str]) -> None:
    assert folded(texts) == [fold(text) for text in texts]


def test_every_character_folds_alone_and_after_a_kana() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    for prefix in ("", "か"):
        texts = [prefix + character for character in characters[:: 1 if not prefix else 7]]
        assert folded(texts) == [fold(text) for text in texts]


@pytest.mark.parametrize("text", ["カﾞ", "か\u3099", "ｶﾞ・か\u3099", "e\u0301É", "はは\u309a"])
def test_marks_join_their_base_as_nfkc_says(text: str) -> None:
    assert fold(text) == "".join(unicodedata.normalize("NFKC", text).casefold().split())


@given(st.text(st.one_of(st.sampled_from(SPECIAL), st.characters(exclude_categories=["Cs"])), max_size=12))
def test_fold_is_nfkc_and_casefold_without_white_space(text: str) -> None:
    assert fold(text) == "".join(unicodedata.normalize("NFKC", text).casefold().split())


def test_fold_joins_whatever_can_join_a_letter_or_a_kana() -> None:
    marks = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.combining(chr(code)) or unicodedata.decomposition(chr(code))
    ]
    for base in "かe=、漢":
        for mark in marks:
            text = base + mark
            assert fold(text) == "".join(unicodedata.normalize("NFKC", text).casefold().split())


def test_published_works_fold_by_the_table(shared_data: Path) -> None:
    paths = sorted(shared_data.glob("aozora/*/*.txt"))[::60]
    texts = [path.read_text(encoding="cp932", errors="replace") for path in paths]
    assert folded(texts) == [fold(text) for text in texts]
