"""Ruby and word-break marks before any extractor sees them."""

from __future__ import annotations

import pytest

from tsuzuri.corpus.extraction.page import html_to_text


def text_of(body: str, **settings: str) -> str:
    page = html_to_text(f"<html><body><p>{body}</p></body></html>", **settings)  # type: ignore[arg-type]
    assert page is not None
    return page.text


@pytest.mark.parametrize(
    ("body", "base", "both"),
    [
        ("<ruby>猫<rt>ねこ</rt></ruby>だ", "猫だ", "猫（ねこ）だ"),
        ("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rt>じ</rt></ruby>", "漢字", "漢字（かんじ）"),
        ("<ruby>東京<rt>とうきょう</ruby>都", "東京都", "東京（とうきょう）都"),
        ("<ruby>漢<rt>かん<rb>字<rt>じ</ruby>典", "漢字典", "漢字（かんじ）典"),
        ("<ruby>漢<rp>（<rt>かん<rp>）</ruby>方", "漢方", "漢（かん）方"),
        ("<RUBY>猫<RT>ねこ</RT></RUBY>だ", "猫だ", "猫（ねこ）だ"),
        ("<ruby><rb>東<rb>京<rt>とう<rt>きょう</ruby>", "東京", "東京（とうきょう）"),
        ("<ruby>猫<rt></rt></ruby>だ", "猫だ", "猫だ"),
        ("<ruby>猫<rt><b>ねこ</b></rt></ruby>だ", "猫だ", "猫（ねこ）だ"),
        ("東<wbr>京<wbr/>都", "東京都", "東京都"),
    ],
)
def test_ruby_is_its_base_or_base_and_reading(body: str, base: str, both: str) -> None:
    assert text_of(body) == base
    assert text_of(body, ruby="both") == both
