"""Which bytes may be Japanese, judged without decoding them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tsuzuri.corpus.extraction.japanese import may_be_japanese

SENTENCE = "これは、むかしむかしのはなしである。おじいさんがいた。"


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc-jp", "iso-2022-jp", "utf-16"])
def test_japanese_in_every_encoding(encoding: str) -> None:
    assert may_be_japanese(f"<html><p>{SENTENCE}</p></html>".encode(encoding))


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("".join(f"&#{ord(letter)};" for letter in SENTENCE), True),
        ("".join(f"&#x{ord(letter):X};" for letter in SENTENCE), True),
        ('<html lang="ja"><p>東京へ</p>', True),
        ('<html lang="en"><p>東京へ</p>', False),
        ("<p>hello &amp; &#169;</p>", False),
        ("<p>这是一个没有假名的网页，全部用汉字写成。</p>" * 50, False),
        ("<p>이 문서에는 일본어가 없습니다.</p>" * 50, False),
        ("<p>Это не по-японски.</p>" * 50, False),
    ],
)
def test_what_else_a_page_may_be(page: str, expected: bool) -> None:
    assert may_be_japanese(page.encode()) == expected


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("这是一个网页，全部用汉字写成。", "gb18030"),
        ("Déjà vu, señor; größer.", "latin-1"),
        ("Привет, мир", "cp1251"),
    ],
)
def test_other_languages_in_their_own_encodings(text: str, encoding: str) -> None:
    assert not may_be_japanese((text * 200).encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc-jp", "iso-2022-jp"])
def test_real_articles_are_not_lost(shared_data: Path, encoding: str) -> None:
    path = shared_data / "wikinews" / "full-articles" / "origin.tsv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        articles = [line.replace(" ", "") for line, _ in zip(file, range(1_001), strict=False)][1:]
    kept = sum(may_be_japanese(text.encode(encoding, errors="ignore")) for text in articles)
    assert kept >= 0.998 * len(articles)
