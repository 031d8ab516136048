"""What documents are and what was done to them, after "Datasheets for Datasets" (Gebru et al., arXiv
1803.09010), as Markdown and as a page.

Deviations: only those of the paper's questions that the manifest can answer, and one that it does not ask:
what was not done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from tsuzuri.core.files import write_json, write_text
from tsuzuri.core.licenses import terms_of
from tsuzuri.core.markdown import cell, table
from tsuzuri.corpus.anonymize.datasheet import personal_data

SAMPLES, MARKDOWN, HTML = "samples.json", "DATASHEET.md", "datasheet.html"
_STYLE = """
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; line-height: 1.7;
  font-family: "Noto Sans JP", "Hiragino Sans", "Yu Gothic UI", sans-serif; color-scheme: light dark; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #8886; padding: .2rem .8rem; text-align: left; vertical-align: top; }
td:not(:first-child) { overflow-wrap: anywhere; }
"""


def write_datasheet(
    box: Path, config: Mapping[str, Any], counts: Mapping[str, Any], samples: Sequence[Mapping[str, str]]
) -> None:
    """Write the datasheet of a box of documents, with its samples, in both forms."""
    text = datasheet("文書 Documents", config, counts, samples)
    write_json(box / SAMPLES, list(samples))
    write_text(box / MARKDOWN, text)
    write_text(box / HTML, as_page(text))


def datasheet(
    name: str,
    config: Mapping[str, Any],
    counts: Mapping[str, Any],
    samples: Sequence[Mapping[str, str]] = (),
) -> str:
    """A datasheet in Markdown, from what the manifest of the documents says."""
    sources = [dict(item) for item in config.get("source", ())]
    sections = {
        "構成 Composition": [_totals(counts), _sources(counts), _origins(counts), _splits(config)],
        "長さ Lengths in characters": [_lengths(counts)],
        "文字 Scripts": [_scripts(counts)],
        "収集と選別 Collection and cleaning": [_treatments(sources), _waterfall(counts), _rejected(counts)],
        "重複 Duplicates": [_duplicates(counts)],
        "試験問題の混入 Contamination": [_contamination(counts)],
        "個人情報 Personal data": [personal_data(sources, counts.get("personal_data", {}))],
        "ライセンス Licenses": [_licenses(counts)],
        "見本 Samples": [_samples(samples)],
        "しなかったこと What was not done": [_undone()],
        "用途と配布 Uses and distribution": [_uses()],
    }
    body = [f"## {title}\n\n{text}" for title, parts in sections.items() if (text := _joined(parts))]
    head = f"# {cell(name)}: 学習文書の説明書 Datasheet of the training documents"
    note = "数はすべて manifest.json から書き出したものです。 Every number is taken from the manifests."
    return "\n\n".join([head, note, *body]) + "\n"


def as_page(markdown: str) -> str:
    """The same as a page that needs nothing from anywhere else."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    title = escape(markdown.partition("\n")[0].removeprefix("# "))
    return (
        f'<!doctype html>\n<html lang="ja">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _totals(counts: Mapping[str, Any]) -> str:
    names = {
        "documents": "文書 Documents",
        "characters": "文字 Characters",
        "train_documents": "学習用の文書 Documents for training",
        "heldout_documents": "評価用の文書 Documents held out for evaluation",
    }
    return table(("", ""), [(name, counts[key]) for key, name in names.items() if key in counts])


def _sources(counts: Mapping[str, Any]) -> str:
    rows = [
        (source, item.get("documents", 0), item.get("characters", 0), item.get("heldout_documents", 0))
        for source, item in counts.get("sources", {}).items()
    ]
    return table(("出所 Source", "文書 Documents", "文字 Characters", "評価用 Held out"), rows)


def _origins(counts: Mapping[str, Any]) -> str:
    """In which encodings the documents of each source were read, and of which years their dates are."""
    rows = []
    for source, item in counts.get("sources", {}).items():
        if "years" not in item:  # a box that was made before
            continue
        years = item["years"]
        dated = sorted(filter(None, years))
        span = "–".join(dict.fromkeys((dated[0], dated[-1]))) if dated else "–"
        charsets = ", ".join(f"{name or '–'} {count:,}" for name, count in item["charsets"].items())
        rows.append((source, charsets, span, years.get("", 0)))
    header = ("出所 Source", "文字コード Encodings", "日付の年 Years of dates", "日付なし Without a date")
    return table(header, rows) if rows else ""


def _splits(config: Mapping[str, Any]) -> str:
    fraction = config.get("heldout_fraction")
    share = f" (heldout\\_fraction {fraction})" if fraction is not None else ""
    return (
        f"評価用の文書は、作者・束・サイトなどの group で分けてあり{share}、両方に入る group はありません。 "
        "Documents are held out by group (author, package, host); no group is on both sides."
    )


def _lengths(counts: Mapping[str, Any]) -> str:
    rows = [(f"≤ {bound:,}" if bound else "∞", number) for bound, number in counts.get("lengths", [])]
    return table(("文字数 Characters", "文書 Documents"), rows) if rows else ""


def _scripts(counts: Mapping[str, Any]) -> str:
    scripts = counts.get("scripts", {})
    whole = sum(scripts.values()) or 1
    rows = [(name, number, f"{100 * number / whole:.1f} %") for name, number in scripts.items()]
    return table(("種類 Script", "数 Count", "割合 Share"), rows) if rows else ""


def _treatments(sources: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for source in sources:
        quality = source.get("quality", {})
        changed = [f"{name} {bound:g}" for name, bound in quality.get("thresholds", {}).items()]
        lists = [f"ng_words {words['category']}" for words in quality.get("ng_words", ())]
        folded = "揃える folded" if source.get("fold_width") else "そのまま as it is"
        more = ", ".join([*changed, *lists])
        name = source.get("name") or source.get("path", "")
        rows.append((name, source.get("kind", ""), quality.get("profile", ""), more, folded))
    header = ("出所 Source", "種類 Kind", "基準 Profile", "変更 Changed", "全角・半角 Width")
    return table(header, rows) if rows else ""


def _waterfall(counts: Mapping[str, Any]) -> str:
    rows: list[tuple[str | int, ...]] = []
    before: tuple[int, int] | None = None
    for stage, documents, characters in counts.get("waterfall", []):
        lost = (documents - before[0], characters - before[1]) if before else ("", "")
        rows.append((stage, documents, lost[0], characters, lost[1]))
        before = (documents, characters)
    header = (
        "段階 Stage",
        "残った文書 Documents left",
        "増減 Change",
        "残った文字 Characters left",
        "増減 Change",
    )
    return table(header, rows) if rows else ""


def _rejected(counts: Mapping[str, Any]) -> str:
    rows = sorted(counts.get("rejected", {}).items(), key=lambda pair: (-pair[1], pair[0]))
    return table(("除いた理由 Reason", "文書 Documents"), rows) if rows else ""


def _duplicates(counts: Mapping[str, Any]) -> str:
    exact = ("exact", "documents", counts.get("rejected", {}).get("duplicate", 0))
    found = [
        (kind, what, number)
        for kind in ("near", "boilerplate", "passages")
        for what, number in counts.get("selection", {}).get(kind, {}).items()
    ]
    looked_for = {kind for kind, *_ in found}
    not_done = [kind for kind in ("near", "boilerplate", "passages") if kind not in looked_for]
    note = f"探していないもの Not looked for: {', '.join(not_done)}." if not_done else ""
    rows = table(("種類 Kind", "数えたもの What", "数 Count"), [exact, *found])
    return _joined([rows, note])


def _contamination(counts: Mapping[str, Any]) -> str:
    benchmarks = counts.get("selection", {}).get("decontaminate", {})
    if not benchmarks:
        return "試験問題が含まれるかは調べていません。 Test sets were not looked for."
    header = (
        "試験 Benchmark",
        "問題 Items",
        "短くて探せない Too short",
        "見つかった問題 Items found",
        "除いた文書 Documents removed",
    )
    keys = ("items", "too_short", "found", "documents")
    return table(header, [(name, *(item[key] for key in keys)) for name, item in benchmarks.items()])


def _licenses(counts: Mapping[str, Any]) -> str:
    rows = [
        (source, license_, count, terms_of(license_).in_words())
        for source, item in counts.get("sources", {}).items()
        for license_, count in sorted(item.get("licenses", {}).items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    return table(("出所 Source", "ライセンス License", "文書 Documents", "条件 Terms"), rows)


def _samples(samples: Sequence[Mapping[str, str]]) -> str:
    if not samples:
        return ""
    header = ("出所 Source", "結果 Fate", "値 Found; allowed", "文書 Document", "冒頭 Beginning")
    rows = [
        (
            sample["source"],
            sample["reason"] or "残した kept",
            sample["detail"],
            sample["title"] or sample["id"],
            sample["excerpt"],
        )
        for sample in samples
    ]
    note = (
        "出所と理由ごとに、id のハッシュで選んだもの。個人情報・許諾・取り下げで除いた文書は載せていません。 "
        "Chosen by a hash of the id for each source and reason; what fell out for personal data, its license "
        "or a withdrawal is not shown."
    )
    return _joined([note, table(header, rows)])


def _undone() -> str:
    points = (
        "文書の内容が正しいかは確かめていません。 Nobody has checked whether the documents are true.",
        "偏りや有害な表現を測っていません。 Bias and harmful language were not measured.",
        "文書の作者に個別の同意を求めていません。ライセンスの条件によっています。 "
        "Authors were not asked one by one; the documents are used under their licenses.",
    )
    return "\n".join(f"- {point}" for point in points)


def _uses() -> str:
    return (
        "文書は言語モデルの学習と評価のためのものです。モデルとともに文書そのものは配られません。 "
        "The documents are for the training and evaluation of language models; a model is given away without "
        "them."
    )


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part)
