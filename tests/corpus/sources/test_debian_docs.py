"""Documents out of documentation packages."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import pytest
from tests.corpus.packages import documentation, manual, page, prose, write_package

from tsuzuri.corpus.document import Document
from tsuzuri.corpus.sources import base
from tsuzuri.corpus.sources.base import Unreadable
from tsuzuri.corpus.sources.config import DebianDocsSource
from tsuzuri.corpus.sources.debian_docs import DebianDocs, without_foreign_prose


def read(cache: Path, packages: tuple[str, ...]) -> dict[str, Document | Unreadable]:
    source = DebianDocs(DebianDocsSource(packages=packages), cache)
    return {item.id: item for batch in source.batches() for item in base.read(source, batch)}


def test_pages_and_manuals_become_documents(tmp_path: Path) -> None:
    found = read(tmp_path, documentation(tmp_path))
    manual = found["debian-docs/man-ja/ls.1"]
    assert isinstance(manual, Document)
    assert manual.text == "名前\nls - lsの説明\n\n説明\n" + prose("ls")
    assert (manual.title, manual.license) == ("ls(1) lsの説明", "LicenseRef-man-ja")
    assert manual.group == "debian-docs/man/ls."
    assert json.loads(manual.meta)["version"] == "1.0-1"
    html = found["debian-docs/kun-ja/doc/kun/html/Documentation/aa00.ja.html"]
    assert isinstance(html, Document)
    assert (html.text, html.title, html.license) == (prose("aa"), "aa", "GFDL-1.3-or-later")
    assert html.group == "debian-docs/kun-ja/aa00"
    assert len(found) == 12  # the link to ls is no document


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    packed = manual("e")
    with pytest.raises(zlib.error):
        gzip.decompress(b"".join((packed[:30], bytes(9), packed[39:])))
    files = {
        "usr/share/man/ja/man3/a.3.gz": b"no gzip",
        "usr/share/man/ja/man3/b.3.gz": gzip.compress(b".so man3/printf.3\n"),
        "usr/share/man/ja/man3/c.3.gz": b"".join((packed[:30], bytes(9), packed[39:])),
        "usr/share/man/ja/man3/d.3.gz": packed[:60],
        "usr/share/man/ja/man3/e.3.gz": packed,
        "usr/share/x/c.html": bytes(range(256)),
        "usr/share/x/d.html": b"<div>" * 100_000,
        "usr/share/x/e.html": page("e"),
    }
    write_package(tmp_path, "x-ja", files)
    found = read(tmp_path, ("x-ja",))
    reasons = {
        item.id.rsplit("/", 1)[1]: item.reason for item in found.values() if isinstance(item, Unreadable)
    }
    assert reasons == {
        "a.3": "damaged",
        "b.3": "alias",
        "c.3": "damaged",
        "d.3": "damaged",
        "c.html": "undecodable",
        "d.html": "nested_too_deep",
    }
    assert isinstance(found["debian-docs/x-ja/e.3"], Document)


def test_the_fingerprint_follows_the_packages(tmp_path: Path) -> None:
    packages = documentation(tmp_path)
    before = DebianDocs(DebianDocsSource(packages=packages), tmp_path).fingerprint()
    write_package(tmp_path, "man-ja", {"usr/share/x/e.html": page("e")})
    assert DebianDocs(DebianDocsSource(packages=packages), tmp_path).fingerprint() != before


@pytest.mark.parametrize(
    ("line", "stays"),
    [
        ("Saves all changes and closes dialog.", False),
        ("the offset argument is relative to the start of the file", False),
        ("int printf(const char *format, ...);", True),
        ("ls -l /usr/share/doc", True),
        ("Reset", True),
        ("See the manual を見よ。", True),
    ],
)
def test_untranslated_sentences_go(line: str, stays: bool) -> None:
    assert without_foreign_prose(f"前\n{line}\n後") == (f"前\n{line}\n後" if stays else "前\n後")
