"""What a tokenizer is made by: its form, the boundaries of its pieces, how much text it learns from."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from tsuzuri.core.config import Config

END_OF_TEXT = "<|endoftext|>"
SPECIAL_PIECES = (END_OF_TEXT, "<|im_start|>", "<|im_end|>", "<|sep|>", "<|mask|>")
"""The first ids of every vocabulary, whatever its size; no text is ever read as one of them."""
BYTES = 256
SMALLEST_VOCABULARY = 512


class Form(StrEnum):
    """How a character that has no piece of its own is written, and which split comes before the merges."""

    BYTE = "byte"
    """Byte-level BPE under Qwen2's split pattern; every byte string has ids."""
    CHARACTER = "character"
    """BPE over characters without a split; a character outside the vocabulary is written as UTF-8 bytes."""


class Boundary(StrEnum):
    """What a piece does not cross, numbers and ends of lines aside (which are always pieces of their own)."""

    NONE = "none"
    SCRIPT = "script"
    """A change between hiragana, katakana, kanji and the rest: in no text whatever, for this is a rule of the
    pieces themselves."""
    SCRIPT_AND_PIECES = "script+pieces"
    """Also the edge of a piece that a Unigram model of the same text would choose: none is learnt across one.

    That binds what is learnt, not what is read: a piece that is common by itself (肉定, where somebody is
    called so) may stand across an edge elsewhere (焼肉定食). Merges that never cross an edge of the text that
    they are learnt from are too few: on Aozora Bunko, at 8,192 pieces, 1.06 characters a token, where these
    have 1.48 (1.28 if a twentieth of a merge's places may lie across edges, 1.46 if half of them may).
    """


class TokenizerConfig(Config):
    """How to train a tokenizer."""

    vocab_size: int = Field(default=32_000, ge=SMALLEST_VOCABULARY, le=1_000_000)
    """Ids, special pieces and the 256 bytes included."""
    form: Form = Form.CHARACTER
    """`byte` or `character`."""
    boundary: Boundary = Boundary.SCRIPT_AND_PIECES
    """`none`, `script` or `script+pieces`: the last teaches a model most for its computation, as far as was
    tried (6M tokens); `none` packs most text into a token."""
    longest_piece: int = Field(default=16, ge=1, le=128)
    """Characters."""
    train_characters: int = Field(default=10_000_000, ge=1)
    """The most text to learn from, in characters: documents are taken in the order of a hash of their ids."""
