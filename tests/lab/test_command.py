"""`tsuzuri plan` as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tsuzuri.cli import main
from tsuzuri.lab.devices import DEVICES

RECIPE = """
tokenizer: { vocab_size: 512 }
model: { size: tiny }
train: { steps: 10, batch_rows: 2, micro_batch_rows: 2, sequence_length: 64, precision: float32,
         schedule: { warmup_steps: 1 }, optimizer: { kind: adamw } }
"""


def test_a_recipe_is_planned_with_its_own_optimizer_and_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    assert main(["plan", str(tmp_path / "recipe.yaml"), "--device", "cpu"]) == 0
    page = capsys.readouterr().out
    assert "recipe      adamw: 16.00 bytes a parameter" in page
    assert "for 1280 tokens" in page
    assert main(["plan", str(tmp_path / "recipe.yaml"), "--days", "1", "--memory-recipe", "muon"]) == 0
    page = capsys.readouterr().out
    assert "recipe      muon" in page
    assert "time        1.0 days" in page


def test_a_mistake_is_one_line_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--device", "h10"]) == 2
    assert "no device 'h10' (did you mean 'h100'?)\n  → devices: " in capsys.readouterr().err
    assert main(["plan", "--tokens", "-5"]) == 2
    assert "→ tsuzuri plan --help says what is allowed" in capsys.readouterr().err


def test_three_real_steps_correct_a_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    line = ["plan", str(tmp_path / "recipe.yaml"), "--device", "cpu", "--graph", "eager", "--measure"]
    assert main(line) == 0
    page = capsys.readouterr().out
    assert "measured    3 steps of 128 tokens, eager: " in page
    assert "corrected   " in page


def test_a_recipe_is_planned_with_its_own_rung_of_the_ladder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = RECIPE.replace("kind: adamw", "kind: adafactor, weights: bfloat16")
    (tmp_path / "recipe.yaml").write_text(own, encoding="utf-8")
    assert main(["plan", str(tmp_path / "recipe.yaml"), "--device", "cpu"]) == 0
    page = capsys.readouterr().out
    assert "recipe      bf16-adafactor: 4.00 bytes a parameter" in page
    assert "settings" not in page, "the recipe says all of it"
    assert main(["plan", str(tmp_path / "recipe.yaml"), "--device", "cpu", "--memory-recipe", "muon"]) == 0
    settings = "settings    --set train.optimizer.kind=muon --set train.optimizer.weights=float32\n"
    assert settings in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["recipe.yaml", "--project", "p.yaml", "--device", "h100"], "RECIPE, --device would have no effect"),
        (["--project", "p.yaml", "--measure", "--aot", "v5e:2x4"], "--measure, --aot would have no effect"),
        (["--aot-python", "python3"], "--aot-python would have no effect"),
    ],
)
def test_what_would_have_no_effect_is_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--device", "h100x8"], "one device of this machine"),
        (["--device", "v100", "--precision", "float16"], "training has no float16"),
        pytest.param(
            ["--device", "h100"],
            "of this machine, which has no cuda\n  → give --measure where the card is",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device"),
        ),
        pytest.param(
            ["--device", "rtx3090"],
            "the card of this machine is not the one that is planned for",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(
                    not DEVICES["h100"].is_called(
                        torch.cuda.get_device_name() if torch.cuda.is_available() else ""
                    ),
                    reason="this machine has no H100",
                ),
            ],
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(
    option: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    assert main(["plan", str(tmp_path / "recipe.yaml"), *option, "--measure"]) == 2
    assert message in capsys.readouterr().err
