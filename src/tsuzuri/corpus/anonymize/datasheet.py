"""What the datasheet says of personal data: what was done, how well the rules work, what it is not in law."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from tsuzuri.corpus.anonymize.config import AnonymizeConfig


def measured() -> dict[str, Any]:
    """Recall and precision of the rules as `bench/anonymize.py --write` measured them last."""
    found: dict[str, Any] = json.loads((files(__package__) / "measured.json").read_text(encoding="utf-8"))
    return found


def datasheet_section(counts: Mapping[str, Any], config: AnonymizeConfig) -> str:
    """What a reader must know about personal data in these documents, in Markdown, from their counts."""
    if config.level == "off":
        return (
            "Personal data was not looked for in these documents: whoever publishes or trains on them must "
            "assume that they hold some."
        )
    figures, masked, kept = measured(), counts["masked"], counts["kept"]
    lines = [
        f"Of {counts['documents']:,} documents {counts['documents_masked']:,} had personal data replaced "
        f"and {counts['documents_dropped']:,} were dropped for it (level `{config.level}`, mode "
        f"`{config.mode}`).",
        "",
        "| kind | masked | found and kept | recall | precision |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind in sorted({*masked, *kept}):
        figure = figures["made_up"]["kinds"].get(kind)
        rates = f"{figure['recall']:.3f} | {figure['precision']:.3f}" if figure else "– | –"
        lines.append(f"| {kind} | {masked.get(kind, 0)} | {kept.get(kind, 0)} | {rates} |")
    hand = figures["by_hand"]
    names, read = figures["names"], [rate["verdicts"] for rate in figures["real_text"].values()]
    real = [
        f"{rate['masked_per_million']:.1f} places per million characters of {source} "
        f"({rate['wrong_per_million']:.2f} wrongly)"
        for source, rate in figures["real_text"].items()
    ]
    known = sum(sum(verdicts.values()) - verdicts.get("unread", 0) for verdicts in read)
    lines += [
        "",
        f"Recall and precision were measured on {figures['made_up']['examples']:,} made-up sentences "
        "(right numbers and near misses); they say what the rules do to known forms, not how many forms "
        f"people have. Of {hand['places']} places in sentences that were written by hand and kept from the "
        f"rules' making {hand['found'] / hand['places']:.0%} were found. Numbers spelt in kanji, spread over "
        "lines, or named only afterwards or in other words are missed. Of random "
        f"numbers of twelve digits that stand alone, {figures['by_luck']['12']:.0%} pass as individual "
        f"numbers. On labelled sentences of Wikipedia the rules of `strict` found {names['recall']:.0%} of "
        f"the names of persons, and {names['precision']:.0%} of what they took for a name was one: names in "
        "running prose stay unless a model is put beside the rules. On real prose the rules of `standard` "
        f"masked {' and '.join(real)}; {known} findings were read by hand.",
        "",
        "This is processing of personal data and, with surrogates, pseudonymisation (仮名化). It is not "
        "anonymously processed information (匿名加工情報) in the sense of Japan's Act on the Protection of "
        "Personal Information: what stays may still point to a person.",
    ]
    return "\n".join(lines)
