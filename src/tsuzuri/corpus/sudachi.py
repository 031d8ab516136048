"""The words of a text by Sudachi (the extra `segment`), mode A: the shortest."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

from tsuzuri.core.errors import MissingExtraError

CHUNK_BYTES = 40_000  # Sudachi takes 49,149 bytes at a time; FineWeb-2 cuts at this size

_local = threading.local()


def morphemes(text: str) -> Iterator[tuple[int, Any]]:
    """(where the part of the text that it was found in begins, a morpheme of Sudachi); MissingExtraError
    without the extra."""
    tokenizer, mode = _tokenizer()
    for offset, chunk in _chunks(text):
        for morpheme in tokenizer.tokenize(chunk, mode):
            yield offset, morpheme


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """(where it starts, a part of at most CHUNK_BYTES), cut after a newline where there is one."""
    start, longest = 0, CHUNK_BYTES // 4
    while start < len(text):
        end = min(len(text), start + longest)
        if end < len(text):
            end = text.rfind("\n", start, end) + 1 or end
        yield start, text[start:end]
        start = end


def _tokenizer() -> tuple[Any, Any]:
    """A tokenizer of this thread (Sudachi's may not be shared) and its mode."""
    dictionary, mode = _dictionary()
    if not hasattr(_local, "tokenizer"):
        _local.tokenizer = dictionary.tokenizer()
    return _local.tokenizer, mode


@cache
def _dictionary() -> tuple[Any, Any]:
    try:
        from sudachipy import Dictionary, SplitMode
    except ImportError as error:
        raise MissingExtraError("sudachipy", "segment") from error
    try:
        return Dictionary(dict="core"), SplitMode.A
    except ModuleNotFoundError as error:
        raise MissingExtraError("sudachidict_core", "segment") from error
