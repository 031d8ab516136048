"""`tsuzuri plan` as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsuzuri.cli import main

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


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--device", "h100x8"], "one device of this machine"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    option: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    assert main(["plan", str(tmp_path / "recipe.yaml"), *option, "--measure"]) == 2
    assert message in capsys.readouterr().err
