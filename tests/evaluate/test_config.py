"""The defaults of an evaluation."""

from __future__ import annotations

from tsuzuri.recipe import load_recipe


def test_setting_one_rule_of_sampling_leaves_the_number_of_samples() -> None:
    sampling = load_recipe(None, ["evaluate.sampling.temperature=0.8"]).evaluate.sampling
    assert (sampling.temperature, sampling.samples, sampling.max_new_tokens) == (0.8, 4, 256)
