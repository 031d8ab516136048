"""Findings in real prose that were read by hand: the right ones stay found, the wrong ones stay few."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from pathlib import Path

import pytest

from tsuzuri.corpus.anonymize.anonymizer import Anonymizer
from tsuzuri.corpus.anonymize.config import AnonymizeConfig

VERDICTS = Path(__file__).with_name("verdicts.tsv")


@pytest.fixture(scope="module")
def verdicts() -> dict[tuple[str, str], dict[tuple[int, str], str]]:
    found: dict[tuple[str, str], dict[tuple[int, str], str]] = defaultdict(dict)
    with VERDICTS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            found[row["source"], row["document"]][int(row["offset"]), row["kind"]] = row["verdict"]
    return found


def test_the_verdicts_hold_no_text_and_few_errors(
    verdicts: dict[tuple[str, str], dict[tuple[int, str], str]],
) -> None:
    given = [verdict for document in verdicts.values() for verdict in document.values()]
    assert len(given) >= 200
    assert set(given) <= {"public", "person", "wrong"}
    assert given.count("wrong") / len(given) < 0.01
    assert VERDICTS.read_text(encoding="utf-8").isascii()


def test_what_was_read_is_still_masked_and_nothing_beside_it(
    verdicts: dict[tuple[str, str], dict[tuple[int, str], str]], shared_data: Path
) -> None:
    anonymizer = Anonymizer(AnonymizeConfig())
    with gzip.open(shared_data / "kyoto-wikipedia.jsonl.gz", "rt", encoding="utf-8") as file:
        articles = {row["id"]: row["text"] for row in map(json.loads, file)}
    for (source, document), places in verdicts.items():
        if source == "aozora":
            text = (shared_data / "aozora" / document).read_bytes().decode("cp932", "replace")
        else:
            text = articles[document]
        masked = {(finding.start, finding.kind) for finding in anonymizer(text).masked}
        right = {place for place, verdict in places.items() if verdict != "wrong"}
        assert right <= masked <= places.keys(), document
