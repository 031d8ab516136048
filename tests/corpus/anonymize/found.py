"""What the rules find in a text, as a test wants to read it."""

from __future__ import annotations

from tsuzuri.corpus.anonymize.anonymizer import find
from tsuzuri.corpus.anonymize.finding import without_overlaps
from tsuzuri.corpus.anonymize.halfwidth import half_width


def found(text: str, at_least: float = 0.5) -> list[tuple[str, str]]:
    """Kind and text of every finding of so high a score, in order."""
    findings = without_overlaps(find(half_width(text)))
    return [(item.kind, text[item.start : item.end]) for item in findings if item.score >= at_least]
