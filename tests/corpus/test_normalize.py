"""One spelling of the same text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.normalize import nfc, normalize


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("一行\r\n二行\r三行\u2028四行", "一行\n二行\n三行\n四行"),
        ("行末  \n\n\n\n次\u3000\n", "行末\n\n次"),
        ("\u3000字下げは残る", "\u3000字下げは残る"),
        ("見え\u200bない\x00文字\ufeff\xad", "見えない文字"),
        ("幅\xa0広", "幅 広"),
        ("\ud800片割れ", "\ufffd片割れ"),
        ("か\u3099き\u309a", "がき\u309a"),  # か゚ and き゚ have no composed form
        ("①㈱…！？～", "①㈱…！？～"),
    ],
)
def test_spelling(raw: str, text: str) -> None:
    assert normalize(raw, fold_width=True) == text


@pytest.mark.parametrize(
    ("raw", "folded"),
    [("ｶﾞｷﾞﾊﾟﾝ｡｢ｱ｣", "ガギパン。「ア」"), ("ﾞﾟ", "゛゜"), ("ＧＰＴ２０２６", "GPT2026"), ("（Ａ）！", "（A）！")],
)
def test_width_is_folded_only_where_asked(raw: str, folded: str) -> None:
    assert normalize(raw, fold_width=True) == folded
    assert normalize(raw, fold_width=False) == raw


def test_compatibility_ideographs_stay() -> None:
    name = "神\ufa19 福\ufa1b \U0002f800"
    assert nfc(name + "か\u3099") == name + "が"
    assert unicodedata.normalize("NFC", name) != name  # what plain NFC would have done


@given(st.text(), st.booleans())
def test_twice_is_once(text: str, fold_width: bool) -> None:
    once = normalize(text, fold_width=fold_width)
    assert normalize(once, fold_width=fold_width) == once


@given(st.text())
def test_the_result_is_valid_unicode_without_controls(text: str) -> None:
    result = normalize(text, fold_width=True)
    result.encode("utf-8")
    assert not [
        character
        for character in result
        if unicodedata.category(character) == "Cc" and character not in "\n\t"
    ]
