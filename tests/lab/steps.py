"""The step that several tests plan for."""

from __future__ import annotations

from tsuzuri.lab.devices import DEVICES
from tsuzuri.lab.step import Step
from tsuzuri.model.ladder import model_config
from tsuzuri.training.memory import RECIPES

ON_P4D = Step(
    model=model_config("gpt3-1.3b", vocab_size=32_000),
    recipe=RECIPES["adamw"],
    device=DEVICES["p4d.24xlarge"],
    precision="bfloat16",
    batch_tokens=1_048_576,
    length=2048,
)
"""1.3B parameters with AdamW on eight A100 cards of 40 GB."""
