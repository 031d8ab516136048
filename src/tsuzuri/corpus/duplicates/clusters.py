"""Which of the near-copies stay: the best ones, and everything that is no near-copy of one that stays.

Documents are taken from the best to the worst. One that is a verified near-copy of a kept document falls
out; every other is kept. So of a chain (a like b, b like c, a unlike c) both ends stay when the middle one
falls out, and nothing ever falls out for a document that it does not resemble. A cluster is what verified
pairs connect; it is named, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled
from tsuzuri.corpus.duplicates.candidates import Ranks


@dataclass(frozen=True)
class Clusters:
    """What became of each document, all in ranks (0: the best)."""

    best: Ranks
    """(documents,) the kept near-copy that it falls out for; itself where it is kept."""
    jaccard: npt.NDArray[np.float64]
    """(documents,) the similarity to that one."""
    cluster: Ranks
    """(documents,) the best document of its cluster; itself where it is in none."""
    is_paired: npt.NDArray[np.bool_]
    """(documents,) whether it has a near-copy."""


def cluster(documents: int, pairs: Iterable[npt.NDArray[np.void]]) -> Clusters:
    """The decisions, from verified pairs in the order of their better documents."""
    best, similarity = np.arange(documents), np.ones(documents)
    parent, is_paired = np.arange(documents), np.zeros(documents, bool)
    for group in pairs:
        better, worse = np.ascontiguousarray(group["better"]), np.ascontiguousarray(group["worse"])
        _follow(better, worse, np.ascontiguousarray(group["jaccard"]), best, similarity, parent)
        is_paired[better] = is_paired[worse] = True
    _flatten(parent)
    return Clusters(best, similarity, parent, is_paired)


@compiled
def _follow(
    better: Ranks,
    worse: Ranks,
    jaccard: npt.NDArray[np.float64],
    best: Ranks,
    similarity: npt.NDArray[np.float64],
    parent: Ranks,
) -> None:
    for pair in range(len(better)):
        one, other = better[pair], worse[pair]
        if best[one] == one and best[other] == other:  # pairs of what is better than `one` have all passed
            best[other], similarity[other] = one, jaccard[pair]
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        while parent[other] != other:
            parent[other] = parent[parent[other]]
            other = parent[other]
        parent[max(one, other)] = min(one, other)


@compiled
def _flatten(parent: Ranks) -> None:
    for document in range(len(parent)):  # a parent is better than its child, so it is flat already
        parent[document] = parent[parent[document]]
