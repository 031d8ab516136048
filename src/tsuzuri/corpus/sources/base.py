"""What every kind of source is: it lists its batches of work, reads one, and says by a hash whether its
input changed.

A batch is read alone and in order, so any executor may run batches side by side or take them up again after
a kill. To find the things in a batch is one step, to read each of them another: what goes wrong while one is
read costs that one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tsuzuri.core.errors import TsuzuriError
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.sources.config import AnySource

FAILED = "failed"
"""Why a document fell out over which our own code, or a library's, raised what nobody expected."""
MAX_DETAIL_CHARACTERS = 200
_QUOTED = re.compile(r"(?<!\w)['\"].*['\"](?!\w)", re.DOTALL)
_NOT_ASCII = re.compile(r"[^\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something found in a source that gives no document; it is counted under its reason and stops
    nothing."""

    id: str
    reason: str
    documents: int = 1
    """How many things alike this stands for."""
    detail: str = ""
    """What was found, and what was allowed."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something found in a source, not yet read."""

    id: str
    """Under which it is counted where it cannot be read."""
    read: Callable[[], Document | Unreadable | None]
    """What it comes to, asked for before the next item is; None where the source counts it later."""


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

    def items(self, batch: Batch) -> Iterator[Item | Unreadable]:
        """What is found in one batch, in order. The documents that come of it have their text decoded and
        extracted, but not yet normalised."""
        ...


def read(source: Source[Any], batch: Any) -> Iterator[Document | Unreadable]:
    """All that comes of one batch, in order."""
    return (found for found in map(read_item, source.items(batch)) if found is not None)


def read_item(item: Item | Unreadable) -> Document | Unreadable | None:
    """What an item comes to: FAILED where reading it raises what nobody expected."""
    if isinstance(item, Unreadable):
        return item
    try:
        return item.read()
    except Exception as error:
        if must_be_raised(error):
            raise
        return Unreadable(item.id, FAILED, detail=described(error))


def must_be_raised(error: Exception) -> bool:
    """Whether an error is for the user and ends the work: one that we have designed, or one of the operating
    system (those that libraries raise over damaged data have no number)."""
    return isinstance(error, TsuzuriError) or (isinstance(error, OSError) and error.errno is not None)


def described(error: Exception) -> str:
    """The name of an error and its message, without what that quotes: it may be somebody's text."""
    message = _QUOTED.sub("…", _NOT_ASCII.sub("…", str(error)))
    return f"{type(error).__name__}: {message}".removesuffix(": ")[:MAX_DETAIL_CHARACTERS]
