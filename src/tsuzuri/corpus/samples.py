"""A few documents of every fate, chosen by a hash of their ids: what the datasheet shows of each rule.

What somebody asked to be left out, and what fell out for the personal data in it or for its license, is shown
nowhere.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tsuzuri.corpus.stats import LICENSE, WITHDRAWN
from tsuzuri.corpus.treatment import EXCERPT_CHARACTERS, PERSONAL_DATA

OF_EACH = 3
"""Documents shown for each source and reason."""
NEVER_SHOWN = (LICENSE, WITHDRAWN, PERSONAL_DATA)
SHOWN = ("id", "source", "url", "title")
"""Of the document itself; by its URL, what is withdrawn later is found among the samples."""


class Samples:
    """The samples of one build; documents are told to it one by one."""

    def __init__(self) -> None:
        self._chosen: dict[tuple[str, str], list[tuple[bytes, dict[str, str]]]] = defaultdict(list)

    def add(self, document: Mapping[str, Any], reason: str, detail: str) -> None:
        """Take a document into account; an empty reason is that of those that stay."""
        if reason in NEVER_SHOWN or not document["text"]:
            return
        chosen = self._chosen[document["source"], reason]
        order = hashlib.blake2b(document["id"].encode(), digest_size=8).digest()
        if len(chosen) == OF_EACH and order >= chosen[-1][0]:
            return
        excerpt = document["text"][:EXCERPT_CHARACTERS]
        shown = {name: document[name] for name in SHOWN}
        insort(chosen, (order, {**shown, "reason": reason, "detail": detail, "excerpt": excerpt}), key=_order)
        del chosen[OF_EACH:]

    def rows(self) -> list[dict[str, str]]:
        """Every sample, by source and reason."""
        return [row for key in sorted(self._chosen) for _, row in self._chosen[key]]


def _order(entry: tuple[bytes, dict[str, str]]) -> bytes:
    return entry[0]
