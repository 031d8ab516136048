"""What the mock engine needs of a release, and no weights."""

from __future__ import annotations

from pathlib import Path

from tsuzuri.core.files import write_json, write_text
from tsuzuri.tokenizer.config import TokenizerConfig
from tsuzuri.tokenizer.train import learn_tokenizer

VOCABULARY = 512
TEXTS = [
    f"{chr(0x3042 + n % 80)}{chr(0x4E00 + n)}が{chr(0x3042 + n % 37)}{chr(0x5000 + n)}。" for n in range(300)
] * 2
"""Of many characters: a vocabulary needs some."""


def write_release(folder: Path, name: str, *, context: int = 256) -> Path:
    """Its folder, of a revision of its own."""
    description, settings = learn_tokenizer(TEXTS, TokenizerConfig(vocab_size=VOCABULARY, boundary="none"))
    write_text(folder / name / "tokenizer.json", description)
    write_text(folder / name / "tokenizer_config.json", settings)
    shape = {
        "vocab_size": VOCABULARY,
        "max_position_embeddings": context,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    write_json(folder / name / "config.json", {**shape, "made_for": name})
    return folder / name
