"""DATASHEET.md: what the documents are, after "Datasheets for Datasets" (Gebru et al., arXiv 1803.09010).

Deviations: only those of the paper's questions that the manifests can answer, and one that it does not ask:
what was not done.
"""

from __future__ import annotations

from tsuzuri.core.licenses import terms_of
from tsuzuri.release.facts import Facts
from tsuzuri.release.markdown import cell, table


def datasheet(facts: Facts) -> str:
    """The text of DATASHEET.md."""
    counts = facts.build.counts("documents")
    sections = [
        f"# {cell(facts.config.name)}: 学習文書の説明書 Datasheet of the training documents",
        "数はすべて manifest.json から書き出したものです。 Every number is taken from the manifests.",
        _section("構成 Composition", _totals(counts), _sources(facts), _splits(facts)),
        _section("長さ Lengths in characters", _lengths(counts)),
        _section("文字 Scripts", _scripts(counts)),
        _section("収集と選別 Collection and cleaning", _waterfall(counts), _rejected(counts)),
        _section("ライセンス Licenses", _licenses(facts)),
        _section("しなかったこと What was not done", _undone(facts)),
        _section("用途と配布 Uses and distribution", _uses()),
    ]
    return "\n\n".join(sections) + "\n"


def _totals(counts: dict[str, object]) -> str:
    names = {
        "documents": "文書 Documents",
        "characters": "文字 Characters",
        "train_documents": "学習用の文書 Documents for training",
        "heldout_documents": "評価用の文書 Documents held out for evaluation",
    }
    return table(("", ""), [(name, counts[key]) for key, name in names.items() if key in counts])


def _sources(facts: Facts) -> str:
    rows = [
        (source, item.get("documents", 0), item.get("characters", 0), item.get("heldout_documents", 0))
        for source, item in facts.sources.items()
    ]
    return table(("出所 Source", "文書 Documents", "文字 Characters", "評価用 Held out"), rows)


def _splits(facts: Facts) -> str:
    fraction = facts.build.config("documents").get("heldout_fraction")
    share = f" (heldout\\_fraction {fraction})" if fraction is not None else ""
    return (
        f"評価用の文書は、作者・束・サイトなどの group で分けてあり{share}、両方に入る group はありません。 "
        "Documents are held out by group (author, package, host); no group is on both sides."
    )


def _lengths(counts: dict[str, list[list[int]]]) -> str:
    rows = [(f"≤ {bound:,}" if bound else "∞", number) for bound, number in counts.get("lengths", [])]
    return table(("文字数 Characters", "文書 Documents"), rows)


def _scripts(counts: dict[str, dict[str, int]]) -> str:
    scripts = counts.get("scripts", {})
    whole = sum(scripts.values()) or 1
    return table(
        ("種類 Script", "数 Count", "割合 Share"),
        [(name, n, f"{100 * n / whole:.1f} %") for name, n in scripts.items()],
    )


def _waterfall(counts: dict[str, list[list[int]]]) -> str:
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
    return table(header, rows)


def _rejected(counts: dict[str, dict[str, int]]) -> str:
    rows = sorted(counts.get("rejected", {}).items(), key=lambda pair: (-pair[1], pair[0]))
    return table(("除いた理由 Reason", "文書 Documents"), rows) if rows else ""


def _licenses(facts: Facts) -> str:
    rows = [
        (source, license_, count, terms_of(license_).in_words()) for source, license_, count in facts.licenses
    ]
    return table(("出所 Source", "ライセンス License", "文書 Documents", "条件 Terms"), rows)


def _undone(facts: Facts) -> str:
    points = [
        "文書の内容が正しいかは確かめていません。 Nobody has checked whether the documents are true.",
        "偏りや有害な表現を測っていません。 Bias and harmful language were not measured.",
        "文書の作者に個別の同意を求めていません。ライセンスの条件によっています。 "
        "Authors were not asked one by one; the documents are used under their licenses.",
    ]
    if not facts.anonymised:
        points.insert(
            0,
            "**個人情報を取り除いていません**（匿名化なし）。 "
            "**No anonymisation**: personal data in the documents was left as it is.",
        )
    return "\n".join(f"- {point}" for point in points)


def _uses() -> str:
    return (
        "文書は言語モデルの学習と評価に使われました。この公開物に文書そのものは含まれません。 "
        "The documents were used to train and evaluate a language model. They are not part of this release."
    )


def _section(title: str, *parts: str) -> str:
    return "\n\n".join([f"## {title}", *(part for part in parts if part)])
