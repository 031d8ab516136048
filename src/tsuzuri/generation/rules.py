"""What the pieces of a vocabulary mean to a reader and writer of text. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tsuzuri.core.errors import InputError, IntegrityError


class TextTokenizer(Protocol):
    """What generation asks of a tokenizer; `tokenizer.codec.Tokenizer` is one."""

    @property
    def eos_id(self) -> int:
        """The piece that closes a text."""

    @property
    def pieces(self) -> list[bytes]:
        """The bytes of every id; none for a special piece."""

    @property
    def sha256(self) -> str:
        """Of its `tokenizer.json`: what token shards are compared with."""

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, nothing added."""


@dataclass(frozen=True)
class TokenRules:
    """Which pieces open and close texts, and which are not text at all."""

    start: int
    """The piece that stands before a text whose tokens are scored."""
    opening: tuple[int, ...]
    """What stands before a prompt: the start, or nothing where the folder asks for nothing."""
    ends: tuple[int, ...]
    """Pieces that close a text."""
    unwritable: tuple[int, ...]
    """Other ids that stand for no text, and rows of the model that are no piece: never drawn."""


def token_rules(tokenizer: TextTokenizer, vocab_size: int, folder: Path | None = None) -> TokenRules:
    """The rules of a tokenizer and a model of `vocab_size` rows, and of what their folder's JSON files say.

    The start is config.json's `bos_token_id`, else the closing piece, as in our own models. Prompts are
    opened with it unless tokenizer_config.json has `add_bos_token: false`. The ends are
    generation_config.json's `eos_token_id`, else config.json's. InputError where one of them is no id.
    """
    pieces = tokenizer.pieces
    if len(pieces) > vocab_size:
        raise IntegrityError(
            f"the tokenizer has {len(pieces):,} pieces, the model only {vocab_size:,} rows",
            hint="take the tokenizer.json that the model was trained with",
        )
    config, generation, tokenizer_config = (
        read_values(folder, name)
        for name in ("config.json", "generation_config.json", "tokenizer_config.json")
    )
    ends = generation.get("eos_token_id", config.get("eos_token_id"))
    ends = (tokenizer.eos_id,) if ends is None else tuple(ends) if isinstance(ends, list) else (ends,)
    start = config.get("bos_token_id")
    start = tokenizer.eos_id if start is None else start
    for name, given in (("bos_token_id", (start,)), ("eos_token_id", ends)):
        wrong = [value for value in given if type(value) is not int or not 0 <= value < vocab_size]
        if wrong:
            raise InputError(
                f"{folder}: {name} {wrong[0]!r} is no id of the model, which has 0 to {vocab_size - 1:,}",
                hint="correct config.json or generation_config.json",
            )
    without_text = [index for index in range(vocab_size) if index >= len(pieces) or not pieces[index]]
    return TokenRules(
        start=start,
        opening=() if tokenizer_config.get("add_bos_token") is False else (start,),
        ends=ends,
        unwritable=tuple(index for index in without_text if index not in ends),
    )


def read_values(folder: Path | None, name: str) -> dict[str, Any]:
    """The object in a JSON file of the folder; none where there is no such file."""
    if folder is None or not (folder / name).exists():
        return {}
    try:
        values = json.loads((folder / name).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{folder / name} is damaged", hint="copy it again from its source") from error
    if not isinstance(values, dict):
        raise IntegrityError(f"{folder / name} holds a {type(values).__name__}, not an object")
    return values
