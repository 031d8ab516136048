"""What was learnt, written as `tokenizer.json` and `tokenizer_config.json` for Hugging Face's libraries.

Special pieces stand in the vocabulary and not among the `added_tokens`: no merge leads to them, so
`tokenizers` cannot read one out of a text. Transformers adds them to its own list when it loads the folder,
and `split_special_tokens` tells it to read text as text too. They come first, so that their ids are the same
at every size of vocabulary; the 256 bytes follow.
"""

from __future__ import annotations

import json
from typing import Any

from tsuzuri.tokenizer.config import BYTES, END_OF_TEXT, SPECIAL_PIECES, Form
from tsuzuri.tokenizer.merges import Learned, byte_prefixes

QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The split of Qwen2's tokenizer, which the common engines know by name (numbers digit by digit)."""


def byte_letters() -> dict[int, str]:
    """The letter by which byte-level BPE writes each byte: printable Latin-1 itself, the rest from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(BYTES) if byte not in printable]
    return {
        **{byte: chr(byte) for byte in printable},
        **{byte: chr(0x100 + n) for n, byte in enumerate(others)},
    }


def fallback_piece(byte: int) -> str:
    """The name of a byte's piece where characters fall back to bytes."""
    return f"<0x{byte:02X}>"


def tokenizer_json(learned: Learned, form: Form) -> str:
    """The text of `tokenizer.json`."""
    pieces, merges = _byte_level(learned) if form is Form.BYTE else _character_level(learned)
    vocabulary = [*SPECIAL_PIECES, *pieces]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": QWEN2_PATTERN}, "behavior": "Isolated", "invert": False}
    fallback = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}
    whole: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]}
        if form is Form.BYTE
        else None,
        "post_processor": None,
        "decoder": byte_level if form is Form.BYTE else fallback,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": form is Form.CHARACTER,
            "ignore_merges": False,
            "vocab": {piece: index for index, piece in enumerate(vocabulary)},
            "merges": [list(pair) for pair in merges],
        },
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def tokenizer_config_json() -> str:
    """The text of `tokenizer_config.json`."""
    whole = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "sep_token": "<|sep|>",
        "mask_token": "<|mask|>",
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
        "add_prefix_space": False,
        "model_max_length": 1_000_000_000_000,
    }
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def _character_level(learned: Learned) -> tuple[list[str], list[tuple[str, str]]]:
    return [*map(fallback_piece, range(BYTES)), *learned.pieces], learned.merges


def _byte_level(learned: Learned) -> tuple[list[str], list[tuple[str, str]]]:
    letters = byte_letters()

    def written(text: bytes) -> str:
        return "".join(letters[byte] for byte in text)

    prefixes = dict.fromkeys(
        prefix for character in learned.characters for prefix in byte_prefixes(character)
    )
    # Characters first: a lead byte is followed by its own continuation, so no character's merge reaches
    # another, and what follows merges whole characters as it was learnt.
    merges = [(written(prefix[:-1]), written(prefix[-1:])) for prefix in prefixes]
    merges += [(written(left.encode()), written(right.encode())) for left, right in learned.merges]
    pieces = [letters[byte] for byte in range(BYTES)]
    return list(dict.fromkeys([*pieces, *(left + right for left, right in merges)])), merges
