"""Named tables of thresholds: what a text must be to stay, after the corpora that published theirs.

A rule reads: reject when metric <comparison> bound. Rules stand in the order of the original, cheap groups
of metrics first, and the first one broken is the reason.

    swallow-v1       Swallow Corpus v1, `apply_v1` of its quality.py (COLM 2024); web pages
    llm-jp-v1        llm-jp-corpus v1, `ja_cc`, default levels; web pages. -strict: its strict levels
    mc4              mC4's rule of lines: three of 200 characters and more; web pages
    hojichar         HojiChar 0.18, the defaults of its filters; web pages
    fineweb2-ja      FineWeb-2, jpn_Jpan.yml over datatrove 0.10's Gopher and FineWeb filters; web pages
    literature       ours, for books: refrains, verse and kanji-heavy old prose are text, not spam
    technical        ours, for manuals, which name commands, options and code in Latin letters
    general          ours, for text of any kind that is known to be text

A recipe may add the rules of OPTIONAL to any profile, by naming their bounds: `max_link_ratio: 0.5`.

Word lists, language scores and blocked hosts of the originals are steps of their own here (`ng_words`,
`language`, `hosts`); top-level domains and hosts are asked where a URL is known. A profile judges a text and
changes nothing in it: what llm-jp takes out (lines without kana, URLs, long runs of ASCII) and what Swallow
takes out or rewrites (footers, ，．) stays.

`hojichar` and `fineweb2-ja` need words, by Sudachi (extra `segment`) or by script in `-chars`, faster and
with the same bounds. With Sudachi `fineweb2-ja` decides as datatrove does; HojiChar's own words are MeCab's,
whose UniDic Sudachi's dictionary descends from, so that its two rules of words are alike, not equal. Of 400
articles of Wikipedia, 97 works of Aozora Bunko and 80 news `fineweb2-ja-chars` decides the same about 97.5,
100 and 98.8 %, `hojichar-chars` about 98, 100 and 100 % (`bench/quality.py` counts it).
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from tsuzuri.core.errors import RecipeError, closest

_COMPARISONS = {"<": operator.lt, ">": operator.gt, ">=": operator.ge}
_GOPHER = "Rae et al. 2021, table A1"
_UZUSHIO = "Uzushio's tutorial, 2024"


@dataclass(frozen=True, slots=True)
class Rule:
    """One threshold."""

    name: str
    """What the rule is called in a recipe and as a reason."""
    metric: str
    """What it asks of a text."""
    comparison: str
    """`<`, `>` or `>=`: how a rejected text's value stands to the bound."""
    bound: float
    """The threshold."""
    source: str
    """Who chose it."""

    def breaks(self, value: float) -> bool:
        """Whether a text of this value is rejected."""
        return bool(_COMPARISONS[self.comparison](value, self.bound))


@dataclass(frozen=True, slots=True)
class Profile:
    """Rules in order, and what they need."""

    name: str
    """What a recipe calls it."""
    rules: tuple[Rule, ...]
    """The rules, the first broken one gives the reason."""
    words: str = "script"
    """How a text is cut into words, where a rule asks: `script` or `sudachi`."""
    top_level_domains: tuple[str, ...] = ()
    """The domains whose pages stay, if there are any; a document without a URL is not asked."""
    refused_hosts: tuple[str, ...] = ()
    """Ends of host names whose pages are rejected."""

    def with_thresholds(self, thresholds: Mapping[str, float]) -> Profile:
        """This profile with some bounds replaced, and the rules of OPTIONAL that are named; RecipeError for
        any other rule that it does not have."""
        names = [rule.name for rule in (*self.rules, *OPTIONAL)]
        for name in thresholds:
            if name not in names:
                message = f"profile {self.name!r} has no rule {name!r}{closest(name, names)}"
                raise RecipeError(message, hint=f"its rules: {', '.join(names)}")
        rules = (*self.rules, *(rule for rule in OPTIONAL if rule.name in thresholds))
        bounded = (replace(rule, bound=thresholds.get(rule.name, rule.bound)) for rule in rules)
        return replace(self, rules=tuple(bounded))

    @property
    def asks_links(self) -> bool:
        """Whether it asks how much of a page stands in links."""
        return any(rule.name == LINK_RULE for rule in self.rules)

    @property
    def asks_hosts(self) -> bool:
        """Whether it takes pages of some hosts only."""
        return bool(self.refused_hosts or self.top_level_domains)

    def refuses_host(self, host: str) -> bool:
        """Whether this profile does not take pages of a host."""
        refused = any(host == end or host.endswith("." + end) for end in self.refused_hosts)
        outside = self.top_level_domains and host.rpartition(".")[2] not in self.top_level_domains
        return bool(refused or outside)


LINK_RULE = "max_link_ratio"
OPTIONAL = (
    # hiragana U+3040–309F / characters without newlines. Uzushio counts UTF-16 units: a kanji beyond the
    # first plane is two there, one here.
    Rule("min_hiragana_ratio", "hiragana_text_fraction", "<", 0.10, f"{_UZUSHIO}, HiraganaRatio"),
    # characters inside <a> / all characters of the text that was taken from the page
    Rule(LINK_RULE, "link_fraction", ">", 0.5, f"{_UZUSHIO}, LinkCharRatio"),
    # words with …, ... or # / words, cut as the profile cuts them (dps: Sudachi, mode C)
    Rule("max_symbol_ratio", "symbol_word_fraction", ">", 0.1, "EleutherAI/dps, japanese_prep.py"),
)
"""Rules of no profile here, each with the bound that its author chose."""


def _table(source: str, *rows: tuple[str, str, float]) -> tuple[Rule, ...]:
    """Rules that are called as their metric is."""
    return tuple(Rule(metric, metric, comparison, bound, source) for metric, comparison, bound in rows)


def _swallow() -> Profile:
    source = "Swallow v1, quality.py apply_v1"
    levels = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    rules = (
        *_table(
            source,
            ("num_letters", "<", 400),
            ("duplicate_paragraph_fraction", ">", 0.30),
            ("duplicate_sentence_fraction", ">", 0.30),
            ("duplicate_paragraph_fraction_in_character", ">", 0.20),
            ("duplicate_sentence_fraction_in_character", ">", 0.20),
            ("top_2gram_fraction", ">", 0.20),
            ("top_3gram_fraction", ">", 0.18),
            ("top_4gram_fraction", ">", 0.16),
            *((f"duplicate_{n}gram_fraction", ">", bound) for n, bound in levels),
            ("hiragana_fraction", "<", 0.2),
            ("katakana_fraction", ">", 0.5),
            ("japanese_fraction", "<", 0.5),
            ("num_japanese_letters", "<", 400),
        ),
        Rule("min_avg_sentence_length", "avg_sentence_length", "<", 20, source),
        Rule("max_avg_sentence_length", "avg_sentence_length", ">", 90, source),
        *_table(source, ("max_sentence_length", ">", 200), ("ellipsis_fraction", ">", 0.2)),
    )
    return Profile("swallow-v1", rules, refused_hosts=("5ch.net", "wikipedia.org"))


def _llm_jp(name: str, characters_per_maru: float, min_zlib_ratio: float) -> Profile:
    source = "llm-jp-corpus v1, ja_cc"
    domains = ("biz", "cc", "com", "info", "jp", "me", "net", "org", "site", "tokyo", "tv", "work", "xyz")
    rules = (
        Rule("kana_near_start", "kana_near_start", "<", 1, source),
        Rule("characters_per_maru", "characters_per_maru", ">", characters_per_maru, source),
        Rule("min_zlib_ratio", "zlib_ratio", "<", min_zlib_ratio, source),
        Rule("max_zlib_ratio", "zlib_ratio", ">", 0.70, source),
    )
    return Profile(name, rules, top_level_domains=domains, refused_hosts=("ja.wikipedia.org",))


def _hojichar(name: str, words: str) -> Profile:
    source = "HojiChar 0.18, document_filters.py"
    rules = (
        Rule("min_characters", "num_letters", "<", 200, source),
        Rule("max_characters", "num_letters", ">", 50_000, source),
        *_table(
            source,
            ("characters_per_maru", ">", 100),
            ("kana_near_start", "<", 1),
            ("special_fraction", ">", 0.4),
            ("longest_run", ">=", 200),
            ("cut_line_fraction", ">", 0.7),
            ("short_line_fraction", ">", 0.5),
            ("bulletin_board_marks", ">", 14),
            ("frequent_5gram_fraction", ">=", 0.33),
            ("repeated_7word_fraction", ">=", 0.40),
            ("noun_fraction", ">=", 0.80),
        ),
    )
    return Profile(name, rules, words)


def _fineweb2(name: str, words: str) -> Profile:
    source, gopher = "FineWeb-2, jpn_Jpan.yml", "datatrove 0.10, GopherQualityFilter"
    levels = ((5, 0.243), (6, 0.225), (7, 0.207), (8, 0.190), (9, 0.175), (10, 0.159))
    rules = (
        *_table(
            source,
            ("repeated_line_fraction", ">", 0.328),
            *((f"top_{n}word_mass", ">", bound) for n, bound in ((2, 0.239), (3, 0.196), (4, 0.172))),
            *((f"duplicate_{n}word_mass", ">", bound) for n, bound in levels),
            ("ended_line_fraction", "<", 0.096),
            ("repeated_line_character_fraction", ">", 0.1),
            ("newlines_per_word", ">", 0.13),
        ),
        Rule("min_words", "num_words", "<", 50, gopher),
        Rule("max_words", "num_words", ">", 100_000, gopher),
        Rule("min_avg_word_length", "avg_word_length", "<", 1, source),
        Rule("max_avg_word_length", "avg_word_length", ">", 6, source),
        *_table(
            gopher,
            ("hashes_per_word", ">", 0.1),
            ("ellipses_per_word", ">", 0.1),
            ("bullet_line_fraction", ">", 0.9),
            ("ellipsis_line_fraction", ">", 0.3),
        ),
        *_table(source, ("letter_word_fraction", "<", 0.759), ("num_stop_words", "<", 2)),
    )
    return Profile(name, rules, words)


def _ours(
    name: str, *, characters: int, japanese: float, kana: float, lines: float, repetition: float
) -> Profile:
    rules = (
        Rule("min_characters", "num_letters", "<", characters, f"{_UZUSHIO}: 50; ours"),
        Rule("max_characters", "num_letters", ">", 20_000_000, "ours: longer ones are dumps"),
        Rule("min_japanese_ratio", "japanese_script_fraction", "<", japanese, "Swallow v1: 0.5; ours"),
        Rule("min_kana_ratio", "kana_script_fraction", "<", kana, f"{_UZUSHIO}: 0.1; ours"),
        Rule("max_repeated_line_ratio", "repeated_full_line_fraction", ">", lines, f"{_GOPHER}: 0.3; ours"),
        Rule(
            "max_repeated_ngram_ratio", "duplicate_10gram_fraction", ">", repetition, "Swallow v1: 0.1; ours"
        ),
    )
    return Profile(name, rules)


@cache
def profiles() -> dict[str, Profile]:
    """Every profile by its name."""
    every = (
        _swallow(),
        _llm_jp("llm-jp-v1", 250, 0.30),
        _llm_jp("llm-jp-v1-strict", 80, 0.375),
        Profile("mc4", _table("mT5 (Xue et al. 2021), section 3.1", ("num_long_lines", "<", 3))),
        _hojichar("hojichar", "sudachi"),
        _hojichar("hojichar-chars", "script"),
        _fineweb2("fineweb2-ja", "sudachi"),
        _fineweb2("fineweb2-ja-chars", "script"),
        _ours("literature", characters=50, japanese=0.5, kana=0.02, lines=0.5, repetition=0.3),
        _ours("technical", characters=50, japanese=0.25, kana=0.1, lines=0.3, repetition=0.3),
        _ours("general", characters=50, japanese=0.5, kana=0.1, lines=0.3, repetition=0.1),
    )
    return {profile.name: profile for profile in every}


def find_profile(name: str) -> Profile:
    """The profile of this name; RecipeError names the closest one."""
    found = profiles().get(name)
    if found is None:
        message = f"there is no quality profile {name!r}{closest(name, profiles())}"
        raise RecipeError(message, hint=f"one of {', '.join(profiles())}")
    return found
