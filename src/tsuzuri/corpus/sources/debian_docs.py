"""Japanese documentation out of Debian packages: HTML manuals and man pages, each with its own license.

Groups for the held-out split: pages of a package whose file names begin alike (man pages of all packages:
three letters, HTML: four) stay together, because families copy whole paragraphs from each other: printf(1)
and printf(3), curs_*, pthread_*, LibreOffice's page 05340300 in each of its programs. A whole package is
too coarse: one of six would be all or nothing. Sentences that the translators have left in English are
dropped.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from tsuzuri.core.files import sha256_file
from tsuzuri.corpus import charset
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.extraction.page import html_to_text
from tsuzuri.corpus.sources import debian_archive
from tsuzuri.corpus.sources.base import Item, Unreadable
from tsuzuri.corpus.sources.config import DebianDocsSource
from tsuzuri.corpus.sources.debian_copyright import (
    FilesLicense,
    license_of,
    license_of_manual,
    parse_copyright,
)
from tsuzuri.corpus.sources.roff import man_to_text

_MANUAL = re.compile(r"^usr/share/man/ja[^/]*/man\d\w*/([^/]+)\.gz$")
_JAPANESE = re.compile("[\u3041-\u30ff\u3400-\u9fff]")
MANUAL_GROUP_LETTERS = 3
PAGE_GROUP_LETTERS = 4
FOREIGN_SENTENCE_WORDS = 4
FOREIGN_PROSE_WORDS = 8
"""A line without Japanese is untranslated prose, no command or signature, from this many words (a whole
sentence: 4)."""


class DebianDocs:
    """The documentation in a list of Debian packages."""

    def __init__(self, config: DebianDocsSource, cache: Path | None = None) -> None:
        self.config = config
        self.name = config.name or "debian-docs"
        self.cache = cache or debian_archive.cache_folder()

    def packages(self) -> list[Path]:
        """The package files, downloaded if need be."""
        return debian_archive.fetch(self.config.packages, self.cache)

    def fingerprint(self) -> str:
        """A hash of the names, versions and contents of the packages."""
        lines = [f"{path.name}\0{sha256_file(path)}\n" for path in self.packages()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def batches(self) -> list[Path]:
        """One package is one batch."""
        return self.packages()

    def items(self, batch: Path) -> Iterator[Item]:
        """The manuals and pages of a package, in the order of their paths."""
        package = batch.name.split("_")[0]
        files = dict(debian_archive.members(batch))
        notice = files.get(f"usr/share/doc/{package}/copyright", b"").decode("utf-8", errors="replace")
        licenses = parse_copyright(notice, package)
        for path in sorted(files):
            if _MANUAL.match(path):
                place = f"{self.name}/{package}/{PurePosixPath(path).name.removesuffix('.gz')}"
                yield Item(place, partial(self._manual, place, path, files[path], batch))
            elif path.endswith((".html", ".htm")):
                place = f"{self.name}/{package}/{path.removeprefix('usr/share/')}"
                yield Item(place, partial(self._page, place, path, files[path], batch, licenses))

    def _manual(self, place: str, path: str, data: bytes, batch: Path) -> Document | Unreadable:
        package = batch.name.split("_")[0]
        try:
            decoded = charset.decode(gzip.decompress(data))
        except (EOFError, OSError, zlib.error):
            return Unreadable(place, "damaged")
        if decoded is None:
            return Unreadable(place, "undecodable")
        page = man_to_text(decoded.text)
        if page.alias_of:
            return Unreadable(place, "alias")
        return Document(
            id=place,
            text=without_foreign_prose(page.text),
            source=self.name,
            url=f"https://packages.debian.org/{package}",
            license=license_of_manual(decoded.text, package),
            title=f"{page.name} {page.summary}".strip(),
            charset=decoded.charset,
            group=f"{self.name}/man/{PurePosixPath(path).name[:MANUAL_GROUP_LETTERS].lower()}",
            meta=_meta(batch, path),
        )

    def _page(
        self, place: str, path: str, data: bytes, batch: Path, licenses: list[FilesLicense]
    ) -> Document | Unreadable:
        package = batch.name.split("_")[0]
        decoded = charset.decode(data, declared=charset.declared_in_html(data))
        if decoded is None:
            return Unreadable(place, "undecodable")
        page = html_to_text(decoded.text)
        if page is None:
            return Unreadable(place, "nested_too_deep")
        return Document(
            id=place,
            text=without_foreign_prose(page.text),
            source=self.name,
            url=f"https://packages.debian.org/{package}",
            license=license_of(path, licenses, package),
            title=page.title,
            charset=decoded.charset,
            group=f"{self.name}/{package}/{PurePosixPath(path).name[:PAGE_GROUP_LETTERS].lower()}",
            meta=_meta(batch, path),
        )


def without_foreign_prose(text: str) -> str:
    """The lines of a text less those that are long prose without any Japanese."""
    return "\n".join(line for line in text.split("\n") if _JAPANESE.search(line) or not _is_prose(line))


def _is_prose(line: str) -> bool:
    words = line.split()
    if (
        len(words) < FOREIGN_SENTENCE_WORDS
        or sum(word.strip(".,:;()").isalpha() for word in words) <= len(words) * 0.7
    ):
        return False
    is_sentence = words[0][:1].isupper() and words[-1].endswith((".", ":", "!", "?"))
    return is_sentence or len(words) >= FOREIGN_PROSE_WORDS


def _meta(batch: Path, path: str) -> str:
    facts = {"package": batch.name.split("_")[0], "version": debian_archive.version_of(batch), "path": path}
    return json.dumps(facts, ensure_ascii=False)
