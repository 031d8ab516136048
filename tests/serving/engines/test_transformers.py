"""Greedy output of a float32 model is Transformers', token by token."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.serving.engines.test_ours import ids, prompt_of, request, whole

from tsuzuri.generation.rules import TokenRules
from tsuzuri.model.gpt import GPT
from tsuzuri.model.hf import save_model
from tsuzuri.serving.engines.ours.config import EngineConfig
from tsuzuri.serving.engines.ours.opening import engine_of

transformers = pytest.importorskip("transformers")


def test_greedy_output_is_that_of_transformers(model: GPT, tmp_path: Path) -> None:
    save_model(model, tmp_path, eos_id=0)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    rules = TokenRules(start=0, opening=(0,), ends=(0,), unwritable=())
    engine = engine_of(
        lambda: model, model.config, rules, EngineConfig(device="cpu", precision="float32", slots=3)
    )
    greedy = {"max_new_tokens": 30, "min_new_tokens": 30, "temperature": 0, "repetition_penalty": 1.0}
    prompts = [prompt_of(length, length) for length in (1, 7, 30)]
    running = [engine.submit(request(prompt, **greedy)) for prompt in prompts]
    for prompt, generation in zip(prompts, running, strict=True):
        given = torch.tensor([[0, *prompt]])
        with torch.inference_mode():
            out = theirs.generate(
                given,
                attention_mask=torch.ones_like(given),
                do_sample=False,
                max_new_tokens=30,
                min_new_tokens=30,
                pad_token_id=0,
            )
        assert ids(whole(generation)) == out[0, given.shape[1] :].tolist()
    engine.close()
