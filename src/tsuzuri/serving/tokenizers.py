"""Whether models can be mixed token by token: only where they mean the same by every id. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping

from tsuzuri.core.errors import InputError

SHOWN_DIGITS = 12


def check_one_tokenizer(sums: Mapping[str, str]) -> None:
    """InputError where models (name → sha256 of its tokenizer) have more than one; it names two of them."""
    if len(set(sums.values())) < 2:
        return
    (first, one), *others = sums.items()
    second, other = next(pair for pair in others if pair[1] != one)
    raise InputError(
        f"{first} and {second} can't be mixed token by token: their tokenizers are "
        f"{one[:SHOWN_DIGITS] or 'not known'} and {other[:SHOWN_DIGITS] or 'not known'}",
        hint="mix models of one tokenizer, or take mode: route or rerank, which need none",
    )
