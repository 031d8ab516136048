"""Small random models and a tokenizer of plain bytes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from tsuzuri.core.files import write_text
from tsuzuri.generation.rules import TokenRules, token_rules
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.hf import save_model
from tsuzuri.tokenizer.config import Form, TokenizerConfig
from tsuzuri.tokenizer.train import learn_tokenizer


class ByteTokenizer:
    """One piece a byte, after three special ones: the closing piece, and two that are never written."""

    eos_id = 0
    sha256 = "of no file"
    pieces = (b"", b"", b"", *(bytes([byte]) for byte in range(256)))

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text's bytes."""
        return [[byte + 3 for byte in text.encode()] for text in texts]


def random_model(model_type: str = "qwen3", *, context: int = 64, seed: int = 1, spread: float = 0.3) -> GPT:
    """A small model with weights large enough for its predictions to differ much."""
    config = ModelConfig.model_validate(
        {
            "model_type": model_type,
            "vocab_size": 260,  # one row more than the tokenizer has pieces
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 4 if model_type == "gpt2" else 2,
            "head_dim": 8,
            "max_position_embeddings": context,
            "initializer_range": spread,
        }
    )
    return GPT(config, torch.Generator().manual_seed(seed)).eval()


@pytest.fixture(scope="session")
def tokenizer() -> ByteTokenizer:
    return ByteTokenizer()


@pytest.fixture(scope="session")
def rules(tokenizer: ByteTokenizer) -> TokenRules:
    return token_rules(tokenizer, 260)


@pytest.fixture(scope="session", params=["qwen3", "llama", "gpt2"])
def model(request: pytest.FixtureRequest) -> GPT:
    return random_model(request.param)


SENTENCES = (
    "むかし、むかし、あるところに、おじいさんとおばあさんが住んでいました。",
    "おじいさんは山へ柴刈りに、おばあさんは川へ洗濯に行きました。",
    "綴りとは、文字を並べて言葉を書き表すことである。3月21日のことだった。",
)


def write_release(folder: Path, form: Form, model_type: str = "qwen3") -> Path:
    """A folder with a small random model and a tokenizer of the given form, as `release` writes them."""
    shuffled = random.Random(1)
    texts = ["".join(shuffled.sample(SENTENCES[0] + SENTENCES[1], 30)) for _ in range(100)]
    description, settings = learn_tokenizer(
        [*SENTENCES, *texts], TokenizerConfig(vocab_size=512, form=form, boundary="none")
    )
    write_text(folder / "tokenizer.json", description)
    write_text(folder / "tokenizer_config.json", settings)
    config = random_model(model_type).config.model_copy(update={"vocab_size": 512})
    save_model(GPT(config, torch.Generator().manual_seed(2)), folder, eos_id=0)
    return folder


@pytest.fixture(scope="session", params=list(Form))
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(tmp_path_factory.mktemp("release"), request.param)
