"""How a folder's generation_config.json asks for text to be sampled, in SamplingConfig's fields. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsuzuri.generation.config import SamplingConfig

NAMES = {
    "max_new_tokens": "max_new_tokens",
    "min_new_tokens": "min_new_tokens",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
    "no_repeat_ngram_size": "no_repeat_ngram",
    "stop_strings": "stop",
}
"""Transformers' name → ours."""
DRAWN = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": 0.0}
"""What Transformers takes for a rule of the draw that a file with `do_sample` leaves out."""
ALWAYS = {"repetition_penalty": 1.0}
"""And for a rule that holds without a draw too."""


def sampling_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the values of a generation_config.json decide; the others keep our defaults.

    A file that says whether to sample decides every rule of the draw, as in Transformers.
    """
    fields = {ours: values[theirs] for theirs, ours in NAMES.items() if values.get(theirs) is not None}
    if isinstance(fields.get("stop"), str):
        fields["stop"] = [fields["stop"]]
    if values.get("do_sample") is True:
        return {**DRAWN, **ALWAYS, **fields}
    if values.get("do_sample") is False:
        kept = {name: value for name, value in fields.items() if name not in DRAWN}
        return {**ALWAYS, **kept, "temperature": 0.0}
    return fields


def generation_values(sampling: SamplingConfig) -> dict[str, Any]:
    """The same backwards, for a generation_config.json: all that a release decides for its readers."""
    values: dict[str, Any] = {
        "max_new_tokens": sampling.max_new_tokens,
        "do_sample": sampling.temperature > 0,
        "repetition_penalty": sampling.repetition_penalty,
        "no_repeat_ngram_size": sampling.no_repeat_ngram,
    }
    if sampling.temperature > 0:
        values |= {"temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p}
        values |= {"min_p": sampling.min_p} if sampling.min_p else {}
    if sampling.min_new_tokens:
        values["min_new_tokens"] = sampling.min_new_tokens
    if sampling.stop:  # Transformers' generate asks for the tokenizer beside them
        values["stop_strings"] = list(sampling.stop)
    return values
