"""Pages of a crawl: which are Japanese, what they say, and under what terms."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.corpus.warcs import PROSE, archive, record, web_page

from tsuzuri.core.errors import MissingExtraError
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.sources import base
from tsuzuri.corpus.sources.base import Unreadable
from tsuzuri.corpus.sources.common_crawl import CommonCrawl
from tsuzuri.corpus.sources.config import CommonCrawlSource

pytest.importorskip("fastwarc")

BODY = "\n".join(PROSE)
PAGE = web_page("本屋のこと")


def read(folder: Path, *records: bytes, **settings: Any) -> list[Document | Unreadable]:
    (folder / "crawl.warc.gz").write_bytes(archive(records))
    source = CommonCrawl(CommonCrawlSource(path=folder, **settings), Path("."))
    return [item for batch in source.batches() for item in base.read(source, batch)]


def document(items: list[Document | Unreadable]) -> Document:
    (item,) = items
    assert isinstance(item, Document), item
    return item


def reasons(items: list[Document | Unreadable]) -> list[str]:
    return [item.reason if isinstance(item, Unreadable) else "" for item in items]


@pytest.mark.parametrize("extractor", ["fast", "trafilatura"])
def test_a_page_becomes_a_document(tmp_path: Path, extractor: str) -> None:
    if extractor == "trafilatura":
        pytest.importorskip("trafilatura")
    warcinfo = record(0, b"software: x", kind="warcinfo")
    found = document(read(tmp_path, warcinfo, record(1, PAGE.encode()), extractor=extractor))
    assert found.text.startswith(f"本屋のこと\n{BODY}")
    assert "新着" not in found.text
    assert (found.title, found.url, found.group) == (
        "本屋のこと",
        "https://www.example.jp/page",
        "example.jp",
    )
    assert (found.date, found.charset, found.license) == (
        "2026-05-01T02:03:04Z",
        "utf-8",
        "LicenseRef-unknown",
    )
    assert found.id.startswith("common-crawl/crawl.warc.gz#")


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc-jp", "iso-2022-jp"])
@pytest.mark.parametrize("said_by", ["http", "meta", "nobody", "a liar"])
def test_a_page_in_any_encoding(tmp_path: Path, encoding: str, said_by: str) -> None:
    label = {"cp932": "Shift_JIS"}.get(encoding, encoding)
    page = web_page("題", head=f'<meta charset="{label}">' if said_by == "meta" else "")
    from_http = {"http": f"; charset={label}", "a liar": "; charset=ISO-8859-1"}.get(said_by, "")
    data = record(1, page.encode(encoding), content_type=f"text/html{from_http}")
    found = document(read(tmp_path, data))
    assert (found.text, found.charset) == (f"題\n{BODY}", encoding)


def test_what_is_no_japanese_page_is_counted(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        record(1, b"<html><p>hello</p></html>"),
        record(2, "<html><p>中文网页，没有假名。</p></html>".encode() * 20),
        record(3, PAGE.encode(), status="404 Not Found"),
        record(4, b"%PDF-1.4", content_type="application/pdf"),
        record(5, (PAGE + "<div>" * 100_000).encode()),
        record(6, ("<html><body><ul>" + '<li><a href="/">これはつながりのことば</a>' * 9).encode()),
        record(7, PAGE.encode() + b"\xff\xfe\xfd" * 100),
    )
    assert [(item.reason, item.documents) for item in found if isinstance(item, Unreadable)] == [
        ("nested_too_deep", 1),
        ("no_text", 1),
        ("undecodable", 1),
        ("no_html", 1),
        ("no_page", 1),
        ("not_japanese", 2),
    ]


def test_a_single_line_of_100_megabytes_is_counted(tmp_path: Path) -> None:
    line = "<p>" + "あ" * 35_000_000
    assert reasons(read(tmp_path, record(1, line.encode()), record(2, PAGE.encode()))) == ["too_large", ""]


def test_payloads_that_other_crawlers_leave_packed(tmp_path: Path) -> None:
    packed = gzip.compress(PAGE.encode())
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
    zipped = "Content-Encoding: gzip\r\n"
    found = read(
        tmp_path,
        record(1, packed, headers=zipped),
        record(2, chunked, headers=f"{zipped}Transfer-Encoding: chunked\r\n"),
        record(3, PAGE.encode(), headers=zipped),  # the header stayed, the packing did not
        record(4, packed[:-40], headers=zipped),
        record(5, gzip.compress(PAGE.encode() + bytes(50_000_000)), headers=zipped),
    )
    assert reasons(found) == ["", "", "", "truncated", "too_large"]


CC = "https://creativecommons.org/licenses"


@pytest.mark.parametrize(
    ("head", "license_name", "evidence"),
    [
        (f'<link rel="license" href="{CC}/by-sa/4.0/">', "CC-BY-SA-4.0", "rel"),
        (f'<a href="{CC}/by/2.1/jp/">表示</a>', "LicenseRef-CC-BY-2.1-JP", "link"),
        (f'<a rel="license" href="{CC[:-9]}/publicdomain/zero/1.0/">無</a>', "CC0-1.0", "rel"),
        (f'<a href="{CC}/by/4.0/">甲</a><a href="{CC}/by-nc/4.0/">乙</a>', "LicenseRef-unknown", None),
        (f'<a rel="license" href="{CC}/by/4.0/">甲</a><a href="{CC}/by-nc/4.0/">乙</a>', "CC-BY-4.0", "rel"),
        ('<a rel="license" href="/terms">規約</a>', "LicenseRef-unknown", None),
    ],
)
def test_a_license_is_the_one_that_the_page_names(
    tmp_path: Path, head: str, license_name: str, evidence: str | None
) -> None:
    found = document(read(tmp_path, record(1, web_page("題", head=head).encode())))
    assert found.license == license_name
    assert json.loads(found.meta).get("license_evidence") == evidence


@pytest.mark.parametrize(("extractor", "share"), [("fast", 0.0175), ("trafilatura", None)])
def test_a_page_says_how_much_of_its_text_stands_in_links(
    tmp_path: Path, extractor: str, share: float | None
) -> None:
    if extractor == "trafilatura":
        pytest.importorskip("trafilatura")
    prose = [*PROSE, "店の<a href='/map'>地図</a>もある。"]
    data = record(1, web_page("題", prose=prose).encode())  # 2 of 114 characters are in a link
    found = document(read(tmp_path, data, extractor=extractor))
    assert json.loads(found.meta).get("link_share") == share


def test_ruby_keeps_its_reading_if_asked(tmp_path: Path) -> None:
    prose = ["<ruby>薔薇<rt>ばら</ruby>の花が、庭いちめんに咲いているのを見ていた。"]
    data = record(1, web_page("題", prose=[*prose, *PROSE]).encode())
    assert "薔薇の花が" in document(read(tmp_path, data)).text
    assert "薔薇（ばら）の花が" in document(read(tmp_path, data, ruby="both")).text


def test_wet_files_give_their_text(tmp_path: Path) -> None:
    wet = [record(1, f"題\n{BODY}".encode(), kind="conversion"), record(2, b"hello", kind="conversion")]
    (tmp_path / "a.warc.wet.gz").write_bytes(archive(wet))
    source = CommonCrawl(CommonCrawlSource(path=tmp_path), Path("."))
    found, english = [item for batch in source.batches() for item in base.read(source, batch)]
    assert isinstance(found, Document)
    assert (found.text, found.title, found.group) == (f"題\n{BODY}", "題", "example.jp")
    assert isinstance(english, Unreadable)
    assert english.reason == "not_japanese"


def test_an_address_in_angle_brackets_is_an_address(tmp_path: Path) -> None:
    page = record(1, PAGE.encode(), url="<https://example.jp/>")
    found = document(read(tmp_path, page))
    assert (found.url, found.group) == ("https://example.jp/", "example.jp")


@pytest.mark.parametrize("package", ["fastwarc.warc", "trafilatura"])
def test_a_missing_package_is_named_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(MissingExtraError, match=r"tsuzuri\[web\]"):
        read(tmp_path, record(1, PAGE.encode()), extractor="trafilatura")
