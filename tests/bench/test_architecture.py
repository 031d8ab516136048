"""What the bench of architectures compares, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest

from architecture import DEFAULT, best_rates, comparisons, table, train_config, variants
from tsuzuri.model.ladder import LADDER, model_config


def test_variants_have_about_as_many_parameters() -> None:
    shapes = {
        name: model_config("15m", vocab_size=8192, overrides=overrides)
        for name, overrides in variants("15m").items()
    }
    default = shapes[DEFAULT]
    for name, shape in shapes.items():
        more = 8192 * shape.hidden_size if name == "untied" else 0
        assert shape.num_parameters - more == pytest.approx(default.num_parameters, rel=0.1), name
    assert shapes["deep"].num_hidden_layers == 2 * default.num_hidden_layers
    assert shapes["wide"].num_hidden_layers == default.num_hidden_layers // 2
    for name in ("gelu", "relu2"):
        assert shapes[name].num_parameters == shapes["llama"].num_parameters


@pytest.mark.parametrize("size", LADDER)
def test_every_size_has_its_variants(size: str) -> None:
    for overrides in variants(size).values() if LADDER[size].family == "modern" else ():
        assert model_config(size, vocab_size=8192, overrides=overrides).num_parameters


def test_a_run_of_few_steps_has_a_warm_up_that_fits() -> None:
    assert train_config("15m", 5, 0.01).schedule.warmup_steps == 1
    assert train_config("15m", 1000, 0.01).schedule.warmup_steps == 20


def result(variant: str, rate: float, seed: int, bits: float) -> dict[str, Any]:
    return {
        "variant": variant,
        "parameters": 1000,
        "learning_rate": rate,
        "seed": seed,
        "steps": 10,
        "tokens": 40,
        "tokens_per_s": 4.0,
        "bits_per_character": bits,
    }


def test_each_variant_stands_at_its_best_learning_rate() -> None:
    results = [
        result(DEFAULT, 0.1, 1, 4.0),
        result(DEFAULT, 0.1, 2, 6.0),
        result(DEFAULT, 0.2, 1, 4.5),
        result(DEFAULT, 0.2, 2, 4.5),
        result("relu2", 0.1, 1, 4.4),
        result("relu2", 0.1, 2, 4.2),
    ]
    assert {name: runs[0]["learning_rate"] for name, runs in best_rates(results).items()} == {
        DEFAULT: 0.2,
        "relu2": 0.1,
    }
    (comparison,) = comparisons(results)
    assert (comparison.ours, comparison.peer) == (4.5, pytest.approx(4.3))
    assert comparison.ratio == pytest.approx(4.3 / 4.5)
    _, first, second = table(results)
    assert first.startswith("relu2")
    assert "-4.44%" in first
    assert "+0.00%" in second
