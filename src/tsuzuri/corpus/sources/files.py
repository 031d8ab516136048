"""Text that lies on this machine: folders, zips and single files of text, HTML, JSON, tables and Parquet."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from tsuzuri.core.spdx import spdx_of
from tsuzuri.corpus import charset
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.extraction.page import html_to_text
from tsuzuri.corpus.sources.base import Item, Unreadable
from tsuzuri.corpus.sources.config import FilesSource
from tsuzuri.corpus.sources.members import (
    DAMAGE,
    Member,
    TooLargeError,
    fingerprint,
    list_members,
    open_member,
    read_member,
)
from tsuzuri.corpus.sources.records import (
    RECORD_SUFFIXES,
    NotARecordError,
    Record,
    at_path,
    read_records,
    records_at,
    text_at,
)
from tsuzuri.corpus.sources.spans import in_batches

TEXT_SUFFIXES = (".txt", ".txt.gz", ".text", ".md")
HTML_SUFFIXES = (".html", ".htm", ".xhtml", ".html.gz")
SNIFFED_BYTES = 2**18
_WIDE = "\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff60"
_WORD_SPACE = re.compile(rf"(?<=[{_WIDE}(\[]) +| +(?=[{_WIDE})\].,:;!?%])|(?<=[0-9.,]) +(?=[0-9.,])")


class FilesOnDisk:
    """The files under a folder, zip or file."""

    def __init__(self, config: FilesSource, root: Path) -> None:
        self.config = config
        self.path = root / config.path
        self.name = config.name or self.path.resolve().name.split(".")[0]

    def members(self) -> list[Member]:
        """The readable files of the source in a stable order."""
        suffixes = (*TEXT_SUFFIXES, *HTML_SUFFIXES, *RECORD_SUFFIXES)
        return list_members(self.path, suffixes, looked_for="text, HTML, JSON, tables and Parquet")

    def fingerprint(self) -> str:
        """A hash of the names and contents of the files."""
        return fingerprint(self.members())

    def batches(self) -> list[tuple[Member, ...]]:
        """Files in batches of some megabytes; a larger one is cut where it can be, or a batch of its own."""
        return in_batches(self.members())

    def items(self, batch: tuple[Member, ...]) -> Iterator[Item | Unreadable]:
        """The texts, pages and records of a batch."""
        for member in batch:
            place = f"{self.name}/{member.name}"
            if not member.ends_in(*RECORD_SUFFIXES):
                yield Item(place, partial(self._read_page, member, place))
                continue
            try:
                yield from self._records(member, place)
            except DAMAGE:
                yield Unreadable(place, "damaged")

    def _read_page(self, member: Member, place: str) -> Document | Unreadable:
        try:
            data = read_member(member, self.config.max_file_bytes)
        except TooLargeError:
            return Unreadable(place, "too_large")
        except DAMAGE:
            return Unreadable(place, "damaged")
        is_html = member.ends_in(*HTML_SUFFIXES)
        declared = charset.declared_in_html(data) if is_html else None
        decoded = charset.decode(data, declared=declared, given=self.config.encoding)
        if decoded is None:
            return Unreadable(place, "undecodable")
        text, title, facts = decoded.text, "", {}
        if is_html:
            page = html_to_text(text, self.config.ruby)
            if page is None:
                return Unreadable(place, "nested_too_deep")
            text, title, facts = page.text, page.title, page.facts
        folder = PurePosixPath(place).parent.as_posix()
        return Document(
            id=place,
            text=self._joined(text),
            source=self.name,
            license=self.config.license,
            license_url=self.config.license_url,
            title=title,
            charset=decoded.charset,
            group=folder if self.config.group_by == "folder" else place,
            meta=json.dumps(facts),
        )

    def _records(self, member: Member, place: str) -> Iterator[Item | Unreadable]:
        encoding = charset.name_of(self.config.encoding) if self.config.encoding else _sniff(member)
        if encoding is None:
            yield Unreadable(f"{self.name}/{member.place}", "undecodable")
            return
        inside = self.config.fields.records
        records = read_records(member, encoding, self.config.fields, self.config.max_file_bytes)
        for number, record in records:
            where = f"{place}#{number}"
            if isinstance(record, NotARecordError):
                yield Unreadable(where, str(record))
                continue
            found = {where: record}
            if inside:
                found = {f"{where}.{row}": one for row, one in enumerate(records_at(record, inside))}
            if not found:
                yield Unreadable(where, "no_records")
            for name, one in found.items():
                yield Item(name, partial(self._as_document, one, name, encoding))

    def _as_document(self, record: Record, place: str, encoding: str) -> Document | Unreadable:
        fields = self.config.fields
        text = text_at(record, fields.text)
        if text is None:
            return Unreadable(place, "not_text")
        if not text:
            return Unreadable(place, "no_text")
        if len(text.encode()) > self.config.max_file_bytes:
            return Unreadable(place, "too_large")
        identity = at_path(record, fields.id)
        group = at_path(record, fields.group).replace("\n", "+")
        return Document(
            id=f"{place.split('#')[0]}#{identity}" if identity else place,
            text=self._joined(text),
            source=self.name,
            url=at_path(record, fields.url),
            license=spdx_of(at_path(record, fields.license)) or self.config.license,
            license_url=self.config.license_url,
            title=self._joined(at_path(record, fields.title)),
            author=at_path(record, fields.author),
            date=at_path(record, fields.date),
            charset=encoding,
            group=f"{self.name}/{group}" if group else place,
        )

    def _joined(self, text: str) -> str:
        return _WORD_SPACE.sub("", text) if self.config.drop_word_spaces else text


def _charset_of_most(lines: Sequence[bytes]) -> str | None:
    """The encoding that most lines hold in, where a few are damaged."""
    found = Counter(decoded.charset for line in lines if (decoded := charset.decode(line)))
    name, count = found.most_common(1)[0] if found else ("", 0)
    return name if count > len(lines) / 2 else None


def _sniff(member: Member) -> str | None:
    """The encoding of a line-based file, judged by whole lines from its start; Parquet and Arrow are
    always UTF-8."""
    if member.ends_in(".parquet", ".arrow"):
        return "utf-8"
    with open_member(member) as stream:
        head = stream.read(SNIFFED_BYTES)
    whole_lines = head[: head.rfind(b"\n") + 1] or head
    decoded = charset.decode(whole_lines)
    if decoded is None:
        return _charset_of_most(whole_lines.splitlines())
    return "utf-8-sig" if decoded.charset_source == "bom" and decoded.charset == "utf-8" else decoded.charset
