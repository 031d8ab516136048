"""How each kind of source is set up: one small frozen configuration per kind.

A source's fields are its own: quality, personal data, width folding and held-out share are chosen where the
text is named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from tsuzuri.core.config import Config
from tsuzuri.core.spdx import spdx_of
from tsuzuri.corpus.anonymize.config import AnonymizeConfig
from tsuzuri.corpus.charset import is_known
from tsuzuri.corpus.quality.config import LiteratureQuality, QualityConfig, TechnicalQuality, WebQuality
from tsuzuri.corpus.quality.profiles import LINK_RULE

DEFAULT_PACKAGES = (
    "manpages-ja",
    "manpages-ja-dev",
    "debian-reference-ja",
    "libreoffice-help-ja",
    "lilypond-doc-html-ja",
    "developers-reference-ja",
)


License = Annotated[str, AfterValidator(spdx_of)]
"""A license by its SPDX expression, or by any name that `core.spdx` reads."""


def _check_encoding(name: str) -> str:
    if not is_known(name):
        raise ValueError(f"there is no encoding {name!r}; there are utf-8, cp932, euc-jp, iso-2022-jp, …")
    return name


Encoding = Annotated[str, AfterValidator(_check_encoding)]
"""An encoding by any of its names; `shift_jis` is what Windows takes it for."""


class RecordFields(Config):
    """Where a record (JSON object or table row) keeps what a document needs.

    A path is names joined by dots; a number takes that item of a list and `*` every one, joined by newlines:
    `turns.*.1` is the second item of every turn.
    """

    text: str = "text"
    """The text itself."""
    id: str | None = "id"
    """A name that is unique in the source; the row number stands in where there is none."""
    title: str | None = "title"
    """The title."""
    author: str | None = "author"
    """Who wrote it."""
    date: str | None = "date"
    """When it was published, as the source writes it."""
    url: str | None = "url"
    """Where it was taken from."""
    license: str | None = "license"
    """Its SPDX expression, over the source's own."""
    group: str | None = None
    """What must not be divided between training and held-out text (author, site); unset: each record
    alone."""
    records: str | None = None
    """Where records stand within those of the file (`data.*.paragraphs.*`); the other paths start there."""


class SourceConfig(Config):
    """What every kind of source has."""

    name: str = ""
    """The label of the source in counts, shards and scores; unset: taken from its path or kind."""
    heldout_fraction: float | None = Field(None, ge=0, le=1)
    """Share of this source's groups that is held out; unset: the corpus's; 0: train only; 1: evaluate
    only."""
    fold_width: bool = True
    """Turn half-width kana and full-width letters and digits into their common forms."""
    quality: QualityConfig = QualityConfig()
    """What its documents must be to stay."""
    anonymize: AnonymizeConfig = AnonymizeConfig(level="off")
    """What becomes of personal data; needs the extra `anonymize` unless it is off."""
    recurring_lines: Literal["cut", "keep"] = "cut"
    """What becomes of lines that recur through a group, where `duplicates.boilerplate` looks for them: the
    frame of a site is cut, what an author likes to say is kept."""

    @property
    def knows_links(self) -> bool:
        """Whether it says which share of a page stands in links."""
        return False

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if fault := name_fault(value):
            raise ValueError(fault)
        return value

    @model_validator(mode="after")
    def _check_links(self) -> Self:
        if LINK_RULE in self.quality.thresholds and not self.knows_links:
            raise ValueError(f"{LINK_RULE} is for pages, and nothing says here what stood in links")
        return self


def name_fault(name: str) -> str:
    """Why no source may have this name, or an empty string."""
    if "/" in name or "\0" in name:
        return f"a source's name is part of file names, which {name!r} cannot be"
    return "'all' is the name of all sources together in scores" if name == "all" else ""


Ruby = Literal["base", "both"]


class FilesSource(SourceConfig):
    """Folders, zips and single files of text, HTML, JSON, tables and Parquet, in any Japanese encoding."""

    kind: Literal["files"] = "files"
    """Text that lies on this machine."""
    path: Path
    """A file or folder, under the corpus's `root` when it is relative."""
    license: License = "LicenseRef-unknown"
    """The SPDX expression of texts that name none themselves; a release wants it known."""
    license_url: str = ""
    """Where that license can be read."""
    encoding: Encoding | None = None
    """The encoding of every file, where it is known; unset: found out file by file."""
    fields: RecordFields = RecordFields()
    """Where records keep their text and its description."""
    group_by: Literal["file", "folder"] = "file"
    """What a plain text or HTML file is grouped by for the held-out split."""
    drop_word_spaces: bool = False
    """Remove the spaces that word segmentation put between Japanese words."""
    ruby: Ruby = "base"
    """What ruby in HTML becomes: its base text, or (both) base（reading）."""
    max_file_bytes: int = Field(256 * 2**20, ge=1)
    """Largest text file, line of a table or text of a record that is read, in bytes after decompression;
    larger ones are rejected."""

    @property
    def knows_links(self) -> bool:
        """Its HTML has them, in other files nothing is a link."""
        return True


class AozoraSource(SourceConfig):
    """A tree or zip of Aozora Bunko works as published: Shift_JIS, ruby, notes, header and colophon."""

    kind: Literal["aozora"] = "aozora"
    """Aozora Bunko's text form."""
    path: Path
    """A folder, zip or file, under the corpus's `root` when it is relative."""
    index: Path | None = None
    """The bunko's index of works (list_person_all_extended_utf8.csv, or the zip of it): with it each work
    has its card, date, orthography, author and copyright from there, and works in copyright are left out."""
    license: License = "LicenseRef-PD-JP"
    """The SPDX expression of works whose colophon names no other: out of copyright in Japan."""
    ruby: Ruby = "base"
    """What ruby in a work becomes: its base text, or (both) base（reading）."""
    fold_width: bool = False
    """Off: the width of a letter is the book's own."""
    quality: LiteratureQuality = LiteratureQuality()
    """What its works must be to stay."""
    recurring_lines: Literal["cut", "keep"] = "keep"
    """What becomes of lines that recur through an author's works."""


class DebianDocsSource(SourceConfig):
    """Japanese documentation packages of the Debian archive that this machine's apt points to."""

    kind: Literal["debian-docs"] = "debian-docs"
    """HTML manuals and man pages out of Debian packages."""
    packages: tuple[str, ...] = Field(DEFAULT_PACKAGES, min_length=1)
    """The packages to take."""
    quality: TechnicalQuality = TechnicalQuality(thresholds={"min_characters": 200})
    """What its pages must be to stay: those under 200 characters are tables of links."""


class CommonCrawlSource(SourceConfig):
    """WARC or WET files as Common Crawl publishes them: the Japanese pages, their main text."""

    kind: Literal["common-crawl"] = "common-crawl"
    """Web pages out of WARC or WET files."""
    path: Path
    """A folder or file of .warc.gz, .warc, .wet.gz or .wet, under the corpus's `root` when it is relative."""
    license: License = "LicenseRef-unknown"
    """The SPDX expression of pages that name no Creative Commons license."""
    extractor: Literal["fast", "trafilatura"] = "fast"
    """What finds a page's main text: our own rules, or trafilatura (about a tenth of the speed)."""
    ruby: Ruby = "base"
    """What ruby becomes: its base text, or (both) base（reading）."""
    max_page_bytes: int = Field(16 * 2**20, ge=1)
    """Largest page that is read, in bytes after decompression; larger ones are rejected."""
    quality: WebQuality = WebQuality()
    """What its pages must be to stay."""
    anonymize: AnonymizeConfig = AnonymizeConfig()
    """What becomes of personal data; needs the extra `anonymize` unless it is off."""

    @property
    def knows_links(self) -> bool:
        """Our own rules tell; trafilatura's text does not, nor does a WET file, whose pages count as none."""
        return self.extractor == "fast"


class WikipediaSource(SourceConfig):
    """A dump of Wikipedia or one of its sisters in MediaWiki's XML: articles, redirects left out."""

    kind: Literal["wikipedia"] = "wikipedia"
    """Articles out of an XML dump."""
    path: Path
    """A file or folder of .xml, .xml.bz2 (multistream or not) or .xml.gz, under the corpus's `root` when it
    is relative."""
    license: License = "CC-BY-SA-4.0"
    """The SPDX expression of its articles: Wikipedia's since June 2023."""
    license_url: str = "https://creativecommons.org/licenses/by-sa/4.0/"
    """Where that license can be read."""
    ruby: Ruby = "base"
    """What ruby becomes: its base text, or (both) base（reading）."""
    quality: TechnicalQuality = TechnicalQuality()
    """What its articles must be to stay."""


class HuggingFaceSource(SourceConfig):
    """A Hugging Face dataset on this machine: a `save_to_disk` folder of Arrow, or a snapshot of Parquet,
    JSON or tables with its card."""

    kind: Literal["hugging-face"] = "hugging-face"
    """A dataset in a folder."""
    path: Path
    """The dataset's folder, under the corpus's `root` when it is relative."""
    split: str = "train"
    """The split to take, where the folder has several: test sets stay out of training."""
    license: License = ""
    """The SPDX expression of its records; unset: what the dataset's card names."""
    fields: RecordFields = RecordFields()
    """Where records keep their text and its description."""
    drop_word_spaces: bool = False
    """Remove the spaces that word segmentation put between Japanese words."""


AnySource = Annotated[
    FilesSource | AozoraSource | DebianDocsSource | CommonCrawlSource | WikipediaSource | HuggingFaceSource,
    Field(discriminator="kind"),
]
