"""Held-out bits against what each document costs when it is read alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from tsuzuri.core.errors import InputError
from tsuzuri.core.manifest import make_box
from tsuzuri.data.box import PIECES, SPLITS, Pieces, TokenBox, shard_stem
from tsuzuri.data.shards import shard_writer, token_dtype
from tsuzuri.evaluate.bits import heldout_bits
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT

VOCABULARY = 259
HELDOUT = {
    "aozora": ["むかし、むかし、", "あるところに" * 12, "お", "じいさんと"],
    "wikipedia": ["綴り（つづり）とは、"],
    "empty": [],
}


def ids(text: str) -> list[int]:
    """A piece a byte, after the closing piece 0 and two others; then the closing piece."""
    return [byte + 3 for byte in text.encode()] + [0]


def token_box(path: Path, heldout: Mapping[str, list[str]]) -> TokenBox:
    def work() -> dict[str, object]:
        for split in SPLITS:
            for source, texts in heldout.items():
                with shard_writer(shard_stem(path, split, source), token_dtype(VOCABULARY)) as add:
                    for text in texts:
                        add(np.array(ids(text)), np.array([len(ids(text))]))
        Pieces.of([b"", b"", b"", *(bytes([byte]) for byte in range(256))], eos_id=0).write(path / PIECES)
        return {"sources": {source: {} for source in heldout}, "tokenizer_sha256": "ab" * 32}

    make_box(path, kind="tokens", config={}, inputs={}, work=work)
    return TokenBox.open(path)


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest) -> GPT:
    config = ModelConfig(
        model_type=request.param,
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        head_dim=8,
        max_position_embeddings=48,
        initializer_range=0.3,
    )
    return GPT(config, torch.Generator().manual_seed(1))


@torch.inference_mode()
def bits_alone(model: GPT, text: str, length: int) -> float:
    """The bits of one document in spans of `length` tokens, each predicted from its own span alone."""
    tokens = torch.tensor([0, *ids(text)])
    bits = 0.0
    for start in range(0, len(tokens) - 1, length):
        span = tokens[start : start + length + 1]
        predicted = model.logits(model(span[None, :-1]))[0].double().log_softmax(-1)
        bits -= float(predicted.gather(1, span[1:, None]).sum()) / math.log(2)
    return bits


@pytest.mark.parametrize(("length", "batch_rows"), [(0, 8), (48, 1), (20, 3)])
def test_bits_are_the_sum_over_documents_read_alone(
    model: GPT, tmp_path: Path, length: int, batch_rows: int
) -> None:
    box = token_box(tmp_path, HELDOUT)
    found = heldout_bits(model, box, max_tokens=10_000, length=length, batch_rows=batch_rows)
    assert list(found) == ["aozora", "wikipedia", "all"]
    everything = [text for texts in HELDOUT.values() for text in texts]
    for source, texts in {**HELDOUT, "all": everything}.items():
        if texts:
            bits = sum(bits_alone(model, text, length or 48) for text in texts)
            size = sum(len(text.encode()) for text in texts)
            assert found[source]["bits_per_byte"] == pytest.approx(bits / size, rel=1e-5)
            assert found[source]["bits_per_character"] == pytest.approx(bits / len("".join(texts)), rel=1e-5)
            assert found[source]["tokens"] == size + len(texts)
            assert found[source]["bytes"] == size
            assert found[source]["characters"] == len("".join(texts))


def test_a_model_that_knows_nothing_needs_the_logarithm_of_its_vocabulary(model: GPT, tmp_path: Path) -> None:
    blank = GPT(model.config)
    with torch.no_grad():
        blank.embed_tokens.weight.zero_()
    found = heldout_bits(blank, token_box(tmp_path, {"aozora": ["つづり"]}), max_tokens=10_000)
    assert found["all"]["bits_per_byte"] == pytest.approx(math.log2(VOCABULARY) * 10 / 9)


def test_the_limit_counts_tokens_of_each_source(model: GPT, tmp_path: Path) -> None:
    found = heldout_bits(model, token_box(tmp_path, HELDOUT), max_tokens=20)
    assert [found[source]["tokens"] for source in ("aozora", "wikipedia", "all")] == [20, 20, 40]


def test_a_box_without_held_out_documents_is_an_error(model: GPT, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no held-out documents"):
        heldout_bits(model, token_box(tmp_path, {"aozora": []}), max_tokens=100)
