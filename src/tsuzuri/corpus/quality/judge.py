"""Whether a text stays: its encoding, its language, its profile's rules, its words; the first thing wrong is
the reason.

What was read in the wrong encoding never stays, whatever profile and languages are chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tsuzuri.corpus.quality.config import QualityConfig
from tsuzuri.corpus.quality.hosts import HostList
from tsuzuri.corpus.quality.language import identify
from tsuzuri.corpus.quality.metrics import Measures
from tsuzuri.corpus.quality.ng_words import NgWords, limit_broken
from tsuzuri.corpus.quality.profiles import find_profile
from tsuzuri.corpus.urls import host_of

MOJIBAKE = "mojibake"


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a text is rejected."""

    reason: str
    """The rule that it breaks: `host`, `mojibake`, `language`, a rule of the profile, `ng_words_adult`."""
    value: float | str
    """What was found."""
    bound: float | None = None
    """What was allowed, where that is a number."""

    @property
    def detail(self) -> str:
        """What was found; what was allowed."""
        value = f"{self.value:.4g}" if isinstance(self.value, (int, float)) else self.value
        return value if self.bound is None else f"{value}; {self.bound:g}"

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


class Judge:
    """A configuration of quality, ready to be asked.

    Lists of words are read and what an extra installs is looked for here, before the first document.
    """

    def __init__(self, config: QualityConfig, root: Path = Path()) -> None:
        self.profile = find_profile(config.profile).with_thresholds(config.thresholds)
        if self.profile.words == "sudachi":
            Measures("", self.profile.words).words()
        self._languages = None if config.language is None else frozenset(config.language.keep)
        self._hosts = HostList(root / path for path in config.hosts) if config.hosts else None
        self._lists = [(part, NgWords.read(root / part.file)) for part in config.ng_words]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason that this judge may give, in the order in which it asks."""
        return (
            "host",
            MOJIBAKE,
            *(("language",) if self._languages is not None else ()),
            *(rule.name for rule in self.profile.rules),
            *(f"ng_words_{part.category}" for part, _ in self._lists),
        )

    def reject(self, text: str, url: str = "", link_share: float = 0.0) -> Rejection | None:
        """The first thing wrong with a normalised text, or None when it stays.

        `link_share` is the share of its characters that stood in links, where it was taken from a page.
        """
        host = host_of(url) if url and (self.profile.asks_hosts or self._hosts is not None) else ""
        if host and (self.profile.refuses_host(host) or (self._hosts is not None and host in self._hosts)):
            return Rejection("host", host)
        measures = Measures(text, self.profile.words, link_share)
        found = identify(measures.points)
        if found.language == MOJIBAKE:
            return Rejection(MOJIBAKE, found.share)
        if self._languages is not None and found.language not in self._languages:
            return Rejection("language", found.language)
        for rule in self.profile.rules:
            value = measures[rule.metric]
            if rule.breaks(value):
                return Rejection(rule.name, value, rule.bound)
        for part, words in self._lists:
            broken = limit_broken(part, words.find(measures.points), int(measures["num_japanese_letters"]))
            if broken is not None:
                return Rejection(f"ng_words_{part.category}", *broken)
        return None
