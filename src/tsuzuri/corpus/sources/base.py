"""What every kind of source is: it lists its batches of work, reads one, and says by a hash whether its
input changed.

A batch is read alone and in order, so any executor may run batches side by side or take them up again after
a kill.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tsuzuri.corpus.document import Document
from tsuzuri.corpus.sources.config import AnySource


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something found in a source that gives no document; it is counted under its reason and stops
    nothing."""

    id: str
    reason: str
    documents: int = 1
    """How many things alike this stands for."""


Batch = TypeVar("Batch")


class Source(Protocol[Batch]):
    """One place that text comes from; what a batch is, is the source's own affair."""

    name: str
    """The label that its documents are counted under."""

    @property
    def config(self) -> AnySource:
        """How it was set up."""
        ...

    def fingerprint(self) -> str:
        """A hash of what is there to be read: the names and contents of its files."""
        ...

    def batches(self) -> Sequence[Batch]:
        """The source's work in bounded pieces, in a stable order; InputError when there is nothing to
        read."""
        ...

    def read(self, batch: Batch) -> Iterator[Document | Unreadable]:
        """The documents of one batch in their order, their text decoded and extracted but not yet
        normalised."""
        ...
