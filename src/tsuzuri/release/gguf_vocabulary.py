"""A tokenizer.json as llama.cpp's GGUF keeps one, with the same id for every piece; and back to bytes.

Byte-level BPE goes over as it is: model `gpt2` under the split of Qwen2, lossless on every text. BPE over
characters with byte fallback goes over as the kind that Gemma 4 brought (model `gemma4`, llama.cpp of April
2026 and later): the same merges by rank over characters, bytes named <0xNN>, no split but at the ends of
lines, which no piece of ours crosses. It writes a space as U+2581, so that a U+2581 of the text itself comes
back as a space. llama.cpp's older SentencePiece kind joins any two neighbours whose sum is a piece, by the
piece's score and not by the merge's rank: other ids for the same text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tsuzuri.core.boxes import TOKENIZER_FILE
from tsuzuri.core.errors import InputError
from tsuzuri.tokenizer.codec import Tokenizer
from tsuzuri.tokenizer.hf_format import QWEN2_PATTERN, byte_letters, fallback_piece
from tsuzuri.tokenizer.pieces import SPACE_LETTER

NORMAL, CONTROL, UNUSED, BYTE = 1, 3, 5, 6
"""Kinds of tokens, as GGUF numbers them."""
_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class Vocabulary:
    """What stands under `tokenizer.ggml`."""

    model: Literal["gpt2", "gemma4"]
    split: str
    """The name that llama.cpp has for the split before the merges."""
    tokens: list[str]
    """By id; rows of the model beyond the tokenizer's pieces are there too."""
    kinds: list[int]
    merges: list[str]


def gguf_vocabulary(folder: Path, rows: int) -> Vocabulary:
    """The vocabulary of the tokenizer in `folder`, for a model whose embedding has that many rows.

    InputError for a tokenizer of neither of our forms.
    """
    codec = Tokenizer.load(folder)
    description = json.loads((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))
    model = description["model"]
    names = {index: name for name, index in model["vocab"].items()}
    names |= {token["id"]: token["content"] for token in description.get("added_tokens", [])}
    is_byte_level = _require_known(description, folder)
    if not is_byte_level and " " not in model["vocab"]:
        names[model["vocab"][fallback_piece(0x20)]] = " "  # it is this byte that a text's spaces are
    tokens, kinds = [], []
    for index in range(rows):
        piece = codec.pieces[index] if index < len(codec.pieces) else b""
        name = names.get(index, f"<|unused {index}|>")
        token, kind = (name, NORMAL) if is_byte_level else _spaced(name)
        if not piece:
            token, kind = name, CONTROL if index in names else UNUSED
        tokens.append(token)
        kinds.append(kind)
    pairs = [pair.split(" ", 1) if isinstance(pair, str) else pair for pair in model["merges"]]
    if not is_byte_level:
        pairs = [[_spaced(part)[0] for part in pair] for pair in pairs if SPACE_LETTER not in "".join(pair)]
    merges = [f"{left} {right}" for left, right in pairs]
    if is_byte_level:
        return Vocabulary("gpt2", "qwen2", tokens, kinds, merges)
    return Vocabulary("gemma4", "gemma4", tokens, kinds, merges)


def piece_bytes_of(model: str, tokens: Sequence[str], kinds: Sequence[int]) -> list[bytes]:
    """The bytes that each id of a GGUF file stands for; none for what is no text."""
    to_byte = {letter: byte for byte, letter in byte_letters().items()}
    pieces = []
    for token, kind in zip(tokens, kinds, strict=True):
        if kind in (CONTROL, UNUSED):
            pieces.append(_bytes_named(token) if kind == UNUSED else b"")
        elif model == "gpt2":
            pieces.append(bytes(to_byte[letter] for letter in token))
        elif kind == BYTE:
            pieces.append(_bytes_named(token))
        else:
            pieces.append(token.replace(SPACE_LETTER, " ").encode())
    return pieces


def _spaced(name: str) -> tuple[str, int]:
    """The token and kind of a piece of the character form."""
    if _FALLBACK.fullmatch(name):
        return name, BYTE
    if SPACE_LETTER in name:  # nothing of a text is read as it: its letter is taken for a space
        return "".join(f"<0x{byte:02X}>" for byte in name.encode()), UNUSED
    return name.replace(" ", SPACE_LETTER), NORMAL


def _bytes_named(token: str) -> bytes:
    """What <0xNN>… spells; nothing where it is another name."""
    return bytes(int(byte, 16) for byte in _FALLBACK.findall(token))


def _require_known(description: Mapping[str, Any], folder: Path) -> bool:
    """Whether it is byte-level; InputError where it is neither form."""
    before, model = description.get("pre_tokenizer"), description["model"]
    if description.get("normalizer") is None and model.get("type") == "BPE":
        if before is None and model.get("byte_fallback"):
            return False
        parts = (before or {}).get("pretokenizers", [])
        patterns = [part["pattern"].get("Regex") for part in parts if part.get("type") == "Split"]
        if patterns == [QWEN2_PATTERN] and parts[-1].get("type") == "ByteLevel":
            return True
    raise InputError(
        f"{folder}: llama.cpp has no name for the way in which its tokenizer splits a text",
        hint="convert a model whose tokenizer `tsuzuri tokenizer train` made, in either form",
    )
