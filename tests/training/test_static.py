"""What lets a step run on every device: it waits for no number, shapes are static, no compiler is named."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import runs
import tsuzuri
from tsuzuri.model.attention import BLOCK, FLEX_LEAST_HEAD_DIM
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.training.config import OptimizerConfig
from tsuzuri.training.devices import DEVICES
from tsuzuri.training.limits import Limits
from tsuzuri.training.step import Trainer

LONG = 3 * BLOCK
SHAPE = runs.MODEL.model_copy(update={"max_position_embeddings": LONG})
CLASSIC = ModelConfig.model_validate(
    {**SHAPE.as_mapping(), "model_type": "gpt2", "num_key_value_heads": SHAPE.num_attention_heads}
)

IN_BACKWARD = ("optimizer.in_backward=true", "micro_batch_rows=4")


class NothingIsAsked(TorchDispatchMode):
    """Within it an operation whose result is a number, or is as large as the numbers say, is an error."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        asks = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & {*function.tags}
        if function == torch.ops.aten.index.Tensor:  # by a mask alone
            asks = {index for index in arguments[1] if index is not None and index.dtype == torch.bool}
        assert not asks, function
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize("shape", [SHAPE, CLASSIC], ids=["modern", "classic"])
@pytest.mark.parametrize("length", [16, LONG])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_step_asks_for_no_number(shape: ModelConfig, length: int, precision: torch.dtype) -> None:
    make_steps(shape, precision, f"sequence_length={length}")


@pytest.mark.parametrize("kind", get_args(OptimizerConfig.model_fields["kind"].annotation))
@pytest.mark.parametrize("options", [(), ("optimizer.weights=bfloat16",), IN_BACKWARD], ids=" ".join)
def test_no_optimizer_asks_for_one(kind: str, options: tuple[str, ...]) -> None:
    make_steps(SHAPE, torch.bfloat16, f"optimizer.kind={kind}", *options)


def make_steps(shape: ModelConfig, precision: torch.dtype, *options: str) -> None:
    """Two steps; the first one may ask, for what is made once."""
    config = runs.train_config(*options)
    model = GPT(shape, torch.Generator().manual_seed(1))
    trainer = Trainer(model, config, DEVICES["cpu"], dtype=precision, compiled=False)
    rows = torch.ones(config.batch_rows, config.sequence_length + 1, dtype=torch.long)
    rows[:, ::5] = 0
    trainer.step(0, rows, eos_id=0)
    with NothingIsAsked():
        trainer.step(1, rows, eos_id=0, limits=Limits(loss=5.0, grad_norm=2.0))


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x.nonzero(),
        lambda x: x[x > 1],
        lambda x: x.unique(),
        lambda x: torch.arange(int(x.max())),
    ],
)
def test_the_guard_knows_a_question(ask: Callable[[Tensor], object]) -> None:
    with NothingIsAsked(), pytest.raises(AssertionError):
        ask(torch.arange(4))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.filterwarnings("default")  # torch warns of its own doings when it compiles
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_step_does_not_wait_for_the_card(compiled: bool, kind: str) -> None:
    config = runs.train_config(f"optimizer.kind={kind}", "sequence_length=128")
    shape = SHAPE.model_copy(update={"head_dim": FLEX_LEAST_HEAD_DIM})
    model = GPT(shape, torch.Generator().manual_seed(1)).to("cuda")
    trainer = Trainer(model, config, DEVICES["cuda"], dtype=torch.bfloat16, compiled=compiled)
    rows = torch.ones(config.batch_rows, 129, dtype=torch.long)
    for step in range(2):  # what is made once may wait
        trainer.step(step, rows, eos_id=0)
    with runs.waiting_is_an_error():
        trainer.step(2, rows, eos_id=0, limits=Limits(loss=5.0, grad_norm=2.0))


@pytest.mark.parametrize(("head_dim", "by_blocks"), [(8, False), (16, True)])
def test_heads_too_small_for_blocks_are_masked_densely(head_dim: int, by_blocks: bool) -> None:
    device = replace(DEVICES["cpu"], block_masks=True)
    model = GPT(SHAPE.model_copy(update={"head_dim": head_dim}))
    trainer = Trainer(model, runs.train_config(), device, dtype=torch.float32, compiled=True)
    assert trainer.masks_by_blocks is by_blocks


def test_no_compiler_is_named() -> None:
    """torch_tpu and others put themselves in the place of the default."""
    calls = [
        (path.name, call)
        for room in ("model", "training")
        for path in (Path(tsuzuri.__file__).parent / room).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "compile"
        and not (isinstance(call.func.value, ast.Name) and call.func.value.id in ("re", "regex"))
    ]
    assert {name for name, _ in calls} >= {"devices.py"}
    for name, call in calls:
        assert {keyword.arg for keyword in call.keywords} <= {"dynamic", "fullgraph"}, name
        assert "dynamic" in {keyword.arg for keyword in call.keywords}, name
