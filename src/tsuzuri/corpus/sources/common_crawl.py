"""Japanese web pages out of Common Crawl's WARC files (their main text) and WET files (their whole text).

A page is judged Japanese by its bytes before anything is decoded or parsed, which is cheap enough for the
98 % that are not. The date is the crawl's; the group is the host, so that no site stands on both sides of
the held-out split. A license is believed only where the page names one Creative Commons license.
"""

from __future__ import annotations

import io
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from lxml import html

from tsuzuri.corpus import charset
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.extraction import main_text, tree, with_trafilatura
from tsuzuri.corpus.extraction.facts import license_of
from tsuzuri.corpus.extraction.japanese import may_be_japanese
from tsuzuri.corpus.extraction.page import Page
from tsuzuri.corpus.sources.base import Item, Unreadable
from tsuzuri.corpus.sources.config import CommonCrawlSource
from tsuzuri.corpus.sources.members import Member, fingerprint, list_members
from tsuzuri.corpus.sources.ranges import FileRange, split_members
from tsuzuri.corpus.sources.warc import WARC_SUFFIXES, WarcRecord, archive_iterator, read_range
from tsuzuri.corpus.urls import host_of

RANGE_BYTES = 64 * 2**20
HTML_TYPES = ("text/html", "application/xhtml+xml")
PASSED_OVER = ("not_japanese", "no_page", "no_html")
"""Why nearly all pages of a crawl give no document: each for itself would be a row."""
EXTRACTORS: dict[str, Callable[[html.HtmlElement], Page]] = {
    "fast": main_text.main_text,
    "trafilatura": with_trafilatura.main_text,
}


class CommonCrawl:
    """The pages in a folder of WARC or WET files."""

    def __init__(self, config: CommonCrawlSource, root: Path) -> None:
        self.config = config
        self.name = config.name or "common-crawl"
        self.path = root / config.path

    def members(self) -> list[Member]:
        """The files of the source in a stable order."""
        return list_members(self.path, WARC_SUFFIXES, looked_for="WARC and WET files")

    def fingerprint(self) -> str:
        """A hash of the names and contents of the files."""
        return fingerprint(self.members())

    def batches(self) -> list[FileRange]:
        """Ranges of 64 MiB of the files; MissingExtraError without the packages that read them."""
        archive_iterator()
        if self.config.extractor == "trafilatura":
            with_trafilatura.extractor()
        return split_members(self.members(), RANGE_BYTES)

    def items(self, batch: FileRange) -> Iterator[Item | Unreadable]:
        """The pages of a range, in the order of the crawl; what most of a crawl is, is only counted."""
        passed_over: Counter[str] = Counter()
        for item in read_range(batch, self.config.max_page_bytes):
            place = f"{self.name}/{batch.name}#{item.offset}"
            if isinstance(item, WarcRecord):
                yield Item(place, partial(self._read_or_count, item, place, passed_over))
            else:
                yield Unreadable(place, item.reason)
        for reason, pages in sorted(passed_over.items()):
            yield Unreadable(f"{self.name}/{batch.name}#{batch.start}", reason, pages)

    def _read_or_count(
        self, record: WarcRecord, place: str, passed_over: Counter[str]
    ) -> Document | Unreadable | None:
        found = self._read(record, place)
        if isinstance(found, Unreadable) and found.reason in PASSED_OVER:
            passed_over[found.reason] += 1
            return None
        return found

    def _read(self, record: WarcRecord, place: str) -> Document | Unreadable:
        is_text = record.headers.get("WARC-Type") == "conversion"
        return self._plain(record, place) if is_text else self._page(record, place)

    def _plain(self, record: WarcRecord, place: str) -> Document | Unreadable:
        if not may_be_japanese(record.payload):
            return Unreadable(place, "not_japanese")
        decoded = charset.decode(record.payload, declared="utf-8")
        if decoded is None:
            return Unreadable(place, "undecodable")
        title = decoded.text.partition("\n")[0].strip()  # WET opens with the page's title
        return self._document(record, place, Page(title, decoded.text), decoded)

    def _page(self, record: WarcRecord, place: str) -> Document | Unreadable:
        if record.status != 200:
            return Unreadable(place, "no_page")
        kind = record.headers.get("WARC-Identified-Payload-Type") or record.content_type
        if kind.split(";")[0].strip().lower() not in HTML_TYPES:
            return Unreadable(place, "no_html")
        payload = _unpacked(record, self.config.max_page_bytes)
        if isinstance(payload, str):
            return Unreadable(place, payload)
        if not may_be_japanese(payload):
            return Unreadable(place, "not_japanese")
        decoded = _decode(payload, record.charset)
        if decoded is None:
            return Unreadable(place, "undecodable")
        root = tree.parse(decoded.text, self.config.ruby)
        if root is None:
            return Unreadable(place, "nested_too_deep")
        found = license_of(root)
        page = EXTRACTORS[self.config.extractor](root)
        if not page.text:
            return Unreadable(place, "no_text")
        return self._document(
            record,
            place,
            page,
            decoded,
            license=found.spdx if found else self.config.license,
            license_url=found.url if found else "",
            facts={**({"license_evidence": found.evidence} if found else {}), **page.facts},
        )

    def _document(
        self,
        record: WarcRecord,
        place: str,
        page: Page,
        decoded: charset.Decoded,
        *,
        license: str = "",
        license_url: str = "",
        facts: Mapping[str, str | float] | None = None,
    ) -> Document:
        url = (record.headers.get("WARC-Target-URI") or "").strip("<> ")  # brackets: WARC 1.0, Wget
        meta = {"charset_source": decoded.charset_source, **(facts or {})}
        if cut := record.headers.get("WARC-Truncated"):
            meta["truncated"] = cut  # the crawler stopped there: at its limit of bytes or time
        return Document(
            id=place,
            text=page.text,
            source=self.name,
            url=url,
            license=license or self.config.license,
            license_url=license_url,
            title=page.title,
            date=record.headers.get("WARC-Date") or "",
            charset=decoded.charset,
            group=host_of(url).removeprefix("www.") or place,
            meta=json.dumps(meta, ensure_ascii=False),
        )


def _decode(payload: bytes, from_http: str) -> charset.Decoded | None:
    """The page as text: as the server says, else as the page says, else as it looks."""
    for label in (from_http, charset.declared_in_html(payload)):
        decoded = charset.decode(payload, declared=label) if label else None
        if decoded and decoded.charset_source != "strict":
            return decoded
    return charset.decode(payload)


def _unpacked(record: WarcRecord, max_bytes: int) -> bytes | str:
    """The payload without its transfer and content encodings, or the reason why there is none.

    Common Crawl has taken them off already; other crawlers keep them.
    """
    payload = record.payload
    if "chunked" in (record.http_headers.get("Transfer-Encoding") or "").lower():
        payload = _joined_chunks(payload)
    encoding = (record.http_headers.get("Content-Encoding") or "").strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate") and payload[:1] != b"<":
        unpacker = zlib.decompressobj(47 if "gzip" in encoding or payload[:1] == b"\x78" else -15)
        try:
            payload = unpacker.decompress(payload, max_bytes + 1)
        except zlib.error:
            return "damaged"
        if len(payload) > max_bytes:
            return "too_large"
        return payload if unpacker.eof else "truncated"
    return payload if encoding != "br" else _without_brotli(payload, max_bytes)


def _without_brotli(payload: bytes, max_bytes: int) -> bytes | str:
    from fastwarc.stream_io import BrotliReader  # installed: it has read the record

    try:
        unpacked = BrotliReader(io.BytesIO(payload)).read(max_bytes + 1)
    except OSError:
        return payload if b"<" in payload[:64] else "damaged"
    return unpacked if len(unpacked) <= max_bytes else "too_large"


def _joined_chunks(payload: bytes) -> bytes:
    """The body of chunks (RFC 9112, 7.1); what is not in chunks comes back as it is."""
    parts: list[bytes] = []
    place = 0
    while (end := payload.find(b"\r\n", place)) >= 0:
        try:
            length = int(payload[place:end].split(b";")[0], 16)
        except ValueError:
            return payload
        if length <= 0:
            return b"".join(parts)
        parts.append(payload[end + 2 : end + 2 + length])
        place = end + 2 + length + 2
    return b"".join(parts) or payload
