"""A finding: where something personal stands, never what it says."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tsuzuri.corpus.anonymize.config import Kind

LABELLED = 0.95
"""Score of a value that a word beside it names."""
CHECKED = 0.8
"""Score of a value whose check digit or register says that it is real."""
SHAPED = 0.6
"""Score of a shape that little else has."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A stretch of text that a rule takes for personal data."""

    kind: Kind
    """What it is taken for."""
    start: int
    """Its first character's place in the text."""
    end: int
    """The place after its last character."""
    rule: str
    """The rule that found it."""
    score: float
    """How sure the rule is, 0 to 1; an order, not a probability."""


Finder: TypeAlias = Callable[[str], Iterable[Finding]]
"""Findings in a half-width copy of a text."""
RunFinder: TypeAlias = Callable[[str, int, int], Iterator[Finding]]
"""Findings in one run of digits, from its first place to the place after its last."""


def without_overlaps(findings: Iterable[Finding]) -> list[Finding]:
    """The findings in order of place; where two overlap the surer stays, then the longer, then the first."""
    kept: list[Finding] = []  # by place
    ranked = sorted(findings, key=lambda item: (-item.score, item.start - item.end, item.start, item.kind))
    for finding in ranked:
        place = bisect(kept, finding.start, key=_start)
        after_left = place == 0 or kept[place - 1].end <= finding.start
        before_right = place == len(kept) or finding.end <= kept[place].start
        if after_left and before_right:
            kept.insert(place, finding)
    return kept


def _start(finding: Finding) -> int:
    return finding.start
