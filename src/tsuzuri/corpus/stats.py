"""What is counted while documents pass: sources and licenses, the waterfall of stages, lengths and
scripts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from typing import Any

from tsuzuri.corpus.document import Document
from tsuzuri.corpus.quality.metrics import SCRIPTS, Measures
from tsuzuri.corpus.treatment import PERSONAL_DATA

LENGTH_BOUNDS = (
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
)
"""Upper bounds of the length histogram in characters; a last bin holds what is longer."""
UNREADABLE, QUALITY = "unreadable", "quality"
WITHDRAWN, LICENSE, DUPLICATE = "withdrawn", "license", "duplicate"
CONTAMINATED, NEAR_DUPLICATE, LITTLE_LEFT = "contaminated", "near_duplicate", "little_left"
CUT = "cut"
STAGES = (
    UNREADABLE,
    QUALITY,
    PERSONAL_DATA,
    LICENSE,
    WITHDRAWN,
    DUPLICATE,
    CONTAMINATED,
    NEAR_DUPLICATE,
    LITTLE_LEFT,
    CUT,
)

COUNTED = ("licenses", "charsets", "years")
"""What is counted of the documents of a source; of the years that of the date, or none."""
_YEAR = re.compile(r"(?<!\d)(?:1[5-9]|20)\d\d(?!\d)")


class CorpusStats:
    """Counts of one build; documents are told to it one by one."""

    def __init__(self, quality_reasons: Collection[str] = ()) -> None:
        self._quality_reasons = quality_reasons
        self.read_documents = 0
        self.read_characters = 0
        self.rejected: Counter[str] = Counter()
        self.lost_documents: Counter[str] = Counter()  # by stage
        self.lost_characters: Counter[str] = Counter()
        self.sources: dict[str, dict[str, Any]] = {}
        self.splits: Counter[str] = Counter()
        self.lengths: Counter[int] = Counter()
        self.scripts: Counter[str] = Counter()
        self.characters = 0

    def reject(self, reason: str, characters: int, documents: int = 1) -> None:
        """Count rejected documents of so many characters together."""
        self.read_documents += documents
        self.read_characters += characters
        self.rejected[reason] += documents
        stage = QUALITY if reason in self._quality_reasons else reason if reason in STAGES else UNREADABLE
        self.lost_documents[stage] += documents
        self.lost_characters[stage] += characters

    def cut(self, characters: int) -> None:
        """Count characters cut out of a document that is kept."""
        self.read_characters += characters
        self.lost_characters[CUT] += characters

    def keep(self, document: Document, split: str) -> None:
        """Count a kept document."""
        text = document.text
        self.read_documents += 1
        self.read_characters += len(text)
        self.characters += len(text)
        self.splits[split] += 1
        item = self.sources.setdefault(
            document.source,
            {
                "documents": 0,
                "characters": 0,
                "heldout_documents": 0,
                "heldout_characters": 0,
                **{name: Counter() for name in COUNTED},
            },
        )
        item["documents"] += 1
        item["characters"] += len(text)
        item["heldout_documents"] += split == "heldout"
        item["heldout_characters"] += len(text) * (split == "heldout")
        item["licenses"][document.license] += 1
        item["charsets"][document.charset] += 1
        year = _YEAR.search(document.date)
        item["years"][year.group() if year else ""] += 1
        self.lengths[next((bound for bound in LENGTH_BOUNDS if len(text) <= bound), 0)] += 1
        self.scripts.update(Measures(text).scripts())

    def counts(self) -> dict[str, Any]:
        """Everything counted, as the manifest keeps it."""
        return {
            "documents": sum(self.splits.values()),
            "characters": self.characters,
            "train_documents": self.splits["train"],
            "heldout_documents": self.splits["heldout"],
            "rejected": dict(sorted(self.rejected.items())),
            "waterfall": self.waterfall(),
            "sources": {
                name: {**item, **{what: dict(sorted(item[what].items())) for what in COUNTED}}
                for name, item in self.sources.items()
            },
            "lengths": [
                [bound, self.lengths[bound]] for bound in (*LENGTH_BOUNDS, 0) if bound or self.lengths[0]
            ],
            "scripts": {name: self.scripts[name] for name in SCRIPTS},
        }

    def waterfall(self) -> list[list[Any]]:
        """[stage, documents left, characters left] after each stage that every document passes, from what
        was found."""
        documents, characters = self.read_documents, self.read_characters
        steps: list[list[Any]] = [["found", documents, characters]]
        for stage in STAGES:
            documents -= self.lost_documents[stage]
            characters -= self.lost_characters[stage]
            steps.append([stage, documents, characters])
        return steps
