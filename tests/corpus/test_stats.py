"""Counts of a build add up."""

from __future__ import annotations

from tsuzuri.corpus.stats import STAGES, CorpusStats


def test_the_waterfall_ends_with_what_is_kept() -> None:
    stats = CorpusStats({"min_characters"})
    stats.reject("undecodable", 0)
    stats.reject("min_characters", 7)
    stats.reject("duplicate", 100)
    stats.keep("かな漢字ABC1。", source="甲", split="train", license_name="CC0-1.0")
    stats.keep("カナ" * 600, source="甲", split="heldout", license_name="MIT")
    counts = stats.counts()
    assert counts["documents"] == counts["train_documents"] + counts["heldout_documents"] == 2
    assert counts["waterfall"][0] == ["found", 5, 7 + 100 + 9 + 1_200]
    assert [stage for stage, *_ in counts["waterfall"]] == ["found", *STAGES]
    assert counts["waterfall"][-1][1:] == [2, counts["characters"]]
    assert counts["rejected"] == {"duplicate": 1, "min_characters": 1, "undecodable": 1}
    assert counts["sources"]["甲"]["licenses"] == {"CC0-1.0": 1, "MIT": 1}
    assert counts["sources"]["甲"]["heldout_characters"] == 1_200
    assert sum(counts["scripts"].values()) == counts["characters"]
    assert [count for _, count in counts["lengths"] if count] == [1, 1]
    assert dict(map(tuple, counts["lengths"]))[2_000] == 1


def test_what_is_longer_than_every_bin_is_counted_in_the_last() -> None:
    stats = CorpusStats()
    stats.keep("長" * 1_000_001, source="甲", split="train", license_name="")
    assert stats.counts()["lengths"][-1] == [0, 1]
