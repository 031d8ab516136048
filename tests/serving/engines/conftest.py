"""Engines of small random models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.generation.conftest import ByteTokenizer, random_model

from tsuzuri.generation.rules import TokenRules, token_rules
from tsuzuri.model.gpt import GPT
from tsuzuri.serving.engines.ours.accelerator import AcceleratorDecoder
from tsuzuri.serving.engines.ours.batching import Decoder
from tsuzuri.serving.engines.ours.cpu import CpuDecoder
from tsuzuri.serving.engines.ours.engine import OurEngine

SLOTS = 4


@pytest.fixture(scope="session")
def rules() -> TokenRules:
    return token_rules(ByteTokenizer(), 260)


@pytest.fixture(scope="session", params=["qwen3", "llama", "gpt2"])
def model(request: pytest.FixtureRequest) -> GPT:
    return random_model(request.param)


@pytest.fixture(scope="session", params=["cpu", "accelerator"])
def decoder(request: pytest.FixtureRequest, model: GPT) -> Decoder:
    """Both ways to compute, in float32; torch's operators on a CPU stand in for an accelerator's."""
    if request.param == "cpu":
        return CpuDecoder(model, precision="float32", slots=SLOTS)
    return AcceleratorDecoder(model, slots=SLOTS)


@pytest.fixture
def engine(decoder: Decoder, rules: TokenRules) -> Iterator[OurEngine]:
    engine = OurEngine(lambda: decoder, rules, slots=SLOTS, queue=8, chunk_tokens=16)
    yield engine
    engine.close()
