"""The corpus in numbers and pictures: its sources, what was lost on the way, its lengths and scripts."""

from __future__ import annotations

from typing import Any

from tsuzuri.report.boxes import Build
from tsuzuri.report.figures import exact, percent, short
from tsuzuri.report.labels import LOSSES, SCRIPTS, name_of
from tsuzuri.report.markup import Markup
from tsuzuri.report.page import bilingual, figure, section, side_by_side, table, unfolding
from tsuzuri.report.svg import COLOURS, bar, column_chart, waterfall_bar

AS_TABLE = "表で見る · as a table"


def corpus(build: Build) -> Markup:
    """The section on documents; empty until they are complete."""
    counts = build.counts("documents")
    parts = [
        sources(counts.get("sources", {})),
        waterfall(counts.get("waterfall", [])),
        rejected(counts.get("rejected", {}), {stage[0] for stage in counts.get("waterfall", [])}),
        side_by_side([lengths(counts.get("lengths", [])), scripts(counts.get("scripts", {}))]),
    ]
    return section("文書", "Corpus", parts)


def sources(counts: dict[str, dict[str, Any]]) -> Markup:
    """A row for each source: its share, its size and its licenses."""
    whole = sum(item.get("characters", 0) for item in counts.values())
    sized = [(name, item, item.get("characters", 0)) for name, item in counts.items()]
    largest_first = sorted(sized, key=lambda entry: (-entry[2], entry[0]))
    header = ("出所 Source", "", "文字 Characters", "割合 Share", "文書 Documents", "うち評価用 Held out")
    rows = [
        (
            name,
            bar([("kept", size)], whole, title=f"{name}: {size:,}"),
            exact(size),
            percent(size, whole),
            exact(item.get("documents", 0)),
            exact(item.get("heldout_documents", 0)),
        )
        for name, item, size in largest_first
    ]
    licenses = [
        (name, license_, exact(count))
        for name, item, _ in largest_first
        for license_, count in sorted(item.get("licenses", {}).items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    terms = table(("出所 Source", "ライセンス License", "文書 Documents"), licenses, words=2)
    return Markup(
        table(header, rows, caption=bilingual("出所と量", "Sources"), words=2)
        + unfolding("ライセンスの内訳 · licenses", terms)
    )


def waterfall(stages: list[list[Any]]) -> Markup:
    """What each stage left, beside what it took away."""
    if not stages:
        return Markup("")
    whole = stages[0][1]
    rows, before = [], stages[0]
    for stage in stages:
        name, documents, characters = stage[:3]
        lost = before[1] - documents
        names = name_of(LOSSES, name)
        picture = waterfall_bar(documents, before[1], whole, title=f"{names[0]}: {documents:,} ({-lost:+,})")
        left = (exact(documents), _loss(lost), exact(characters), _loss(before[2] - characters))
        rows.append((bilingual(*names), picture, *left))
        before = stage
    columns = ("残った文書 Documents left", "減 Lost", "残った文字 Characters left", "減 Lost")
    return table(
        ("段階 Stage", "", *columns),
        rows,
        caption=bilingual("残ったもの、去ったもの", "What each stage left"),
        words=2,
    )


def rejected(reasons: dict[str, int], stages: set[str]) -> Markup:
    """How many documents were turned away for reasons that are no stage of the waterfall, folded away."""
    rows = [
        (bilingual(*name_of(LOSSES, reason)), exact(count))
        for reason, count in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        if count and reason not in stages
    ]
    return unfolding("除いた理由 · reasons", table(("理由 Reason", "文書 Documents"), rows))


def lengths(histogram: list[list[Any]]) -> Markup:
    """The distribution of document lengths."""
    columns = [(f"≤{short(bound)}" if bound else "∞", count) for bound, count in histogram]
    picture = column_chart(columns, title="文書の長さ Document lengths", unit="documents")
    rows = [(f"≤ {exact(bound)}" if bound else "∞", exact(count)) for bound, count in histogram]
    alternative = unfolding(AS_TABLE, table(("文字数 Characters", "文書 Documents"), rows))
    return figure("長さ", "Documents by length in characters", picture, alternative)


def scripts(counts: dict[str, int]) -> Markup:
    """The mix of scripts as one divided bar and its table."""
    whole = sum(counts.values())
    if not whole:
        return Markup("")
    names = {key: name_of(SCRIPTS, key) for key in counts}
    shares = ", ".join(f"{names[key][0]} {percent(count, whole)}" for key, count in counts.items())
    parts = [(f"c{index % COLOURS}", float(count)) for index, count in enumerate(counts.values())]
    rows = [
        (
            Markup(f'<i class="swatch c{index % COLOURS}"></i>{bilingual(*names[key])}'),
            exact(count),
            percent(count, whole),
        )
        for index, (key, count) in enumerate(counts.items())
    ]
    figures = table(("文字 Script", "数 Count", "割合 Share"), rows)
    picture = Markup(f'<div class="tall">{bar(parts, whole, title=shares)}{figures}</div>')
    return figure("文字の種類", "Script mix", picture)


def _loss(count: int) -> str:
    return f"−{count:,}" if count else ""
