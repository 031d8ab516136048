"""What generation_config.json asks for, read and written."""

from __future__ import annotations

from typing import Any

import pytest
import transformers

from tsuzuri.core.config import parse_config
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.generation.defaults import generation_values, sampling_of


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingConfig(),
        SamplingConfig(temperature=0, min_p=0.0, no_repeat_ngram=4, repetition_penalty=1.2),
        SamplingConfig(temperature=0.7, top_k=9, top_p=0.8, min_p=0.0),
        SamplingConfig(max_new_tokens=9, min_new_tokens=3, stop=("。", "終")),
    ],
)
def test_what_a_release_writes_is_read_as_it_was(sampling: SamplingConfig) -> None:
    found = parse_config(SamplingConfig, sampling_of(generation_values(sampling)), where="test")
    if sampling.temperature == 0:  # nothing is drawn, so that the rules of the draw do not matter
        sampling = sampling.model_copy(update={"min_p": SamplingConfig().min_p})
    assert found == sampling


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"bos_token_id": 1, "eos_token_id": 2, "transformers_version": "4.0"}, {}),
        (
            {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "min_p": None},
            {"temperature": 0.6, "top_p": 0.9, "top_k": 50, "min_p": 0.0, "repetition_penalty": 1.0},
        ),
        ({"do_sample": False, "temperature": 0.6}, {"temperature": 0.0, "repetition_penalty": 1.0}),
        ({"temperature": 0.6, "stop_strings": "終"}, {"temperature": 0.6, "stop": ["終"]}),
    ],
)
def test_what_others_write(values: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sampling_of(values) == expected


def test_transformers_reads_what_a_release_writes() -> None:
    sampling = SamplingConfig(
        top_k=7, top_p=0.9, min_p=0.1, min_new_tokens=2, stop=("終",), no_repeat_ngram=3
    )
    theirs = transformers.GenerationConfig(**generation_values(sampling))
    assert (theirs.do_sample, theirs.top_k, theirs.top_p, theirs.min_p) == (True, 7, 0.9, 0.1)
    assert (theirs.min_new_tokens, theirs.stop_strings, theirs.no_repeat_ngram_size) == (2, ["終"], 3)
