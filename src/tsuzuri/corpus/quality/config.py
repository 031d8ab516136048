"""What the recipe says about quality: a profile, thresholds over it, lists of words, languages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from tsuzuri.core.config import Config
from tsuzuri.core.errors import RecipeError
from tsuzuri.corpus.quality.profiles import find_profile


class NgWordsConfig(Config):
    """A list of words that a document must not be full of."""

    file: Path
    """A UTF-8 text file, one word a line; `#` opens a comment. Under the corpus's `root` when it is
    relative."""
    category: str = "ng"
    """What the words are about (`adult`, `violence`): the reason of a rejection."""
    max_rate: float = Field(0.05, gt=0, le=1)
    """Share of Japanese letters in such words from which on a document is rejected (Swallow: 0.05)."""
    max_hits: int | None = Field(None, ge=0)
    """Most occurrences allowed (llm-jp: 3 of adult, discriminating or violent words, 10 of advertising
    ones); unset: only the rate counts."""


class LanguageConfig(Config):
    """Which languages stay."""

    keep: tuple[Literal["ja", "kanbun", "zh", "ko", "latin", "other"], ...] = Field(("ja",), min_length=1)
    """The languages that a document may be in; what is `mojibake` never stays."""


class QualityConfig(Config):
    """A profile and what is changed of it: `{profile: swallow-v1, max_sentence_length: 400}`, or its name
    alone."""

    profile: str = "general"
    """The table of thresholds: `swallow-v1`, `llm-jp-v1`, `llm-jp-v1-strict`, `mc4`, `hojichar`,
    `hojichar-chars`, `fineweb2-ja`, `fineweb2-ja-chars`, `literature`, `technical` or `general`."""
    thresholds: Mapping[str, float] = Field(default_factory=dict)
    """Bounds over the profile's own, by the name of their rule; a recipe may write them beside `profile`. Any
    profile also takes `min_hiragana_ratio` (of all characters; Uzushio: 0.1), `max_link_ratio` (characters in
    links; Uzushio: 0.5) and `max_symbol_ratio` (words with … or #; dps: 0.1)."""
    ng_words: tuple[NgWordsConfig, ...] = ()
    """Lists of words, each with its own limit."""
    hosts: tuple[Path, ...] = ()
    """UTF-8 text files of hosts, one a line (UT1's `domains`), whose pages are rejected with those of their
    subdomains. Under the corpus's `root` when they are relative."""
    language: LanguageConfig | None = None
    """Which languages stay; unset: every one but `mojibake`."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The lists that are read beside it."""
        return (*(words.file for words in self.ng_words), *self.hosts)

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"profile": value}
        if not isinstance(value, dict):
            return value
        own = {key: item for key, item in value.items() if key in cls.model_fields}
        beside = {key: item for key, item in value.items() if key not in cls.model_fields}
        for name, one in (("ng_words", dict), ("hosts", str)):
            if isinstance(own.get(name), one):
                own[name] = (own[name],)
        return {**own, "thresholds": {**own.get("thresholds", {}), **beside}} if beside else own

    @model_validator(mode="after")
    def _check_rules(self) -> QualityConfig:
        try:
            find_profile(self.profile).with_thresholds(self.thresholds)
        except RecipeError as error:
            raise ValueError(error.message) from error
        return self


class WebQuality(QualityConfig):
    """For web pages, where a recipe names no other profile."""

    profile: str = "swallow-v1"
    """The table of thresholds."""


class LiteratureQuality(QualityConfig):
    """For books, where a recipe names no other profile."""

    profile: str = "literature"
    """The table of thresholds."""


class TechnicalQuality(QualityConfig):
    """For manuals and articles, where a recipe names no other profile."""

    profile: str = "technical"
    """The table of thresholds."""
