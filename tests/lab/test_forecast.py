"""The memory of a run made here is that which its plan says."""

from __future__ import annotations

from dataclasses import replace

from tsuzuri.lab.devices import DEVICES
from tsuzuri.lab.forecast import predicted_bytes
from tsuzuri.lab.memory import predict
from tsuzuri.lab.step import Step
from tsuzuri.model.ladder import model_config
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.memory import RECIPES

MODEL = model_config("gpt3-125m", vocab_size=32_000)
STEP = Step(
    model=MODEL,
    recipe=RECIPES["bf16-adamw-8bit"],
    device=DEVICES["h100"],
    precision="bfloat16",
    batch_tokens=16 * 512,
    length=512,
    rows=4,
)


def train(**values: object) -> TrainConfig:
    """A run of STEP."""
    common = {"batch_rows": 16, "micro_batch_rows": 4, "sequence_length": 512}
    optimizer = {"kind": "adamw-8bit", "weights": "bfloat16"}
    return TrainConfig.model_validate({**common, "optimizer": optimizer, **values})


def test_on_one_device_it_is_that_of_the_step() -> None:
    memory = predict(STEP)
    found = predicted_bytes(MODEL, train(), "cuda", "bfloat16", True, 1)
    assert found == memory.total - memory.parts["framework"]


def test_on_several_it_is_that_of_one_rank() -> None:
    divided = replace(STEP, device=replace(DEVICES["h100"], count=8), tensor=2, sharded=True)
    config = train(parallel={"shard": 4, "tensor": 2, "recompute": "blocks"})
    expected = predict(replace(divided, recompute=True)).held_bytes
    assert predicted_bytes(MODEL, config, "cuda", "bfloat16", True, 8) == expected


def test_a_copy_of_sharded_weights_is_like_a_run_on_its_share_of_the_batch() -> None:
    copies = train(batch_rows=32, parallel={"replicate": 4, "shard": 2, "tensor": 2})
    alone = train(batch_rows=8, parallel={"shard": 2, "tensor": 2})
    found = predicted_bytes(MODEL, copies, "cuda", "bfloat16", True, 16)
    assert found == predicted_bytes(MODEL, alone, "cuda", "bfloat16", True, 4)


def test_of_what_nobody_has_measured_nothing_is_said() -> None:
    assert predicted_bytes(MODEL, train(), "tpu", "bfloat16", True, 1) is None
