"""What a corpus is made from and what is kept: one small frozen configuration per kind of source.

In a recipe `source` may be a word (`debian-docs`), a path (read by `files`), one mapping with a `kind`, or
a list of these. A source's fields are its own: thresholds, width folding and held-out share are chosen
where the text is named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from tsuzuri.core.config import Config
from tsuzuri.core.licenses import terms_of
from tsuzuri.corpus.duplicates.config import DuplicatesConfig

DEFAULT_PACKAGES = (
    "manpages-ja",
    "manpages-ja-dev",
    "debian-reference-ja",
    "libreoffice-help-ja",
    "lilypond-doc-html-ja",
    "developers-reference-ja",
)


class FilterConfig(Config):
    """Thresholds that a document must pass; a rejected document is counted under the first rule that it
    breaks."""

    min_characters: int = Field(50, ge=1)
    """Shortest document kept, in characters (Uzushio's DocLength: 50)."""
    max_characters: int = Field(20_000_000, ge=1)
    """Longest document kept, in characters; longer ones are dumps, not documents."""
    min_japanese_ratio: float = Field(0.5, ge=0, le=1)
    """Smallest share of kana, kanji and Japanese punctuation in the characters that are no white space
    (Swallow: 0.5)."""
    min_kana_ratio: float = Field(0.1, ge=0, le=1)
    """Smallest share of kana in kana and kanji together: below it a text is Chinese, kanbun or a list of
    names."""
    max_repeated_line_ratio: float = Field(0.3, ge=0, le=1)
    """Largest share of lines that repeat an earlier line (Gopher and Swallow: 0.30)."""
    max_repeated_ngram_ratio: float = Field(0.1, ge=0, le=1)
    """Largest share of distinct 10-grams of characters that occur more than once (Swallow: 0.10)."""


class LiteratureFilters(FilterConfig):
    """Thresholds for books: refrains, verse and kanji-heavy old prose are text, not spam."""

    min_kana_ratio: float = Field(0.02, ge=0, le=1)
    """Smallest share of kana in kana and kanji together."""
    max_repeated_line_ratio: float = Field(0.5, ge=0, le=1)
    """Largest share of lines that repeat an earlier line."""
    max_repeated_ngram_ratio: float = Field(0.3, ge=0, le=1)
    """Largest share of distinct 10-grams of characters that occur more than once."""


class TechnicalFilters(FilterConfig):
    """Thresholds for manuals, which name commands, options and code in Latin letters."""

    min_characters: int = Field(200, ge=1)
    """Shortest document kept, in characters: shorter pages are tables of links."""
    min_japanese_ratio: float = Field(0.25, ge=0, le=1)
    """Smallest share of Japanese characters in the characters that are no white space."""
    max_repeated_ngram_ratio: float = Field(0.3, ge=0, le=1)
    """Largest share of distinct 10-grams of characters that occur more than once."""


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


class SourceConfig(Config):
    """What every kind of source has."""

    name: str = ""
    """The label of the source in counts, shards and scores; unset: taken from its path or kind."""
    heldout_fraction: float | None = Field(None, ge=0, le=1)
    """Share of this source's groups that is held out; unset: the corpus's; 0: train only; 1: evaluate
    only."""
    fold_width: bool = True
    """Turn half-width kana and full-width letters and digits into their common forms."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if fault := name_fault(value):
            raise ValueError(fault)
        return value


def name_fault(name: str) -> str:
    """Why no source may have this name, or an empty string."""
    if "/" in name or "\0" in name:
        return f"a source's name is part of file names, which {name!r} cannot be"
    return "'all' is the name of all sources together in scores" if name == "all" else ""


Ruby = Literal["base", "both"]


class FilesSource(SourceConfig):
    """Folders, zips and single files of text, HTML, JSON lines, tables and Parquet, in any Japanese
    encoding."""

    kind: Literal["files"] = "files"
    """Text that lies on this machine."""
    path: Path
    """A file or folder, under the corpus's `root` when it is relative."""
    license: str = "LicenseRef-unknown"
    """The SPDX expression of texts that name none themselves; a release wants it known."""
    license_url: str = ""
    """Where that license can be read."""
    encoding: str | None = None
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
    """Largest text file, or line of a table, that is read, in bytes after decompression; larger ones are
    rejected."""
    filters: FilterConfig = FilterConfig()
    """Thresholds that its documents must pass."""


class AozoraSource(SourceConfig):
    """A tree or zip of Aozora Bunko works as published: Shift_JIS, ruby, notes, header and colophon."""

    kind: Literal["aozora"] = "aozora"
    """Aozora Bunko's text form."""
    path: Path
    """A folder, zip or file, under the corpus's `root` when it is relative."""
    index: Path | None = None
    """The bunko's index of works (list_person_all_extended_utf8.csv, or the zip of it): with it each work
    has its card, date, orthography, author and copyright from there, and works in copyright are left out."""
    license: str = "LicenseRef-PD-JP"
    """The SPDX expression of works whose colophon names no other: out of copyright in Japan."""
    fold_width: bool = False
    """Off: the width of a letter is the book's own."""
    filters: LiteratureFilters = LiteratureFilters()
    """Thresholds that its documents must pass."""


class DebianDocsSource(SourceConfig):
    """Japanese documentation packages of the Debian archive that this machine's apt points to."""

    kind: Literal["debian-docs"] = "debian-docs"
    """HTML manuals and man pages out of Debian packages."""
    packages: tuple[str, ...] = Field(DEFAULT_PACKAGES, min_length=1)
    """The packages to take."""
    filters: TechnicalFilters = TechnicalFilters()
    """Thresholds that its documents must pass."""


class CommonCrawlSource(SourceConfig):
    """WARC or WET files as Common Crawl publishes them: the Japanese pages, their main text."""

    kind: Literal["common-crawl"] = "common-crawl"
    """Web pages out of WARC or WET files."""
    path: Path
    """A folder or file of .warc.gz, .warc, .wet.gz or .wet, under the corpus's `root` when it is relative."""
    license: str = "LicenseRef-unknown"
    """The SPDX expression of pages that name no Creative Commons license."""
    extractor: Literal["fast", "trafilatura"] = "fast"
    """What finds a page's main text: our own rules, or trafilatura (about a tenth of the speed)."""
    ruby: Ruby = "base"
    """What ruby becomes: its base text, or (both) base（reading）."""
    max_page_bytes: int = Field(16 * 2**20, ge=1)
    """Largest page that is read, in bytes after decompression; larger ones are rejected."""
    filters: FilterConfig = FilterConfig()
    """Thresholds that its documents must pass."""


class WikipediaSource(SourceConfig):
    """A dump of Wikipedia or one of its sisters in MediaWiki's XML: articles, redirects left out."""

    kind: Literal["wikipedia"] = "wikipedia"
    """Articles out of an XML dump."""
    path: Path
    """A file or folder of .xml, .xml.bz2 (multistream or not) or .xml.gz, under the corpus's `root` when it
    is relative."""
    license: str = "CC-BY-SA-4.0"
    """The SPDX expression of its articles: Wikipedia's since June 2023."""
    license_url: str = "https://creativecommons.org/licenses/by-sa/4.0/"
    """Where that license can be read."""
    ruby: Ruby = "base"
    """What ruby becomes: its base text, or (both) base（reading）."""
    filters: FilterConfig = FilterConfig()
    """Thresholds that its documents must pass."""


class HuggingFaceSource(SourceConfig):
    """A Hugging Face dataset on this machine: a `save_to_disk` folder of Arrow, or a snapshot of Parquet,
    JSON lines or tables with its card."""

    kind: Literal["hugging-face"] = "hugging-face"
    """A dataset in a folder."""
    path: Path
    """The dataset's folder, under the corpus's `root` when it is relative."""
    split: str = "train"
    """The split to take, where the folder has several: test sets stay out of training."""
    license: str = ""
    """The SPDX expression of its records; unset: what the dataset's card names."""
    fields: RecordFields = RecordFields()
    """Where records keep their text and its description."""
    drop_word_spaces: bool = False
    """Remove the spaces that word segmentation put between Japanese words."""
    filters: FilterConfig = FilterConfig()
    """Thresholds that its documents must pass."""


AnySource = Annotated[
    FilesSource | AozoraSource | DebianDocsSource | CommonCrawlSource | WikipediaSource | HuggingFaceSource,
    Field(discriminator="kind"),
]


class DecontaminateConfig(Config):
    """Which test sets no document may hold, and what holding an item of them is."""

    benchmarks: tuple[FilesSource, ...] = ()
    """The test sets: each file or folder of records is one, of which `fields.text` is looked for."""
    ngram_characters: int = Field(13, ge=4, le=200)
    """Length of the n-grams, in characters of the folded text; a shorter item cannot be looked for."""
    min_share: float = Field(0.7, gt=0, le=1)
    """Smallest share of an item's n-grams that a document must have."""


class LicenseRules(Config):
    """Which documents' licenses do not suit; `AND` and `OR` of an SPDX expression are understood."""

    no_nc: bool = False
    """Leave out what forbids commercial use."""
    no_nd: bool = False
    """Leave out what forbids edited copies."""
    allowed: tuple[str, ...] | None = None
    """Leave out every license but these, named as the documents have them; unset: none for its name."""

    def refuses(self, license_name: str) -> bool:
        """Whether a document under these terms is left out."""
        terms = terms_of(license_name)
        return (
            (self.no_nc and terms.noncommercial)
            or (self.no_nd and terms.no_derivatives)
            or (self.allowed is not None and license_name not in self.allowed)
        )


class CorpusConfig(Config):
    """The stage from sources to documents."""

    source: tuple[AnySource, ...] = (DebianDocsSource(),)
    """Where the text comes from: a word, a path, a mapping with a `kind`, or a list of these."""
    root: Path = Path(".")
    """The folder that relative source paths start from; it is not part of what the documents depend on."""
    heldout_fraction: float = Field(0.02, gt=0, lt=1)
    """Share of each source's groups that is held out for evaluation."""
    workers: int | None = Field(None, ge=1)
    """Processes that read; unset: as many as there are cores. It changes no byte."""
    licenses: LicenseRules = LicenseRules()
    """Which licenses do not suit."""
    withdrawn: Path = Path("withdrawn.jsonl")
    """The list of what must not be used (see `tsuzuri corpus withdraw`), read where it exists; it is not
    part of what the documents are compared by when a build goes on."""
    decontaminate: DecontaminateConfig = DecontaminateConfig()
    """Test sets that no document may hold."""
    duplicates: DuplicatesConfig = DuplicatesConfig()
    """What is looked for beside exact copies."""
    keep_rejected: bool = False
    """Write rejected documents, each with its reason, beside the kept ones."""

    @field_validator("source", mode="before")
    @classmethod
    def _spell_out(cls, value: Any) -> Any:
        items = value if isinstance(value, (list, tuple)) else [value]
        if not items:
            raise ValueError("there is no source")
        return tuple(_source_mapping(item) if isinstance(item, (str, Path)) else item for item in items)


def _source_mapping(word: str | Path) -> dict[str, Any]:
    return {"kind": "debian-docs"} if word == "debian-docs" else {"kind": "files", "path": word}
