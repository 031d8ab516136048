"""The loop on a CUDA device. Numbers differ from the CPU's by rounding alone; the bounds say how much."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import runs
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.training.devices import DEVICES, probe_precision
from tsuzuri.training.hooks import Hook
from tsuzuri.training.step import Trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
    pytest.mark.filterwarnings("default"),  # torch warns of its own doings when it compiles
]

SHAPE = ModelConfig.model_validate(
    {
        **runs.MODEL.as_mapping(),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 128,
    }
)
TEN_STEPS = ("steps=10", "sequence_length=128", "optimizer.learning_rate=0.002")


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """torch compiles a function for eight shapes at most: no test is to count against another's."""
    yield
    torch.compiler.reset()


@pytest.fixture(scope="module")
def on_cpu(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of ten steps in float32 on the CPU."""
    box = tmp_path_factory.mktemp("cpu") / "run"
    runs.run(inputs, box, *TEN_STEPS, model=SHAPE)
    return runs.losses(box)


@pytest.mark.parametrize("compiled", ["never", "always"])
@pytest.mark.parametrize("masks", ["true", "false"])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("bfloat16", 2e-2)])
def test_the_losses_are_those_of_the_cpu(
    inputs: Path, tmp_path: Path, compiled: str, masks: str, precision: str, tolerance: float
) -> None:
    options = (*TEN_STEPS, f"document_mask={masks}")
    runs.run(inputs, tmp_path / "cpu", *options, model=SHAPE)
    chosen = ("device=cuda", f"compile={compiled}", f"precision={precision}")
    runs.run(inputs, tmp_path / "cuda", *options, *chosen, model=SHAPE)
    assert runs.losses(tmp_path / "cuda") == pytest.approx(runs.losses(tmp_path / "cpu"), rel=tolerance)


def test_masks_of_new_documents_are_not_compiled_for_again() -> None:
    config = runs.train_config(*TEN_STEPS, "batch_rows=4", "micro_batch_rows=2")
    model = GPT(SHAPE, torch.Generator().manual_seed(1)).to("cuda")
    trainer = Trainer(model, config, DEVICES["cuda"], dtype=torch.bfloat16, compiled=True)

    def step(number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        trainer.step(number, torch.randint(0, runs.VOCABULARY, (4, 129), generator=generator), 0)

    for number in range(2):
        step(number)
    with torch.compiler.set_stance("fail_on_recompile"):
        for number in range(2, 6):
            step(number)


def test_a_run_goes_on_where_it_died(inputs: Path, tmp_path: Path, on_cpu: list[float]) -> None:
    calls = 0

    def die(*unused: object) -> int:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return 0

    options = (*TEN_STEPS, "device=cuda")
    with pytest.raises(KeyboardInterrupt):
        runs.run(inputs, tmp_path, *options, model=SHAPE, hooks=[Hook("dies", 1, die)])
    runs.run(inputs, tmp_path, *options, model=SHAPE, hooks=[Hook("dies", 1, die)])
    assert [line["step"] for line in runs.lines(tmp_path) if "loss" in line] == list(range(1, 11))
    assert runs.losses(tmp_path) == pytest.approx(on_cpu, rel=1e-3)


def test_the_table_knows_the_device() -> None:
    device = DEVICES["cuda"]
    assert device.name() == torch.cuda.get_device_name()
    assert probe_precision(device) in ("float32", "bfloat16")
    assert device.peak_memory_bytes() > 0
