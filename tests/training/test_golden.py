"""Losses of thirty steps, kept in a file: what is not meant to change numbers must not change these.

Where they are meant to change, `PYTHONPATH=tests:src python tests/training/test_golden.py` writes the file
anew, and the commit says why.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

import runs
from tsuzuri.model.config import ModelConfig

GOLDEN = Path(__file__).parent / "golden" / "losses.json"
COMMON = ("steps=30", "batch_rows=8", "micro_batch_rows=4", "checkpoint_every=30", "schedule.warmup_steps=5")
PRESETS = {
    "qwen3, Muon, warm-up and stable": ("qwen3", ()),
    "llama, AdamW, cosine": ("llama", ("optimizer.kind=adamw", "schedule.kind=cosine")),
    "gpt2, Muon, no document masks": ("gpt2", ("document_mask=false",)),
}


def losses(preset: str, inputs: Path, box: Path) -> list[float]:
    """The losses of thirty steps of a preset."""
    model_type, overrides = PRESETS[preset]
    fields = {**runs.MODEL.as_mapping(), "model_type": model_type, "num_key_value_heads": 2}
    runs.run(inputs, box, *COMMON, *overrides, model=ModelConfig.model_validate(fields), hooks=[])
    return runs.losses(box)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_losses_are_those_of_the_file(preset: str, inputs: Path, tmp_path: Path) -> None:
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))[preset]
    assert len(expected) == 30
    assert losses(preset, inputs, tmp_path) == pytest.approx(expected, rel=1e-4)  # processors round apart


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = runs.write_inputs(Path(folder) / "inputs")
        found = {preset: losses(preset, made, Path(folder) / preset) for preset in PRESETS}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
