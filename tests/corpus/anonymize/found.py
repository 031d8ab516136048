"""What the rules find in a text, as a test wants to read it."""

from __future__ import annotations

from tsuzuri.corpus.anonymize.anonymizer import Anonymizer
from tsuzuri.corpus.anonymize.config import AnonymizeConfig

_EVERY_RULE = Anonymizer(AnonymizeConfig(level="strict"))


def found(text: str, at_least: float = 0.5) -> list[tuple[str, str]]:
    """Kind and text of every finding of so high a score, in order."""
    findings = _EVERY_RULE.findings(text)
    return [(item.kind, text[item.start : item.end]) for item in findings if item.score >= at_least]
