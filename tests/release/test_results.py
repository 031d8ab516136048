from __future__ import annotations

from typing import Any

from tsuzuri.core.manifest import Manifest
from tsuzuri.model.config import ModelConfig
from tsuzuri.release.config import ReleaseConfig
from tsuzuri.release.facts import Facts
from tsuzuri.release.results import contamination, evaluation, personal_data
from tsuzuri.report.boxes import Build


def facts(**counts: Any) -> Facts:
    """Of documents of two sources that count this too."""
    sources = {"aozora": {"licenses": {}}, "wikipedia": {"licenses": {}}}
    documents = Manifest("documents", config={}, inputs={}, counts={"sources": sources, **counts})
    scores = {"bits": {"aozora": {"bits_per_character": 4.5, "tokens": 10}}}
    build = Build(manifests={"documents": documents}, scores=scores)
    return Facts(ReleaseConfig(), ModelConfig(), build, hashes={}, cost=None)


def test_what_was_found_of_personal_data_is_told() -> None:
    found = {"documents": 3_081, "documents_masked": 12, "documents_dropped": 1, "kept": {}}
    said = personal_data(facts(personal_data={"aozora": {**found, "masked": {"email": 3, "phone": 14}}}))
    assert "| aozora | 3,081 | 12 | 1 | phone 14, email 3 |" in said
    assert "**Personal data was not looked for in wikipedia**" in said


def test_what_was_found_of_test_sets_is_told() -> None:
    benchmark = {"items": 1_200, "too_short": 30, "found": 7, "documents": 4}
    said = contamination(facts(selection={"decontaminate": {"jcommonsenseqa": benchmark}}))
    assert "| jcommonsenseqa | 1,200 | 30 | 7 | 4 |" in said
    assert "not looked for" in contamination(facts())


def test_an_evaluation_of_an_older_version_has_no_intervals() -> None:
    said = evaluation(facts())
    assert "| aozora | 4.500 | – | 10 | – |" in said
    assert "confidence" not in said
