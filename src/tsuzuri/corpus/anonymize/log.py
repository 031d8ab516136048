"""What was found, as rows of a table and as counts; the values themselves stand in neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from tsuzuri.corpus.anonymize.anonymizer import Anonymized

LOG_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),  # in characters of the text before treatment
        pa.field("length", pa.int32(), nullable=False),  # in characters
        pa.field("rule", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("masked", pa.bool_(), nullable=False),
    ]
)


def log_rows(document: str, result: Anonymized) -> Iterator[dict[str, Any]]:
    """The rows of one document, in order of place; the document is named by its id."""
    entries = [(finding, True) for finding in result.masked] + [(finding, False) for finding in result.kept]
    for finding, masked in sorted(entries, key=lambda entry: entry[0].start):
        yield {
            "id": document,
            "kind": finding.kind,
            "offset": finding.start,
            "length": finding.end - finding.start,
            "rule": finding.rule,
            "score": finding.score,
            "masked": masked,
        }


class AnonymizeCounts:
    """How much of each kind was masked and kept in many documents."""

    def __init__(self) -> None:
        self.documents = 0
        self.documents_masked = 0
        self.documents_dropped = 0
        self.masked: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()

    def add(self, result: Anonymized) -> None:
        """Count one document."""
        self.documents += 1
        self.documents_masked += bool(result.masked) and not result.dropped
        self.documents_dropped += result.dropped
        self.masked.update(finding.kind for finding in result.masked)
        self.kept.update(finding.kind for finding in result.kept)

    def as_mapping(self) -> dict[str, Any]:
        """The counts as plain JSON values, kinds in order of name."""
        return {
            "documents": self.documents,
            "documents_masked": self.documents_masked,
            "documents_dropped": self.documents_dropped,
            "masked": dict(sorted(self.masked.items())),
            "kept": dict(sorted(self.kept.items())),
        }
