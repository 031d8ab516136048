"""The exact bytes of every id of a `tokenizer.json`: bytes and characters per token need no estimate.

(Decoding an id alone gives U+FFFD for a piece that is part of a character: nanochat counted three bytes for
each of them until its #693.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tsuzuri.core.errors import InputError
from tsuzuri.tokenizer.config import SPECIAL_PIECES
from tsuzuri.tokenizer.hf_format import byte_letters

SPACE_LETTER = "\u2581"
_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")


def piece_bytes(
    description: Mapping[str, Any], vocabulary: Mapping[str, int], special: set[str]
) -> list[bytes]:
    """The bytes of each id, b"" for special pieces; InputError for a tokenizer that cannot write every text.

    `description` is the parsed `tokenizer.json`, `vocabulary` every piece with its id, added ones included.
    """
    kinds = set(_types(description.get("decoder"))) | set(_types(description.get("pre_tokenizer")))
    added = {token["content"] for token in description.get("added_tokens", [])}
    pieces = [b""] * (max(vocabulary.values(), default=-1) + 1)
    if "ByteLevel" in kinds:
        to_byte = {letter: byte for byte, letter in byte_letters().items()}
        for piece, index in vocabulary.items():
            if piece not in special:
                # A piece with other letters stands for itself, as in the library's own decoder.
                spelt = piece in added or not to_byte.keys() >= set(piece)
                pieces[index] = piece.encode() if spelt else bytes(to_byte[letter] for letter in piece)
        return pieces
    if not description["model"].get("byte_fallback"):
        raise InputError(
            f"its pieces are those of a {description['model'].get('type', 'unknown')} model without bytes: "
            "it cannot write every text",
            hint="give a tokenizer.json of byte-level BPE, or of BPE or Unigram with byte fallback",
        )
    spaced = "Metaspace" in kinds or SPACE_LETTER in _patterns(description.get("decoder"))
    for piece, index in vocabulary.items():
        if piece in special:
            continue
        byte = _FALLBACK.fullmatch(piece)
        text = piece.replace(SPACE_LETTER, " ") if spaced and piece not in added else piece
        pieces[index] = bytes([int(byte[1], 16)]) if byte else text.encode()
    return pieces


def special_pieces(description: Mapping[str, Any], settings: Mapping[str, Any]) -> set[str]:
    """The pieces that stand for no text: marked so in `tokenizer.json`, named in its settings, or ours."""
    marked = {token["content"] for token in description.get("added_tokens", []) if token.get("special")}
    named: set[str] = set()
    for key, value in settings.items():
        if key.endswith("_token"):
            named |= _contents(value)
        elif key in ("additional_special_tokens", "extra_special_tokens"):
            named |= {content for item in _values(value) for content in _contents(item)}
    return marked | named | set(SPECIAL_PIECES)


def _contents(value: Any) -> set[str]:
    content = value.get("content") if isinstance(value, Mapping) else value
    return {content} if isinstance(content, str) else set()


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, Mapping) else list(value or [])


def _types(part: Any) -> Iterator[str]:
    """The types of a decoder or pre-tokenizer and of all that it is made of."""
    if isinstance(part, Mapping):
        yield part.get("type", "")
        for inner in (*part.get("decoders", []), *part.get("pretokenizers", [])):
            yield from _types(inner)


def _patterns(part: Any) -> set[str]:
    """What a decoder replaces."""
    if not isinstance(part, Mapping):
        return set()
    own = {part["pattern"].get("String", "")} if part.get("type") == "Replace" else set()
    return own.union(*(_patterns(inner) for inner in part.get("decoders", [])))
