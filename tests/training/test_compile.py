"""The compiled step is the eager one, but faster. Needs a C++ compiler."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

import runs
from tsuzuri.model.config import ModelConfig

CLASSIC = ModelConfig.model_validate(
    {**runs.MODEL.as_mapping(), "model_type": "gpt2", "num_key_value_heads": 2}
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("shape", [runs.MODEL, CLASSIC])
def test_a_compiled_run_comes_near_an_eager_one(inputs: Path, tmp_path: Path, shape: ModelConfig) -> None:
    if not shutil.which("g++"):
        pytest.skip("there is no g++ here")
    runs.run(inputs, tmp_path / "eager", model=shape)
    runs.run(inputs, tmp_path / "compiled", "compile=always", model=shape)
    values = yaml.safe_load((tmp_path / "compiled" / "run.yaml").read_text(encoding="utf-8"))
    assert values["resolved"]["compile"] is True
    assert runs.losses(tmp_path / "compiled") == pytest.approx(runs.losses(tmp_path / "eager"), rel=1e-4)
    assert runs.losses(tmp_path / "compiled") != runs.losses(tmp_path / "eager")
