"""The bunko's notation, rule by rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.sources.aozora_notation import GETA, gaiji, jis_x_0213, plain_text


@pytest.mark.parametrize(
    ("marked", "text"),
    [
        ("吾輩《わがはい》は猫《ねこ》である", "吾輩は猫である"),
        ("昨日｜青空文庫《あおぞらぶんこ》を", "昨日青空文庫を"),
        ("盤面│○｜●｜○", "盤面│○｜●｜○"),
        ("［＃２字下げ］第一章［＃「第一章」は中見出し］", "第一章"),
        ("前\n［＃改ページ］\n後", "前\n後"),
        ("重要［＃「重要」に傍点］な［＃太字］点［＃太字終わり］", "重要な点"),
        ("※［＃「てへん＋黨」、第3水準1-85-7］く", "攩く"),
        ("※［＃「※［＃「口＋世」、第3水準1-14-92］」の左側、第4水準2-1-1］", "𠂉"),
        ("※［＃「にんべん＋尚」、U+5018、12-3］", "倘"),
        ("※［＃二の字点、1-2-22］", "〻"),
        ("※［＃「魚＋師のつくり」、42-8］", GETA),
        ("各※［＃小書き片仮名ト、1-6-81］", "各ㇳ"),
        ("※［＃始め二重括弧、1-1-52］引用※［＃終わり二重括弧、1-1-53］", "《引用》"),
        ("※［「さんずい＋闊」、第4水準2-79-45］", "𤄃"),
        ("第一※印は普通の記号", "第一※印は普通の記号"),
        ("不レ［＃レ］知［＃（ラ）］", "不レ知"),
        ("［＃割り注］注の文［＃割り注終わり］本文", "（注の文）本文"),
        ("図は［＃挿絵（fig1.png、横320×縦240）入る］ここ", "図はここ"),
        ("いろ／＼、どれ／″＼", "いろ〳〵、どれ〴〵"),
        ("〔Cafe'〕と〔E'tat l'a:me〕", "Cafe\u0301とE\u0301tat l'a\u0308me"),
        ("〔ae&on〕〔stra&ze〕", "æon" + "stra\u030aze"),
        ("注〔普通の括弧〕", "注〔普通の括弧〕"),
        ("閉じない［＃注", "閉じない注"),
    ],
)
def test_notation(marked: str, text: str) -> None:
    assert plain_text(marked).text == text


@pytest.mark.parametrize(
    ("marked", "text"),
    [
        ("吾輩《わがはい》は猫《ねこ》である", "吾輩（わがはい）は猫（ねこ）である"),
        ("昨日｜青空文庫《あおぞらぶんこ》を", "昨日青空文庫（あおぞらぶんこ）を"),
        ("※［＃「てへん＋黨」、第3水準1-85-7］《すく》く", "攩（すく）く"),
        ("空《》の", "空の"),
        ("｜棒はそのまま", "｜棒はそのまま"),
        ("※［＃始め二重括弧、1-1-52］引用※［＃終わり二重括弧、1-1-53］", "《引用》"),
    ],
)
def test_a_reading_stands_in_brackets_if_asked(marked: str, text: str) -> None:
    assert plain_text(marked, "both").text == text


def test_gaiji_without_a_code_are_counted() -> None:
    body = plain_text(
        "※［＃「魚＋師」、42-8］と※［＃「口＋世」、第3水準1-14-92］と※［＃小書き片仮名ヲ、387-下-11］"
    )
    assert body.unresolved_gaiji == 2
    assert body.text.count(GETA) == 2


@pytest.mark.parametrize(
    ("note", "character"),
    [("U+1F600", "😀"), ("U+D800", None), ("U+FFFFFF", None), ("第3水準1-95-1", None), ("12-3", None)],
)
def test_codes(note: str, character: str | None) -> None:
    assert gaiji(note) == character


def test_men_ku_ten() -> None:
    assert jis_x_0213(1, 16, 1) == "亜"
    assert jis_x_0213(2, 1, 1) == "𠂉"
    assert jis_x_0213(1, 4, 87) == "か゚"
    assert jis_x_0213(1, 0, 1) is jis_x_0213(2, 2, 1) is None


@given(st.text(alphabet="［］＃※｜《》〔〕／＼″「」あ漢e'1-2,\n　"))
def test_no_text_raises_and_no_note_is_left(marked: str) -> None:
    text = plain_text(marked).text
    assert "［＃" not in text or "※［" in marked or marked.count("［＃") > marked.count("］")
