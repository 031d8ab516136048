"""Aozora Bunko's index of its works (list_person_all_extended_utf8.csv, or the zip that it is published in).

A row is a work and a person who had part in it, so a translated work has several; that of the author (著者)
counts, or the first. Columns are found by name, so a new column of the bunko's does no harm.
"""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.sources.members import DAMAGE

_AUTHOR = "著者"
_COLUMNS = (
    "作品ID", "作品名", "副題", "文字遣い種別", "作品著作権フラグ", "公開日", "図書カードURL",
    "人物ID", "姓", "名", "役割フラグ", "没年月日", "底本名1",
)  # fmt: skip
_HINT = "give list_person_all_extended_utf8.csv or its zip, as the bunko publishes them"


@dataclass(frozen=True, slots=True)
class IndexedWork:
    """What the index says of a work."""

    title: str
    subtitle: str
    orthography: str
    """新字新仮名, 新字旧仮名, 旧字新仮名, 旧字旧仮名 or その他."""
    is_in_copyright: bool
    published: str
    card_url: str
    author_id: str
    author: str
    author_died: str
    base_book: str

    def meta(self) -> dict[str, str]:
        """What has no column of its own in a document."""
        facts = {
            "orthography": self.orthography,
            "author_id": self.author_id,
            "author_died": self.author_died,
            "base_book": self.base_book,
        }
        return {name: value for name, value in facts.items() if value}


def read_index(path: Path) -> dict[int, IndexedWork]:
    """The works of the index by their number; InputError when the file is not the bunko's index."""
    reader = csv.DictReader(io.StringIO(_text(path), newline=""))
    if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or [])]:
        found = "、".join(reader.fieldnames or ["nothing"])
        raise InputError(f"{path} has no column {missing[0]!r}; it has: {found[:200]}", hint=_HINT)
    works: dict[int, IndexedWork] = {}
    by_author: set[int] = set()
    for row in reader:
        number = row["作品ID"] or ""
        if not number.isdecimal() or int(number) in by_author:
            continue
        if row["役割フラグ"] == _AUTHOR:
            by_author.add(int(number))
        elif int(number) in works:
            continue
        works[int(number)] = _work(row)
    return works


def _work(row: dict[str, str]) -> IndexedWork:
    return IndexedWork(
        title=row["作品名"],
        subtitle=row["副題"],
        orthography=row["文字遣い種別"],
        is_in_copyright=row["作品著作権フラグ"] != "なし",
        published=row["公開日"],
        card_url=row["図書カードURL"],
        author_id=row["人物ID"],
        author=f"{row['姓']}{row['名']}",
        author_died=row["没年月日"],
        base_book=row["底本名1"],
    )


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(name for name in archive.namelist() if name.lower().endswith(".csv"))
                data = archive.read(name)
        return data.decode("utf-8-sig")
    except (OSError, StopIteration, UnicodeDecodeError, *DAMAGE) as error:
        raise InputError(f"{path} is no readable index of Aozora Bunko", hint=_HINT) from error
