"""The compiled step is the eager one, but faster. Needs a C++ compiler."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from torch._dynamo.utils import counters
from torch.nn.attention.flex_attention import create_block_mask

import runs
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.packing import document_block_mask
from tsuzuri.training.devices import DEVICES, can_compile

CLASSIC = ModelConfig.model_validate(
    {**runs.MODEL.as_mapping(), "model_type": "gpt2", "num_key_value_heads": 2}
)


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++ here"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's, of its own parts, while it compiles
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """torch compiles a function for eight shapes at most: no test is to count against another's."""
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("shape", [runs.MODEL, CLASSIC])
def test_a_compiled_run_comes_near_an_eager_one(inputs: Path, tmp_path: Path, shape: ModelConfig) -> None:
    runs.run(inputs, tmp_path / "eager", model=shape)
    assert can_compile(DEVICES["cpu"])  # its trial of the compiler, made once in a process, counts too
    graphs = counters["stats"]["unique_graphs"]
    runs.run(inputs, tmp_path / "compiled", "compile=always", model=shape)
    assert counters["stats"]["unique_graphs"] > graphs
    values = yaml.safe_load((tmp_path / "compiled" / "run.yaml").read_text(encoding="utf-8"))
    assert values["resolved"]["compile"] is True
    assert runs.losses(tmp_path / "compiled") == pytest.approx(runs.losses(tmp_path / "eager"), rel=1e-4)


def test_compiled_block_masks_are_the_eager_ones_and_compiled_once() -> None:
    compiled = torch.compile(create_block_mask, dynamic=False)

    def check(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randint(0, 100, (2, 512), generator=generator)
        found, expected = document_block_mask(tokens, 0, compiled), document_block_mask(tokens, 0)
        assert torch.equal(found.to_dense(), expected.to_dense())
        assert found.full_kv_num_blocks is not None
        assert expected.full_kv_num_blocks is not None
        assert torch.equal(found.full_kv_num_blocks, expected.full_kv_num_blocks)

    check(1)
    with torch.compiler.set_stance("fail_on_recompile"):
        check(2)
