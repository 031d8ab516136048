"""Whole works of Aozora Bunko."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tsuzuri.corpus.document import Document
from tsuzuri.corpus.sources import base
from tsuzuri.corpus.sources.aozora import AozoraWorks, parse_header, parse_work
from tsuzuri.corpus.sources.base import Unreadable
from tsuzuri.corpus.sources.config import AozoraSource

RULE = "-" * 55
WORK = f"""薔薇
ROSEN
――小品――
グスタアフ・ヰイド　Gustav Wied
森林太郎訳

{RULE}
【テキスト中に現れる記号について】

《》：ルビ
（例）薔薇《ばら》
{RULE}

［＃７字下げ］一［＃「一」は中見出し］

　薔薇《ばら》が咲いた。
　また咲いた。［＃地付き］（完）



底本：「鴎外選集」岩波書店
　　　1979（昭和54）年10月22日第1刷
入力：甲
2001年5月3日公開
2005年1月2日修正
青空文庫作成ファイル：
"""


def works(root: Path, name: str = ".", **settings: Any) -> list[Document | Unreadable]:
    source = AozoraWorks(AozoraSource(path=Path(name), **settings), root)
    return [item for batch in source.batches() for item in base.read(source, batch)]


def test_the_parts_of_a_work() -> None:
    work = parse_work(WORK.replace("\n", "\r\n"))
    assert work.text == "一\n\n　薔薇が咲いた。\n　また咲いた。（完）"
    assert work.header.title == "薔薇　――小品――"
    assert work.header.author == "グスタアフ・ヰイド　Gustav Wied"
    assert work.published == "2001-05-03"
    assert work.colophon.startswith("底本：「鴎外選集」")
    assert work.meta()["original_title"] == "ROSEN"
    assert work.meta()["contributors"] == ["森林太郎訳"]


def test_a_work_without_notes_has_its_header_before_the_first_empty_line() -> None:
    work = parse_work("春晝\n太宰治\n\n　四月十一日。\n\n底本：「全集」\n")
    assert (work.header.title, work.header.author, work.text) == ("春晝", "太宰治", "　四月十一日。")


@pytest.mark.parametrize(
    ("head", "title", "author"),
    [
        ("東京\n櫻間中庸", "東京", "櫻間中庸"),
        ("三国志\n望蜀の巻\n吉川英治", "三国志　望蜀の巻", "吉川英治"),
        ("珊瑚\n蒲松齢\n田中貢太郎訳", "珊瑚", "蒲松齢"),
        ("鳥", "鳥", ""),
        ("", "", ""),
    ],
)
def test_headers(head: str, title: str, author: str) -> None:
    header = parse_header(head)
    assert (header.title, header.author) == (title, author)


def test_a_work_becomes_a_document(tmp_path: Path) -> None:
    (tmp_path / "000129").mkdir()
    (tmp_path / "000129" / "2075_ruby_1234.txt").write_bytes(WORK.replace("\n", "\r\n").encode("cp932"))
    (found,) = works(tmp_path)
    assert isinstance(found, Document)
    assert found.id == "aozora/000129/2075_ruby_1234"
    assert found.url == "https://www.aozora.gr.jp/cards/000129/card2075.html"
    assert (found.license, found.charset, found.group) == ("LicenseRef-PD-JP", "cp932", "Gustav Wied")
    assert "岩波書店" in json.loads(found.meta)["colophon"]


def test_the_readings_of_a_work_are_kept_if_asked(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(WORK.encode("cp932"))
    (found,) = works(tmp_path, ruby="both")
    assert isinstance(found, Document)
    assert "　薔薇（ばら）が咲いた。" in found.text


def test_a_license_in_the_colophon_is_the_works_own(tmp_path: Path) -> None:
    notice = (
        "※この作品は、クリエイティブ・コモンズ「表示-非営利-改変禁止 2.1 日本」でライセンスされています。"
    )
    (tmp_path / "a.txt").write_bytes(WORK.replace("入力：甲", notice).encode("cp932"))
    (found,) = works(tmp_path)
    assert isinstance(found, Document)
    assert found.license == "LicenseRef-CC-BY-NC-ND-2.1-JP"


def test_a_zip_of_works_and_a_damaged_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cards.zip", "w") as archive:
        archive.writestr("000129/1_ruby_2.txt", WORK.encode("cp932"))
        archive.writestr("000129/2_ruby_2.txt", bytes(range(256)))
    good, bad = works(tmp_path, "cards.zip")
    assert isinstance(good, Document)
    assert isinstance(bad, Unreadable)
    assert bad.reason == "undecodable"


@pytest.mark.slow
def test_every_real_work_is_read(shared_data: Path) -> None:
    found = works(shared_data, "aozora")
    documents = [item for item in found if isinstance(item, Document)]
    assert len(documents) == len(found) == 3_097
    assert all(document.title and document.date and document.url for document in documents)
    assert [document.id for document in documents if not document.author] == ["aozora/000168/909_ruby_518"]
    text = "\n".join(document.text for document in documents)
    assert "［＃" not in text
    assert "※［" not in text or text.count("※［") == 1  # 1328_ruby: a bracket that the typist never closed
    assert not re.search("｜[^｜\n]{1,20}《", text)
    assert text.count("》") == text.count("《") < 1_000  # only those that stand in the book itself
    assert not re.search("^底本：", text, re.MULTILINE)
    assert sum(json.loads(document.meta).get("unresolved_gaiji", 0) for document in documents) < 600
