"""What came of it: bits on held-out text, repetition, and what the finished model writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tsuzuri.report.boxes import Build
from tsuzuri.report.figures import decimals, exact, is_number
from tsuzuri.report.markup import Markup
from tsuzuri.report.page import bilingual, definitions, heading, section, table, unfolding
from tsuzuri.report.training import prose

REPETITION = {
    "distinct_4": ("異なる4文字の割合", "Distinct 4-grams"),
    "looped_suffix_rate": ("堂々巡り", "Looped suffixes"),
    "median_characters": ("標本の文字数の中央値", "Median characters a sample"),
    "samples": ("標本", "Samples"),
}


def results(build: Build) -> Markup:
    """The section on final scores; empty until the evaluation is complete."""
    repetition = build.scores.get("repetition", {})
    measures = [
        (bilingual(*names), _value(repetition[key])) for key, names in REPETITION.items() if key in repetition
    ]
    parts = [bits(build.scores.get("bits", {}))]
    if measures:
        parts += [heading("繰り返し", "Repetition"), definitions(measures, kind="facts")]
    return section("評価", "Final scores", parts)


def writings(build: Build) -> Markup:
    """The section of texts by the finished model: one a prompt, the others folded; empty without any."""
    samples = build.scores.get("samples", [])
    first = {sample.get("prompt", ""): sample for sample in reversed(samples)}
    shown = [sample for sample in samples if first[sample.get("prompt", "")] is sample]
    others = [sample for sample in samples if first[sample.get("prompt", "")] is not sample]
    parts = [_cards(shown), unfolding("ほかの作例 · more samples", _cards(others))]
    return section("書いたもの", "What it writes", parts)


def bits(scores: dict[str, dict[str, Any]]) -> Markup:
    """Bits per character and per byte for each source, the whole last."""
    rows = [
        (
            bilingual("全体", "all") if name == "all" else name,
            decimals(item.get("bits_per_character")),
            decimals(item.get("bits_per_byte")),
            exact(item.get("tokens")),
        )
        for name, item in sorted(scores.items(), key=lambda pair: (pair[0] == "all", pair[0]))
    ]
    header = (
        "出所 Source",
        "ビット/文字 Bits per character",
        "ビット/バイト Bits per byte",
        "トークン Tokens",
    )
    return table(header, rows, caption=bilingual("評価用文書のビット数", "Bits on held-out documents"))


def _cards(samples: Sequence[dict[str, Any]]) -> Markup:
    items = "\n".join(
        f"<div>{prose(sample.get('prompt', ''), sample.get('text', ''))}</div>" for sample in samples
    )
    return Markup(f'<div class="cards">\n{items}\n</div>' if items else "")


def _value(value: Any) -> str:
    return exact(value) if isinstance(value, int) else decimals(value) if is_number(value) else "–"
