"""Aozora Bunko's index of works beside the works."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import pytest

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.sources import base
from tsuzuri.corpus.sources.aozora import AozoraWorks
from tsuzuri.corpus.sources.aozora_index import read_index
from tsuzuri.corpus.sources.base import Unreadable
from tsuzuri.corpus.sources.config import AozoraSource

HEADER = (
    "作品ID,作品名,作品名読み,ソート用読み,副題,副題読み,原題,初出,分類番号,文字遣い種別,作品著作権フラグ,公開日,"
    "最終更新日,図書カードURL,人物ID,姓,名,姓読み,名読み,姓ローマ字,名ローマ字,役割フラグ,生年月日,没年月日,"
    "人物著作権フラグ,底本名1,底本出版社名1"
)
CAT = {
    "作品ID": "000789",
    "作品名": "吾輩は猫である",
    "文字遣い種別": "新字新仮名",
    "作品著作権フラグ": "なし",
    "公開日": "1999-09-21",
    "図書カードURL": "https://www.aozora.gr.jp/cards/000148/card789.html",
    "人物ID": "000148",
    "姓": "夏目",
    "名": "漱石",
    "役割フラグ": "著者",
    "没年月日": "1916-12-09",
    "底本名1": "夏目漱石全集1",
}
TRANSLATOR = {**CAT, "人物ID": "000009", "姓": "森", "名": "鴎外", "役割フラグ": "翻訳者"}
PROTECTED = {**CAT, "作品ID": "059999", "作品著作権フラグ": "あり", "人物ID": "001999"}
WORK = "吾輩は猫である\n夏目漱石\n\n　吾輩は猫である。\n\n底本：「全集」\n"
LICENSED = f"{WORK}※クリエイティブ・コモンズ「表示 2.1 日本」でライセンスされています。\n"


def index(folder: Path, *rows: dict[str, str], is_zip: bool = True) -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, HEADER.split(","), restval="", quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    data = text.getvalue().encode("utf-8-sig")
    if not is_zip:
        (folder / "index.csv").write_bytes(data)
        return folder / "index.csv"
    with zipfile.ZipFile(folder / "index.zip", "w") as archive:
        archive.writestr("list_person_all_extended_utf8.csv", data)
    return folder / "index.zip"


def works(folder: Path, index_path: Path | None) -> AozoraWorks:
    (folder / "works" / "000148").mkdir(parents=True, exist_ok=True)
    for number, text in ((789, WORK), (59999, WORK), (60000, WORK)):
        (folder / "works" / "000148" / f"{number}_ruby_1.txt").write_bytes(text.encode("cp932"))
    return AozoraWorks(AozoraSource(path=folder / "works", index=index_path), Path("."))


@pytest.mark.parametrize("is_zip", [True, False])
def test_the_author_counts_among_the_persons_of_a_work(tmp_path: Path, is_zip: bool) -> None:
    found = read_index(index(tmp_path, TRANSLATOR, CAT, PROTECTED, is_zip=is_zip))
    assert (found[789].author, found[789].author_id, found[789].is_in_copyright) == (
        "夏目漱石",
        "000148",
        False,
    )
    assert found[59999].is_in_copyright
    assert read_index(index(tmp_path, TRANSLATOR))[789].author == "森鴎外"


def test_a_work_has_what_the_index_says_and_one_in_copyright_is_left_out(tmp_path: Path) -> None:
    source = works(tmp_path, index(tmp_path, CAT, PROTECTED))
    protected, unlisted, found = sorted(
        (item for batch in source.batches() for item in base.read(source, batch)), key=lambda item: item.id
    )
    assert isinstance(protected, Unreadable)
    assert protected.reason == "in_copyright"
    assert isinstance(found, Document)
    assert (found.url, found.date, found.group) == (CAT["図書カードURL"], "1999-09-21", "000148")
    meta = json.loads(found.meta)
    assert (meta["orthography"], meta["author_died"]) == ("新字新仮名", "1916-12-09")
    assert isinstance(unlisted, Document)
    assert (unlisted.group, unlisted.date) == ("夏目漱石", "")


def test_a_work_in_copyright_stays_under_its_own_license(tmp_path: Path) -> None:
    source = works(tmp_path, index(tmp_path, PROTECTED))
    (tmp_path / "works" / "000148" / "59999_ruby_1.txt").write_bytes(LICENSED.encode("cp932"))
    found = [item for batch in source.batches() for item in base.read(source, batch) if "59999" in item.id]
    assert [item.license for item in found if isinstance(item, Document)] == ["LicenseRef-CC-BY-2.1-JP"]


def test_the_fingerprint_holds_the_index(tmp_path: Path) -> None:
    prints = {
        works(tmp_path, path).fingerprint()
        for path in (None, index(tmp_path, CAT), index(tmp_path, PROTECTED, is_zip=False))
    }
    assert len(prints) == 3


@pytest.mark.parametrize("data", [b"a,b\n1,2\n", b"\xff\xfe\xff", b"PK\x03\x04 torn"])
def test_a_file_that_is_no_index_is_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "index.csv").write_bytes(data)
    with pytest.raises(InputError) as caught:
        works(tmp_path, tmp_path / "index.csv").batches()
    assert "list_person_all_extended_utf8.csv" in str(caught.value)


def test_a_missing_index_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        works(tmp_path, tmp_path / "none.zip").batches()
