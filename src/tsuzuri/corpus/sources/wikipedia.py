"""Articles out of a MediaWiki XML dump, Wikipedia's or a sister's.

Redirects and pages outside the article namespace are counted and left out. Each page is parsed alone, so a
damaged one loses only itself. What templates, tables and links say is in wikitext.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

from lxml import etree

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.sources.base import Item, Unreadable
from tsuzuri.corpus.sources.config import WikipediaSource
from tsuzuri.corpus.sources.members import Member, fingerprint, list_members
from tsuzuri.corpus.sources.ranges import FileRange, split_members
from tsuzuri.corpus.sources.wikipedia_dump import Cut, head, pages
from tsuzuri.corpus.sources.wikitext import plain_text

SUFFIXES = (".xml", ".bz2", ".gz")
RANGE_BYTES = 16 * 2**20
_BASE = re.compile(rb"<base>([^<]+)</base>")
_DUMP_START = re.compile(rb"<mediawiki\b")


class Wikipedia:
    """The articles in a dump, or in a folder of a dump's parts."""

    def __init__(self, config: WikipediaSource, root: Path) -> None:
        self.config = config
        self.name = config.name or "wikipedia"
        self.path = root / config.path

    def members(self) -> list[Member]:
        """The files of the dump in a stable order."""
        found = list_members(self.path, SUFFIXES, looked_for="MediaWiki XML dumps")
        return [member for member in found if ".xml" in member.name.lower()]  # not a dump's index

    def fingerprint(self) -> str:
        """A hash of the names and contents of the files."""
        return fingerprint(self.members())

    def batches(self) -> list[FileRange]:
        """Ranges of 16 MiB of the files; a gzipped file is one range. InputError for a file that is no
        dump."""
        members = self.members()
        for member in members:
            if not _DUMP_START.search(head(member.path)):
                message = f"{member.path} is no MediaWiki dump: it does not open with <mediawiki>"
                raise InputError(message, hint="give a …-pages-articles….xml.bz2 of dumps.wikimedia.org")
        return [
            part
            for member in members
            for part in split_members([member], member.size if member.ends_in(".gz") else RANGE_BYTES)
        ]

    def items(self, batch: FileRange) -> Iterator[Item | Unreadable]:
        """The pages that begin in a range, in the order of the dump."""
        base = _base_url(batch.path)
        for number, item in enumerate(pages(batch)):
            if isinstance(item, Cut):
                yield Unreadable(f"{self.name}/{batch.name}#{batch.start}+{number}", item.reason)
            else:
                yield Item(f"{self.name}/{_title_in(item)}", partial(self._article, item, base))

    def _article(self, page: bytes, base: str) -> Document | Unreadable:
        try:
            root = etree.fromstring(page, etree.XMLParser(huge_tree=True, resolve_entities=False))
        except etree.XMLSyntaxError:
            return Unreadable(f"{self.name}/{_title_in(page)}", "damaged")
        title = root.findtext("title") or ""
        place = f"{self.name}/{root.findtext('id') or title}"
        if root.find("redirect") is not None:
            return Unreadable(place, "redirect")
        if root.findtext("ns") != "0":
            return Unreadable(place, "no_article")
        if (root.findtext("revision/model") or "wikitext") != "wikitext":
            return Unreadable(place, "no_wikitext")
        article = plain_text(root.findtext("revision/text") or "", title=title, ruby=self.config.ruby)
        if not article.text:
            return Unreadable(place, "no_text")
        facts = {
            "revision": root.findtext("revision/id"),
            "categories": article.categories,
            "dropped_templates": article.dropped_templates,
        }
        return Document(
            id=place,
            text=article.text,
            source=self.name,
            url=base + quote(title.replace(" ", "_"), safe="/:()!*',;@") if base else "",
            license=self.config.license,
            license_url=self.config.license_url,
            title=title,
            date=root.findtext("revision/timestamp") or "",
            charset="utf-8",
            group=place,
            meta=json.dumps({key: value for key, value in facts.items() if value}, ensure_ascii=False),
        )


def _base_url(path: Path) -> str:
    """The start of every article's URL (`https://ja.wikipedia.org/wiki/`), as the dump's head says."""
    match = _BASE.search(head(path))
    if not match:
        return ""
    main_page = urlsplit(match.group(1).decode("utf-8", errors="replace"))
    return f"{main_page.scheme}://{main_page.netloc}{main_page.path.rpartition('/')[0]}/"


def _title_in(page: bytes) -> str:
    match = re.search(rb"<title>([^<]*)</title>", page)
    return match.group(1).decode("utf-8", errors="replace") if match else "?"
