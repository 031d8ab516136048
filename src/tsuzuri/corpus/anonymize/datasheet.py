"""What the datasheet says of personal data: what was done, how well the rules work, what it is not in law."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from tsuzuri.core.markdown import cell, table


def measured() -> dict[str, Any]:
    """Recall and precision of the rules as `bench/anonymize.py --write` measured them last."""
    found: dict[str, Any] = json.loads((files(__package__) / "measured.json").read_text(encoding="utf-8"))
    return found


def personal_data(sources: Sequence[Mapping[str, Any]], counts: Mapping[str, Mapping[str, Any]]) -> str:
    """What a reader must know about personal data in these documents, in Markdown.

    `sources` are the configurations as the manifest has them, `counts` those of `AnonymizeCounts` by source.
    """
    names = [str(source.get("name", "")) for source in sources]
    untouched = [cell(name) for name in names if name not in counts]
    parts = []
    if untouched or not counts:
        of_which = f" of {', '.join(untouched)}" if counts else ""
        parts.append(
            f"**Personal data was not looked for in the documents{of_which}**: whoever publishes or trains "
            "on them must assume that they hold some. 個人情報を探していない文書があります。"
        )
    if counts:
        settings = {source.get("name"): source["anonymize"] for source in sources if source.get("anonymize")}
        parts += [_by_source(counts, settings), _by_kind(counts), _how_well(), _in_law()]
    return "\n\n".join(parts)


def _by_source(
    counts: Mapping[str, Mapping[str, Any]], settings: Mapping[str | None, Mapping[str, Any]]
) -> str:
    rows = [
        (
            name,
            settings[name]["level"],
            settings[name]["mode"],
            item["documents"],
            item["documents_masked"],
            item["documents_dropped"],
        )
        for name, item in counts.items()
    ]
    header = ("出所 Source", "水準 Level", "方法 Mode", "文書 Documents", "置換 Replaced", "除去 Dropped")
    return table(header, rows)


def _by_kind(counts: Mapping[str, Mapping[str, Any]]) -> str:
    masked: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for item in counts.values():
        masked.update(item["masked"])
        kept.update(item["kept"])
    rates = measured()["made_up"]["kinds"]
    rows = [
        (
            kind,
            masked[kind],
            kept[kind],
            *(rates.get(kind, {}).get(rate, "–") for rate in ("recall", "precision")),
        )
        for kind in sorted({*masked, *kept})
    ]
    header = ("種類 Kind", "置換 Masked", "残した Kept", "再現率 Recall", "適合率 Precision")
    return table(header, rows) if rows else ""


def _how_well() -> str:
    figures = measured()
    hand, rules, dictionary = figures["by_hand"], figures["names"]["rules"], figures["names"]["sudachi"]
    verdicts = [rate["verdicts"] for rate in figures["real_text"].values()]
    read = sum(sum(one.values()) - one.get("unread", 0) for one in verdicts)
    real = [
        f"{rate['masked_per_million']:.1f} places per million characters of {source} "
        f"({rate['wrong_per_million']:.2f} wrongly)"
        for source, rate in figures["real_text"].items()
    ]
    return (
        f"Recall and precision were measured on {figures['made_up']['examples']:,} made-up sentences "
        "(right numbers and near misses); they say what the rules do to known forms, not how many forms "
        f"people have. Of {hand['places']} places in sentences that were written by hand and kept from the "
        f"rules' making {hand['found'] / hand['places']:.0%} were found. Numbers spelt in kanji, spread over "
        "lines, or named only afterwards or in other words are missed. Of random "
        f"numbers of twelve digits that stand alone, {figures['by_luck']['12']:.0%} pass as individual "
        f"numbers. On labelled sentences of Wikipedia the rules of `strict` found {rules['recall']:.0%} of "
        f"the names of persons, and {rules['precision']:.0%} of what they took for a name was one: names in "
        f"running prose stay. With `names: sudachi` it is {dictionary['recall']:.0%} and "
        f"{dictionary['precision']:.0%}. On real prose the rules of `standard` "
        f"masked {' and '.join(real)}; {read} findings were read by hand."
    )


def _in_law() -> str:
    return (
        "Text, title and author were treated; ids, URLs and groups are as their source has them. "
        "This is processing of personal data and, with surrogates, pseudonymisation (仮名化). It is not "
        "anonymously processed information (匿名加工情報) in the sense of Japan's Act on the Protection of "
        "Personal Information: what stays may still point to a person."
    )
