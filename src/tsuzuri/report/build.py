"""The report of one build: its boxes in, one HTML file out. The same boxes give the same bytes.

While a run goes on, its page is made again and again, and loads itself anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsuzuri.core.boxes import STAGES
from tsuzuri.core.errors import InputError
from tsuzuri.core.files import write_text
from tsuzuri.report.boxes import Build, boxes_of, read_build
from tsuzuri.report.corpus import corpus
from tsuzuri.report.figures import duration, is_number, myriads
from tsuzuri.report.labels import STAGES as STAGE_NAMES
from tsuzuri.report.making import configuration, lineage
from tsuzuri.report.markup import Markup, safe
from tsuzuri.report.page import bilingual, definitions, page
from tsuzuri.report.results import results, writings
from tsuzuri.report.tokenizer import tokenizer
from tsuzuri.report.training import growth, training

REPORT = "report.html"


def build_report(out: Path, boxes: Mapping[str, Path] | None = None, *, live: bool = False) -> Path:
    """The path of the report written into `out`, of as much as is there; InputError when nothing is.

    Its `boxes` (stage → folder) are by default those in `out`. A `live` report is without the lineage, whose
    sums over all sources take time.
    """
    out = Path(out)
    boxes = boxes or boxes_of(out)
    build = read_build(boxes)
    if not build.manifests:
        raise InputError(
            f"{out} holds no build: none of {', '.join(STAGES)} is there",
            hint="tsuzuri build RECIPE.yaml --out DIR",
        )
    sections = [
        corpus(build),
        tokenizer(build),
        training(build),
        growth(build),
        results(build),
        writings(build),
        configuration(build),
        Markup("") if live else lineage(build, boxes, out),
    ]
    name = str(build.config("release").get("name") or out.resolve().name)
    write_text(out / REPORT, page(f"{name} · 綴り Tsuzuri", head(build, name), sections, live=live))
    return out / REPORT


def head(build: Build, name: str) -> Markup:
    """The title, the thread of stages and the headline figures."""
    stages = "".join(
        f'<li class="{_state(build, stage)}">{bilingual(*STAGE_NAMES[stage])}</li>' for stage in STAGES
    )
    description = build.config("release").get("description") or "つくりかたの記録"
    return Markup(
        f'<header>\n<div class="slip" aria-hidden="true">綴り</div>\n<div class="title">\n'
        f'<h1>{safe(name)}</h1>\n<p>{safe(description)} <span lang="en">Build report</span></p>\n'
        f'<ol class="stages">{stages}</ol>\n</div>\n</header>\n'
        f"{definitions(headline(build), kind='headline')}"
    )


def headline(build: Build) -> list[tuple[Markup, Markup]]:
    """The few figures that say how large the build is and how good."""
    documents, tokens = build.counts("documents"), build.counts("tokens").get("sources", {})
    train_tokens = sum(item.get("train_tokens", 0) for item in tokens.values())
    last = build.training_lines[-1] if build.training_lines else {}
    known: list[tuple[str, str, Any]] = [
        ("文書", "Documents", documents.get("documents")),
        ("文字", "Characters", documents.get("characters")),
        ("学習用トークン", "Training tokens", train_tokens or None),
        ("パラメータ", "Parameters", build.counts("run").get("parameters")),
        ("見たトークン", "Tokens seen", last.get("tokens")),
    ]
    figures = [(bilingual(ja, en), _large(*myriads(value))) for ja, en, value in known if is_number(value)]
    if build.elapsed_s:
        figures.append((bilingual("学習時間", "Training time"), _large(*duration(build.elapsed_s))))
    bits = build.scores.get("bits", {}).get("all", {}).get("bits_per_character")
    if is_number(bits):
        figures.append((bilingual("ビット/文字", "Bits per character"), _large(f"{bits:.3f}", "")))
    return figures


def _large(number: str, unit: str) -> Markup:
    return Markup(f"{safe(number)}<small>{safe(unit)}</small>" if unit else safe(number))


def _state(build: Build, stage: str) -> str:
    return "done" if stage in build.finished else "begun" if stage in build.manifests else "absent"
