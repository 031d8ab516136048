"""What a corpus is made from, what is kept, and how it is divided.

In a recipe `source` may be a word (`debian-docs`), a path (read by `files`), one mapping with a `kind`, or
a list of these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from tsuzuri.core.config import Config
from tsuzuri.core.licenses import terms_of
from tsuzuri.core.spdx import spdx_of
from tsuzuri.corpus.duplicates.config import DuplicatesConfig
from tsuzuri.corpus.refusals import LIST
from tsuzuri.corpus.sources.config import AnySource, DebianDocsSource, FilesSource, License


class DecontaminateConfig(Config):
    """Which test sets no document may hold, and what holding an item of them is."""

    benchmarks: tuple[FilesSource, ...] = ()
    """The test sets: each file or folder of records is one, of which `fields.text` is looked for."""
    ngram_characters: int = Field(13, ge=4, le=200)
    """Length of the n-grams, in characters of the folded text; a shorter item cannot be looked for."""
    min_share: float = Field(0.7, gt=0, le=1)
    """Smallest share of an item's n-grams that a document must have."""


class LicenseRules(Config):
    """Which documents' licenses do not suit; `AND` and `OR` of an SPDX expression are understood.

    Unclear terms (no license is named, or none that is known) are not taken for forbidding anything, unless
    their own words say so: only `no_unclear` leaves them out.
    """

    no_nc: bool = False
    """Leave out what forbids commercial use."""
    no_nd: bool = False
    """Leave out what forbids edited copies."""
    no_unclear: bool = False
    """Leave out what is under no license that is known."""
    allowed: tuple[License, ...] | None = None
    """Leave out every license but these; unset: none for its name."""

    def refuses(self, license_name: str) -> bool:
        """Whether a document under these terms is left out."""
        terms = terms_of(license_name)
        return (
            (self.no_nc and terms.noncommercial)
            or (self.no_nd and terms.no_derivatives)
            or (self.no_unclear and terms.unclear)
            or (self.allowed is not None and spdx_of(license_name) not in self.allowed)
        )


class CorpusConfig(Config):
    """The stage from sources to documents."""

    source: tuple[AnySource, ...] = (DebianDocsSource(),)
    """Where the text comes from: a word, a path, a mapping with a `kind`, or a list of these."""
    root: Path = Path(".")
    """The folder that relative source paths start from. Relative itself, it starts from the folder in which
    the command is run, wherever the recipe lies. It is not part of what the documents depend on."""
    heldout_fraction: float = Field(0.02, gt=0, lt=1)
    """Share of each source's groups that is held out for evaluation."""
    workers: int | None = Field(None, ge=1)
    """Processes that read; unset: as many as there are cores. It changes no byte."""
    licenses: LicenseRules = LicenseRules()
    """Which licenses do not suit."""
    withdrawn: Path = Path(LIST)
    """The list of what must not be used (see `tsuzuri corpus withdraw`), read where it exists, as is the one
    beside the folder of documents; neither is part of what the documents are compared by when a build goes
    on."""
    decontaminate: DecontaminateConfig = DecontaminateConfig()
    """Test sets that no document may hold."""
    duplicates: DuplicatesConfig = DuplicatesConfig()
    """What is looked for beside exact copies."""
    keep_rejected: bool = False
    """Write rejected documents, each with its reason, beside the kept ones; nothing is kept of those that
    must not be used."""

    @field_validator("source", mode="before")
    @classmethod
    def _spell_out(cls, value: Any) -> Any:
        items = value if isinstance(value, (list, tuple)) else [value]
        if not items:
            raise ValueError("there is no source")
        return tuple(_source_mapping(item) if isinstance(item, (str, Path)) else item for item in items)


def _source_mapping(word: str | Path) -> dict[str, Any]:
    return {"kind": "debian-docs"} if word == "debian-docs" else {"kind": "files", "path": word}
