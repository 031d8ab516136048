from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import RecipeError
from tsuzuri.model.config import ModelConfig, ModelRecipe


def test_every_default_constructs() -> None:
    assert ModelConfig().num_parameters > 0
    assert ModelRecipe().size


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"num_attention_heads": 6, "num_key_value_heads": 4}, "num_key_value_heads"),
        ({"head_dim": 33}, "even"),
        ({"model_type": "gpt2", "num_key_value_heads": 2}, "grouped-query"),
        ({"model_type": "gpt2", "head_dim": 32}, "hidden_size"),
        ({"model_type": "gpt2", "hidden_act": "relu2"}, "tanh-GELU alone"),
        ({"model_type": "llama", "hidden_size": 250}, "multiple of num_attention_heads"),
        ({"model_type": "arcee", "hidden_size": 250}, "multiple of num_attention_heads"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"model_type": "mamba"}, "model_type"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"rms_norm_eps": 0.0}, "rms_norm_eps"),
        ({"hiden_size": 256}, "hidden_size"),
    ],
)
def test_an_impossible_model_is_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(RecipeError, match=named):
        parse_config(ModelConfig, values, where="model")


def test_arcee_is_squared_where_nothing_is_said() -> None:
    assert ModelConfig(model_type="arcee").hidden_act == "relu2"
    assert ModelConfig(model_type="arcee", hidden_act="gelu").hidden_act == "gelu"
    assert ModelConfig(model_type="llama").hidden_act == "silu"


def test_configurations_and_the_ladder_import_no_torch() -> None:
    code = (
        "import sys, tsuzuri.model.config, tsuzuri.model.ladder, tsuzuri.model.hf_config; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
