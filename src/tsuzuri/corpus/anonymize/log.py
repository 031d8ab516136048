"""What was found, as rows of a table and as counts; the values themselves stand in neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tsuzuri.corpus.anonymize.anonymizer import Anonymized

FINDINGS = "findings"
"""In a box: `findings-00000.parquet` and so on."""
FINDING = pa.struct(
    [
        pa.field("field", pa.string(), nullable=False),  # of the document: text, title, author
        pa.field("kind", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),  # in characters of the field before treatment
        pa.field("length", pa.int32(), nullable=False),  # in characters
        pa.field("rule", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("masked", pa.bool_(), nullable=False),
    ]
)
LOG_SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), *FINDING])


def findings_of(result: Anonymized, field: str) -> Iterator[dict[str, Any]]:
    """What was found in one field of a document, in order of place, as FINDING has it."""
    entries = [(finding, True) for finding in result.masked] + [(finding, False) for finding in result.kept]
    for finding, masked in sorted(entries, key=lambda entry: entry[0].start):
        yield {
            "field": field,
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

    def add(self, findings: Sequence[Mapping[str, Any]], *, dropped: bool = False) -> None:
        """Count one document by what was found in it."""
        masked = [finding["kind"] for finding in findings if finding["masked"]]
        self.documents += 1
        self.documents_masked += bool(masked) and not dropped
        self.documents_dropped += dropped
        self.masked.update(masked)
        self.kept.update(finding["kind"] for finding in findings if not finding["masked"])

    def as_mapping(self) -> dict[str, Any]:
        """The counts as plain JSON values, kinds in order of name."""
        return {
            "documents": self.documents,
            "documents_masked": self.documents_masked,
            "documents_dropped": self.documents_dropped,
            "masked": dict(sorted(self.masked.items())),
            "kept": dict(sorted(self.kept.items())),
        }
