"""Counts of a build add up."""

from __future__ import annotations

from typing import Any

from tsuzuri.corpus.document import Document
from tsuzuri.corpus.stats import STAGES, CorpusStats


def document(text: str, **facts: Any) -> Document:
    return Document(id="", text=text, source="甲", **facts)


def test_the_waterfall_ends_with_what_is_kept() -> None:
    stats = CorpusStats({"min_characters"})
    stats.reject("undecodable", 0)
    stats.reject("min_characters", 7)
    stats.reject("duplicate", 100)
    stats.keep(document("かな漢字ABC1。", license="CC0-1.0", date="2001-05-03", charset="cp932"), "train")
    stats.keep(document("カナ" * 600, license="MIT", date="Fri, 07 Jan 2022"), "heldout")
    counts = stats.counts()
    assert counts["documents"] == counts["train_documents"] + counts["heldout_documents"] == 2
    assert counts["waterfall"][0] == ["found", 5, 7 + 100 + 9 + 1_200]
    assert [stage for stage, *_ in counts["waterfall"]] == ["found", *STAGES]
    assert counts["waterfall"][-1][1:] == [2, counts["characters"]]
    assert counts["rejected"] == {"duplicate": 1, "min_characters": 1, "undecodable": 1}
    assert counts["sources"]["甲"]["licenses"] == {"CC0-1.0": 1, "MIT": 1}
    assert counts["sources"]["甲"]["heldout_characters"] == 1_200
    assert counts["sources"]["甲"]["charsets"] == {"": 1, "cp932": 1}
    assert counts["sources"]["甲"]["years"] == {"2001": 1, "2022": 1}
    assert sum(counts["scripts"].values()) == counts["characters"]
    assert [count for _, count in counts["lengths"] if count] == [1, 1]
    assert dict(map(tuple, counts["lengths"]))[2_000] == 1


def test_what_is_longer_than_every_bin_is_counted_in_the_last() -> None:
    stats = CorpusStats()
    stats.keep(document("長" * 1_000_001, date="date 20221 unknown"), "train")
    assert stats.counts()["sources"]["甲"]["years"] == {"": 1}
    assert stats.counts()["lengths"][-1] == [0, 1]
