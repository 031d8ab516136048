"""The tokenizers that ours are measured against.

Each is trained on our sample with our vocabulary, longest piece and rule that numbers go digit by digit; one
more shows what joining digits would give.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers

from _report import is_installed
from tsuzuri.tokenizer.compare import SentencePiece
from tsuzuri.tokenizer.config import TokenizerConfig
from tsuzuri.tokenizer.hf_format import QWEN2_PATTERN

SHARED = Path(__file__).parents[2] / "shared" / "data"
GPT4_PATTERN = QWEN2_PATTERN.replace(r"\s*[\r\n]+", r"\s*[\r\n]")
"""GPT-4's split with numbers digit by digit (its own takes three digits at a time)."""
BYTES_PER_CHARACTER = 3
DIGITS_JOINED = "SentencePiece BPE, digits joined"
SENTENCEPIECES = {
    "SentencePiece BPE": {"model_type": "bpe"},
    "SentencePiece Unigram": {"model_type": "unigram"},
    DIGITS_JOINED: {"model_type": "bpe", "split_digits": False},
}
BYTE_LEVEL = "Hugging Face byte-level BPE, GPT-4's split"
Makers = dict[str, Callable[[], Any]]
"""name → how to load that tokenizer afresh."""


def peers(config: TokenizerConfig, texts: Sequence[str], folder: Path) -> Makers:
    """Every peer that is installed, trained on the texts (or found in the folder), and how to load each."""
    folder.mkdir(parents=True, exist_ok=True)
    makers: Makers = {}
    for name, settings in SENTENCEPIECES.items():
        file = folder / f"{name}.model"
        if not file.exists():
            train_sentencepiece(config, texts, file, settings)
        makers[name] = lambda file=file: SentencePiece(file)
    file = folder / "byte-level.json"
    if not file.exists():
        train_byte_level(config, texts, file)
    makers[BYTE_LEVEL] = lambda: ByteLevel(file)
    if (SHARED / "seed-encoder").exists() and is_installed("jaconv"):
        makers["gpt2-japanese (20,573)"] = SeedEncoder
    return makers


def train_sentencepiece(
    config: TokenizerConfig, texts: Sequence[str], file: Path, settings: dict[str, Any]
) -> None:
    """A SentencePiece model of the texts' lines, lossless and free to cross scripts."""
    common = {
        "vocab_size": config.vocab_size,
        "max_sentencepiece_length": config.longest_piece,
        "byte_fallback": True,
        "split_by_unicode_script": False,
        "split_digits": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "max_sentence_length": 1_000_000,
        "minloglevel": 2,
    }
    lines = (line for text in texts for line in text.split("\n"))
    with open(file, "wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines, model_writer=model, **{**common, **settings}
        )


def train_byte_level(config: TokenizerConfig, texts: Sequence[str], file: Path) -> None:
    """Hugging Face's byte-level BPE of the texts."""
    pre, trainers = tokenizers.pre_tokenizers, tokenizers.trainers
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    split = pre.Split(tokenizers.Regex(GPT4_PATTERN), "isolated")
    model.pre_tokenizer = pre.Sequence([split, pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    model.decoder = tokenizers.decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        initial_alphabet=pre.ByteLevel.alphabet(),
        max_token_length=BYTES_PER_CHARACTER * config.longest_piece,
        show_progress=False,
    )
    model.train_from_iterator(texts, trainer)
    model.save(str(file))


class ByteLevel:
    """A Hugging Face tokenizer as it is, by its fastest call."""

    def __init__(self, file: Path) -> None:
        self._backend = tokenizers.Tokenizer.from_file(str(file))
        self.vocab_size = self._backend.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return self._backend.encode_batch_fast([text])[0].ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        return self._backend.decode(list(ids))


class SeedEncoder:
    """The encoder of gpt2-japanese, in its own Python."""

    def __init__(self) -> None:
        folder = SHARED / "seed-encoder"
        spec = importlib.util.spec_from_file_location("encode_bpe", folder / "encode_bpe.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        pieces = (folder / "ja-bpe.txt").read_text(encoding="utf-8").split("\n")
        emoji = json.loads((folder / "emoji.json").read_text(encoding="utf-8"))
        self._encoder = module.BPEEncoder_ja(Indexed(pieces), emoji)
        self.vocab_size = len(pieces)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return list(self._encoder.encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        return str(self._encoder.decode(list(ids)))


class Indexed(list[str]):
    """A list that finds a word by a table: the seed's own list is searched from the front for every token."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(words)
        self._places = {word: place for place, word in reversed(list(enumerate(words)))}

    def index(self, word: str, *_: Any) -> int:  # type: ignore[override]
        """Where the word first stands."""
        return self._places[word]

    def __contains__(self, word: object) -> bool:
        return word in self._places
