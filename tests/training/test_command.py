"""`tsuzuri train` as its user meets it: stopped, gone on with, and refused."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import releases
import runs
from builds import STORIES
from token_boxes import write_token_box
from tsuzuri.chain.stages import train
from tsuzuri.core.boxes import SAMPLES
from tsuzuri.core.errors import RecipeError, ResumeError
from tsuzuri.core.manifest import make_box, read_manifest
from tsuzuri.tokenizer.codec import Tokenizer
from tsuzuri.training.watch import watch

RECIPE = f"""
tokenizer: {{vocab_size: {releases.VOCABULARY}}}
model: {{size: tiny}}
train:
  {{steps: 3000, schedule: {{warmup_steps: 2}}, batch_rows: 2, micro_batch_rows: 2, sequence_length: 16,
   checkpoint_every: 5}}
evaluate:
  {{max_tokens_in_training: 100, prompts: [朝、], sampling: {{max_new_tokens: 4}}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, a tokenizer box and a tokens box."""
    folder = tmp_path_factory.mktemp("command")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    box = folder / "tokenizer"
    make_box(box, kind="tokenizer", config={}, inputs={}, work=lambda: releases.write_tokenizer(box) or {})
    tokenizer = Tokenizer.load(box)
    texts = [text for pair in STORIES.values() for text in pair]
    documents = [[*tokenizer.encode(text), tokenizer.eos_id] for text in texts]
    write_token_box(
        folder / "tokens",
        {"a": documents},
        {"a": documents[:2]},
        vocab_size=tokenizer.vocab_size,
        tokenizer_sha256=tokenizer.sha256,
    )
    return folder


def command(folder: Path, *options: str) -> subprocess.Popen[str]:
    """`tsuzuri train`, started."""
    words = ["-m", "tsuzuri", "train", f"{folder}/recipe.yaml", "--out", f"{folder}/run"]
    boxes = ["--tokens", f"{folder}/tokens", "--tokenizer", f"{folder}/tokenizer"]
    return subprocess.Popen(
        [sys.executable, *words, *boxes, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_when_and_what_is_evaluated_can_be_amended(folder: Path, tmp_path: Path) -> None:
    boxes = {"tokens": folder / "tokens", "tokenizer": folder / "tokenizer", "out": tmp_path / "run"}
    short = ["train.steps=4", "train.checkpoint_every=2"]
    train(folder / "recipe.yaml", **boxes, overrides=short)
    with pytest.raises(ResumeError, match=r"evaluate.sampling.max_new_tokens: 4 → 3"):
        train(folder / "recipe.yaml", **boxes, overrides=[*short, "evaluate.sampling.max_new_tokens=3"])
    amend = ["train.steps=7", "train.sample_every=2", "train.evaluate_every=3", "evaluate.prompts=[夜、]"]
    with pytest.raises(RecipeError, match=r"evaluate: prompts: Input"):
        train(folder / "recipe.yaml", **boxes, overrides=short, amend=[*amend, "evaluate.prompts=3"])
    train(folder / "recipe.yaml", **boxes, overrides=short, amend=amend)
    written = [line for line in runs.lines(boxes["out"], SAMPLES) if "samples" in line]
    samples = [(line["step"], line["samples"][0]["prompt"]) for line in written]
    assert samples == [(4, "朝、"), (6, "夜、"), (7, "夜、")]
    assert [line["step"] for line in runs.lines(boxes["out"]) if "heldout" in line] == [4, 6, 7]
    train(folder / "recipe.yaml", **boxes, overrides=[*short, "evaluate.max_tokens=9"])  # not of the run


def test_a_run_has_a_page_a_profile_and_a_view(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    boxes = {"tokens": folder / "tokens", "tokenizer": folder / "tokenizer", "out": folder / "watched"}
    train(folder / "recipe.yaml", **boxes, overrides=["train.steps=6"], profile=1)
    page = (folder / "watched" / "report.html").read_text(encoding="utf-8")
    assert "学習" in page
    assert "来歴" in page
    assert 'http-equiv="refresh"' not in page, "the run is over"
    assert [path.name for path in (folder / "watched" / "profile").iterdir()] == ["steps-4-4.json.gz"]
    assert "Self CPU" in capfd.readouterr().err
    (line,) = watch(folder / "watched")
    assert line.startswith("step 6 of 6: loss ")
    assert not {"report.html", "profile"} & set(read_manifest(folder / "watched").files)


@pytest.mark.slow
def test_a_run_is_stopped_and_gone_on_with(folder: Path) -> None:
    process = command(folder)
    while process.poll() is None and not list((folder / "run" / "checkpoints").glob("step-*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, said
    stopped = re.search(r"stopped by SIGTERM, saved after step (\d+) of 3000\n  → the same command", said)
    assert stopped, said
    step = int(stopped[1])

    process = command(folder, "--set", "train.gradient_clip=0.5")
    printed, said = process.communicate()
    assert process.returncode == 2
    assert "Traceback" not in said
    assert "train.gradient_clip: 1.0 → 0.5" in said
    assert f"from step {step} on: --amend train.gradient_clip=0.5" in said

    process = command(folder, "--amend", f"train.steps={step + 2}")
    printed, said = process.communicate()
    assert process.returncode == 0, said
    assert f"steps {step + 2}" in printed
    manifest = read_manifest(folder / "run", "run")
    assert manifest.counts["amendments"] == [{"step": step, "set": [f"train.steps={step + 2}"]}]
