"""Whole dumps in every form that they are published in, and cut ones."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import pytest
from tests.corpus import dumps

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.sources import base
from tsuzuri.corpus.sources.base import Unreadable
from tsuzuri.corpus.sources.config import WikipediaSource
from tsuzuri.corpus.sources.ranges import FileRange
from tsuzuri.corpus.sources.wikipedia import Wikipedia
from tsuzuri.corpus.sources.wikipedia_dump import Cut, pages

TEXT = "'''猫'''は[[動物]]である。"
PAGES = [dumps.page(number, f"記事{number}", f"{TEXT}第{number}項。" * number) for number in range(1, 13)]
NAME = "jawiki-20261001-pages-articles-multistream.xml"


def read(path: Path) -> list[Document | Unreadable]:
    source = Wikipedia(WikipediaSource(path=path), Path("."))
    return [item for batch in source.batches() for item in base.read(source, batch)]


def test_an_article_becomes_a_document(tmp_path: Path) -> None:
    others = [
        dumps.page(1, "転送", "#REDIRECT [[猫 科]]", redirect="猫 科"),
        dumps.page(2, "Template:塔", "雛形", namespace=10),
        dumps.page(3, "空", "{{stub}}"),
    ]
    article = dumps.page(5, "猫 科", f"{TEXT}\n[[Category:動物]]{{{{stub}}}}")
    (tmp_path / f"{NAME}.bz2").write_bytes(dumps.multistream([*others, article], 2))
    (tmp_path / "jawiki-20261001-pages-articles-multistream-index.txt.bz2").write_bytes(
        bz2.compress(b"1:1:a")
    )
    *left_out, found = read(tmp_path)
    assert [(item.id, item.reason) for item in left_out if isinstance(item, Unreadable)] == [
        ("wikipedia/1", "redirect"),
        ("wikipedia/2", "no_article"),
        ("wikipedia/3", "no_text"),
    ]
    assert isinstance(found, Document)
    assert found == Document(
        id="wikipedia/5",
        text="猫は動物である。",
        source="wikipedia",
        url="https://ja.wikipedia.org/wiki/%E7%8C%AB_%E7%A7%91",
        license="CC-BY-SA-4.0",
        license_url="https://creativecommons.org/licenses/by-sa/4.0/",
        title="猫 科",
        date="2026-10-01T12:34:56Z",
        charset="utf-8",
        group="wikipedia/5",
        meta=json.dumps(
            {"revision": "1005", "categories": ["動物"], "dropped_templates": 1}, ensure_ascii=False
        ),
    )


def test_poison_in_one_article_costs_no_other(tmp_path: Path) -> None:
    articles = [dumps.page(number, f"記事{number}", f"{TEXT}{number}") for number in range(20)]
    articles[2] = dumps.page(2, "桁", TEXT + "{{formatnum:" + "9" * 5_000 + "}}")
    (tmp_path / NAME).write_bytes(dumps.plain_dump(articles))
    found = read(tmp_path)
    assert [item.id for item in found] == [f"wikipedia/{number}" for number in range(20)]
    assert all(isinstance(item, Document) for item in found)


FORMS = {
    "plain": dumps.plain_dump(PAGES),
    "one stream": bz2.compress(dumps.plain_dump(PAGES)),
    "multistream": dumps.multistream(PAGES, 3),
    "cut streams": dumps.cut_streams(PAGES, 1_000),
    "gzip": gzip.compress(dumps.plain_dump(PAGES)),
}


def in_ranges(data: bytes, folder: Path, range_bytes: int) -> list[bytes | Cut]:
    path = folder / "dump.xml"
    path.write_bytes(data)
    found = [
        pages(FileRange("d", path, start, min(start + range_bytes, len(data)), len(data)))
        for start in range(0, len(data), range_bytes)
    ]
    return [item for part in found for item in part]


@pytest.mark.parametrize("form", [name for name in FORMS if name != "gzip"])
@pytest.mark.parametrize("range_bytes", [61, 400, 10_000_000])
def test_every_page_is_in_one_range(tmp_path: Path, form: str, range_bytes: int) -> None:
    found = in_ranges(FORMS[form], tmp_path, range_bytes)
    assert [page.decode() if isinstance(page, bytes) else page for page in found] == [
        page.strip() for page in PAGES
    ]


@pytest.mark.parametrize("form", FORMS)
def test_a_dump_cut_in_the_middle_gives_what_is_whole(tmp_path: Path, form: str) -> None:
    data = FORMS[form]
    for cut in range(len(data) // 4, len(data) - 1, len(data) // 40):
        *whole, last = in_ranges(data[:cut], tmp_path, 10_000_000)
        assert last == Cut("truncated")
        texts = [page.decode() for page in whole if isinstance(page, bytes)]
        assert texts == [page.strip() for page in PAGES][: len(texts)]
        if form == "plain":
            assert len(texts) == data[:cut].count(b"</page>")


def test_a_damaged_stream_loses_only_itself(tmp_path: Path) -> None:
    streams = [bz2.compress(text.encode()) for text in (dumps.HEAD, *PAGES, dumps.TAIL)]
    damaged = bytearray(streams[4])
    damaged[30:40] = bytes(10)
    found = in_ranges(b"".join([*streams[:4], bytes(damaged), *streams[5:]]), tmp_path, 10_000_000)
    assert [item for item in found if isinstance(item, Cut)] == [Cut("damaged")]
    assert len(found) == len(PAGES)


def test_a_damaged_page_loses_only_itself(tmp_path: Path) -> None:
    broken = PAGES[1].replace("</revision>", "")
    (tmp_path / NAME).write_bytes(dumps.plain_dump([PAGES[0], broken, PAGES[2]]))
    assert [item.reason if isinstance(item, Unreadable) else "" for item in read(tmp_path)] == [
        "",
        "damaged",
        "",
    ]


def test_a_file_that_is_no_dump_is_named(tmp_path: Path) -> None:
    (tmp_path / "feed.xml").write_text("<rss></rss>")
    with pytest.raises(InputError, match="no MediaWiki dump"):
        read(tmp_path)
