"""Aozora Bunko works as published: a tree or zip of Shift_JIS text files with header, notes and colophon.

The header gives title and author, the notes become text (aozora_notation), the colophon (底本：…) is cut
off into `meta`. Works of an author are one group. A work is out of copyright in Japan unless its colophon
names a license; with the bunko's index, its flag decides, and a work in copyright stays only under such a
license.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from tsuzuri.core.files import sha256_file
from tsuzuri.corpus import charset
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.sources.aozora_index import IndexedWork, read_index
from tsuzuri.corpus.sources.aozora_notation import plain_text
from tsuzuri.corpus.sources.base import Item, Unreadable
from tsuzuri.corpus.sources.config import AozoraSource, Ruby
from tsuzuri.corpus.sources.members import (
    DAMAGE,
    Member,
    TooLargeError,
    fingerprint,
    group_by_size,
    list_members,
    read_member,
)

MAX_WORK_BYTES = 64 * 2**20
BATCH_BYTES = 16 * 2**20
_RULE = re.compile(r"^-{20,}$", re.MULTILINE)
_COLOPHON = re.compile(r"^(底本[：:]|入力者注|テキスト入力|入力[：:])", re.MULTILINE)
_BODY_END = "［＃本文終わり］"
_CONTRIBUTOR = re.compile(r".(訳|編|編集|編纂|校訂|校注|校註|訳注|訳註)$")
_JAPANESE = re.compile("[\u3041-\u30ff\u3400-\u9fff]")
_LATIN_NAME = re.compile(r"[\s\u3000]([A-Z][A-Za-zÀ-ɏ.,’' \-]+)$")
_PUBLISHED = re.compile(r"^(\d{4})年(\d{1,2})月(\d{1,2})日(?:公開|作成)", re.MULTILINE)
_CARD = re.compile(r"(?:^|/)(\d{6})/(?:files/)?(\d+)_")
_CREATIVE_COMMONS = re.compile(r"クリエイティブ・コモンズ[^「\n]{0,20}「([^」\n]+)」")
_CC_TERMS = (("表示", "BY"), ("非営利", "NC"), ("継承", "SA"), ("改変禁止", "ND"))


@dataclass(frozen=True, slots=True)
class Header:
    """What stands above a work."""

    title: str
    author: str
    original_title: str
    contributors: tuple[str, ...]


class AozoraWorks:
    """The works under a folder, zip or file."""

    def __init__(self, config: AozoraSource, root: Path) -> None:
        self.config = config
        self.name = config.name or "aozora"
        self.path = root / config.path
        self.index_path = root / config.index if config.index else None

    @cached_property
    def index(self) -> dict[int, IndexedWork]:
        """What the bunko's index says, by the works' numbers; empty without one."""
        return read_index(self.index_path) if self.index_path else {}

    def members(self) -> list[Member]:
        """The text files of the source in a stable order."""
        return list_members(self.path, [".txt"], looked_for="Aozora Bunko text files")

    def fingerprint(self) -> str:
        """A hash of the names and contents of the works and of the index."""
        works = fingerprint(self.members())
        index = sha256_file(self.index_path) if self.index_path and self.index else ""
        return hashlib.sha256(f"{works}\0{index}".encode()).hexdigest() if index else works

    def batches(self) -> list[tuple[Member, ...]]:
        """Works in batches of some megabytes; InputError for an index that is none."""
        _ = self.index  # a wrong file is found before the work begins
        return group_by_size(self.members(), BATCH_BYTES)

    def items(self, batch: tuple[Member, ...]) -> Iterator[Item]:
        """The works of a batch."""
        for member in batch:
            place = f"{self.name}/{member.name.removesuffix('.txt')}"
            yield Item(place, partial(self._read_work, member, place))

    def _read_work(self, member: Member, place: str) -> Document | Unreadable:
        try:
            data = read_member(member, MAX_WORK_BYTES)
        except TooLargeError:
            return Unreadable(place, "too_large")
        except DAMAGE:
            return Unreadable(place, "damaged")
        decoded = charset.decode(data, declared="shift_jis")
        if decoded is None:
            return Unreadable(place, "undecodable")
        work = parse_work(decoded.text, self.config.ruby)
        known = self._indexed(member.name)
        license_name = _license(work.colophon)
        if known and known.is_in_copyright and not license_name:
            return Unreadable(place, "in_copyright")
        author = work.header.author or (known.author if known else "")
        return Document(
            id=place,
            text=work.text,
            source=self.name,
            url=known.card_url if known else _card_url(member.name),
            license=license_name or self.config.license,
            title=work.header.title or (known.title if known else ""),
            author=author,
            date=known.published if known else work.published,
            charset=decoded.charset,
            group=known.author_id if known and known.author_id else _author_key(author) or place,
            meta=json.dumps({**work.meta(), **(known.meta() if known else {})}, ensure_ascii=False),
        )

    def _indexed(self, name: str) -> IndexedWork | None:
        match = _CARD.search(name)
        return self.index.get(int(match.group(2))) if match else None


@dataclass(frozen=True, slots=True)
class Work:
    """The parts of one text file."""

    header: Header
    text: str
    colophon: str
    unresolved_gaiji: int

    @property
    def published(self) -> str:
        """The date (ISO 8601) on which the bunko published it, if the colophon says."""
        match = _PUBLISHED.search(self.colophon)
        return "{}-{:0>2}-{:0>2}".format(*match.groups()) if match else ""

    def meta(self) -> dict[str, object]:
        """What has no column of its own."""
        facts = {
            "original_title": self.header.original_title,
            "contributors": list(self.header.contributors),
            "colophon": self.colophon,
            "unresolved_gaiji": self.unresolved_gaiji,
        }
        return {name: value for name, value in facts.items() if value}


def parse_work(marked: str, ruby: Ruby = "base") -> Work:
    """The header, plain text and colophon of an Aozora text file."""
    marked = marked.replace("\r\n", "\n").lstrip("\n")
    parts = _RULE.split(marked, maxsplit=2)
    head, body = (parts[0], parts[2]) if len(parts) == 3 else ("", marked)
    if not head:
        head, _, body = marked.partition("\n\n")
    start = _colophon_start(body)
    colophon = plain_text(body[start:]).text.strip()
    plain = plain_text(body[:start].split(_BODY_END)[0], ruby)
    return Work(parse_header(plain_text(head).text), plain.text.strip("\n"), colophon, plain.unresolved_gaiji)


def parse_header(head: str) -> Header:
    """Title, author and helpers from the lines above a work, in the bunko's fixed order."""
    lines = [line.strip() for line in head.strip().split("\n") if line.strip()]
    title, *rest = lines or [""]
    contributors: list[str] = []
    while len(rest) > 1 and _CONTRIBUTOR.search(rest[-1]):
        contributors.insert(0, rest.pop())
    author = rest.pop() if rest else ""
    subtitles = [line for line in rest if _JAPANESE.search(line)]
    originals = [line for line in rest if not _JAPANESE.search(line)]
    return Header("\u3000".join([title, *subtitles]), author, " / ".join(originals), tuple(contributors))


def _colophon_start(body: str) -> int:
    matches = list(_COLOPHON.finditer(body))
    named = [match for match in matches if match.group().startswith("底本")]
    if named:
        return named[-1].start()
    late = [match for match in matches if match.start() > len(body) - 3_000]
    return late[0].start() if late else len(body)


def _author_key(author: str) -> str:
    """One name for an author however it is transliterated: the Latin spelling where the header gives it."""
    match = _LATIN_NAME.search(author)
    return (match.group(1) if match else author).strip()


def _card_url(name: str) -> str:
    match = _CARD.search(name)
    return f"https://www.aozora.gr.jp/cards/{match.group(1)}/card{match.group(2)}.html" if match else ""


def _license(colophon: str) -> str:
    match = _CREATIVE_COMMONS.search(colophon)
    if not match:
        return ""
    terms = match.group(1)
    version = re.search(r"\d\.\d", terms)
    parts = [code for word, code in _CC_TERMS if word in terms]
    return "-".join(
        [
            "LicenseRef-CC",
            *parts,
            *([version.group()] if version else []),
            *(["JP"] if "日本" in terms else []),
        ]
    )
