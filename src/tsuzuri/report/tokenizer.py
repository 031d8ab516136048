"""The vocabulary: its size and form, and how much text a piece of it holds on each source."""

from __future__ import annotations

from typing import Any

from tsuzuri.report.boxes import Build
from tsuzuri.report.figures import decimals, exact
from tsuzuri.report.markup import Markup
from tsuzuri.report.page import bilingual, definitions, section, table

SETTINGS = {
    "form": ("形", "Form"),
    "boundary": ("境界", "Boundary"),
    "longest_piece": ("最長のトークン", "Longest piece"),
}


def tokenizer(build: Build) -> Markup:
    """The section on the tokenizer and what it made of the documents; empty until either is known."""
    counts, config = build.counts("tokens"), build.config("tokenizer")
    size = counts.get("vocab_size") or config.get("vocab_size")
    facts = [(bilingual("語彙", "Vocabulary"), exact(size))] if size else []
    facts += [
        (bilingual(*names), config[key]) for key, names in SETTINGS.items() if config.get(key) is not None
    ]
    return section(
        "語彙", "Tokenizer", [definitions(facts, kind="facts"), packing(counts.get("sources", {}))]
    )


def packing(sources: dict[str, dict[str, Any]]) -> Markup:
    """A row for each source and split: tokens, and characters and bytes a token."""
    header = (
        "出所 Source",
        "組 Split",
        "トークン Tokens",
        "文字 Characters",
        "文字/トークン Characters/token",
        "バイト/トークン Bytes/token",
    )
    rows = []
    for name, item in sorted(sources.items()):
        for split, words in (("train", "学習用 train"), ("heldout", "評価用 held-out")):
            tokens = item.get(f"{split}_tokens", 0)
            if tokens:
                characters, size = item.get(f"{split}_characters", 0), item.get(f"{split}_bytes", 0)
                rows.append(
                    (
                        name,
                        words,
                        exact(tokens),
                        exact(characters),
                        decimals(characters / tokens),
                        decimals(size / tokens),
                    )
                )
    return table(header, rows, caption=bilingual("一トークンに入る量", "What a token holds"), words=2)
