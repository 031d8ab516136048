"""One small build through the real command line, and every other command on what it made."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tsuzuri.evaluate.repetition import repetition

pytestmark = [pytest.mark.pulse, pytest.mark.slow]

WHO = ("私", "彼女", "老人", "旅人", "先生", "子ども", "猫", "船長", "医者", "村の人々")
WHERE = ("山の上", "古い町", "駅の前", "図書館", "海辺", "東京の下町", "庭", "長い廊下", "橋のたもと")
WHAT = (
    "静かな歌",
    "赤い花",
    "手紙",
    "昔の写真",
    "パンとスープ",
    "カメラ",
    "3冊の本",
    "雪だるま",
    "新しい地図",
)
DOES = (
    "見つけました",
    "ゆっくり眺めていた",
    "捨ててしまった",
    "友だちに贈った",
    "探しつづけている",
    "忘れられない",
)

SMALL = """
corpus: {source: {kind: files, path: TEXTS, quality: {max_repeated_ngram_ratio: 1}}, heldout_fraction: 0.2}
tokenizer: {vocab_size: 600, boundary: none}
model: {size: tiny}
train:
  {steps: 6, batch_rows: 4, micro_batch_rows: 2, sequence_length: 64, checkpoint_every: 2,
   evaluate_every: 3, sample_every: 3, schedule: {warmup_steps: 2}}
evaluate:
  {max_tokens: 2000, max_tokens_in_training: 500, prompts: [朝、], sampling: {samples: 2, max_new_tokens: 12}}
release: {name: pulse, supporters: [山田 花子]}
"""


def sentence(draw: random.Random) -> str:
    """A made-up sentence."""
    return f"{draw.choice(WHO)}は{draw.choice(WHERE)}で{draw.choice(WHAT)}を{draw.choice(DOES)}。"


def tsuzuri(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line as its user does."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "tsuzuri", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe over forty small texts."""
    folder = tmp_path_factory.mktemp("pulse")
    draw = random.Random(7)
    (folder / "texts").mkdir()
    for number in range(40):
        lines = ("".join(sentence(draw) for _ in range(3)) for _ in range(12))
        (folder / "texts" / f"{number:02}.txt").write_text("\n".join(lines), encoding="utf-8")
    path = folder / "small.yaml"
    path.write_text(SMALL.replace("TEXTS", str(folder / "texts")), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def built(recipe: Path) -> Path:
    """The folder of a finished build."""
    done = tsuzuri("build", recipe, "--out", recipe.parent / "out")
    assert done.returncode == 0, done.stderr
    assert "【朝、】" in done.stdout
    assert str(recipe.parent / "out" / "report.html") in done.stdout
    return recipe.parent / "out"


def test_the_same_command_finds_everything_done(recipe: Path, built: Path) -> None:
    before = {path: path.read_bytes() for path in built.rglob("manifest.json")}
    assert len(before) == 6
    assert tsuzuri("build", recipe, "--out", built).returncode == 0
    assert {path: path.read_bytes() for path in built.rglob("manifest.json")} == before


def test_stage_by_stage_gives_the_same_boxes(recipe: Path, built: Path, tmp_path: Path) -> None:
    d, t, k, r, e = (tmp_path / name for name in ("documents", "tokenizer", "tokens", "run", "evaluation"))
    for command in (
        ("corpus", "build", recipe, "--out", d),
        ("tokenizer", "train", recipe, "--documents", d, "--out", t),
        ("pack", recipe, "--documents", d, "--tokenizer", t, "--out", k),
        ("train", recipe, "--tokens", k, "--tokenizer", t, "--out", r),
        ("evaluate", r, "--tokens", k, "--out", e, "--recipe", recipe),
    ):
        done = tsuzuri(*command)
        assert done.returncode == 0, done.stderr
    for box in (d, t, k, r, e):
        assert (box / "manifest.json").read_bytes() == (built / box.name / "manifest.json").read_bytes(), (
            box.name
        )


def test_the_release_is_verified_and_leads_back_to_its_sources(built: Path) -> None:
    verified = tsuzuri("release", "verify", built / "release")
    assert verified.returncode == 0, verified.stderr
    assert "verified" in verified.stdout
    lineage = tsuzuri("lineage", built / "release").stdout
    assert all(name in lineage for name in ("run", "tokens", "tokenizer", "documents", "texts"))
    assert "**" not in lineage
    assert "山田 花子" in (built / "release" / "special_thanks.txt").read_text(encoding="utf-8")


def test_a_milestone_is_released_converted_and_thanks_its_supporters(
    recipe: Path, built: Path, tmp_path: Path
) -> None:
    refused = tsuzuri("release", "build", recipe, "--build", built, "--milestone", 6)
    assert (refused.returncode, "--milestone all, or of: 4\n" in refused.stderr) == (2, True), refused.stderr
    done = tsuzuri("release", "build", recipe, "--build", built, "--milestone", 4)
    assert done.returncode == 0, done.stderr
    release = built / "milestones" / "step-00000004" / "release"
    assert "**A milestone**: the weights after step 4 of 6." in (release / "README.md").read_text("utf-8")
    done = tsuzuri("release", "convert", release, "--dtype", "q8_0", "--out", tmp_path / "pulse.gguf")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pulse.gguf").read_bytes()[:4] == b"GGUF"
    pledge = "{name: 鈴木, consent: true, amount: 10, currency: USD, from: 2026-01-01}"
    (tmp_path / "supporters.yaml").write_text(f"supporters: [{pledge}]", encoding="utf-8")
    done = tsuzuri(
        "thanks",
        tmp_path / "supporters.yaml",
        "--on",
        "2026-11-23",
        "--repository",
        tmp_path,
        "--release",
        release,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 named on 2026-11-23") == 2
    assert tsuzuri("release", "verify", release).returncode == 0


def test_a_flipped_byte_in_the_release_is_named(built: Path, tmp_path: Path) -> None:
    copy = tmp_path / "release"
    copy.mkdir()
    for path in (built / "release").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-5] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    done = tsuzuri("release", "verify", copy)
    assert done.returncode == 2
    assert "model.safetensors" in done.stderr
    assert "Traceback" not in done.stderr


def test_generate_score_and_embed(built: Path, tmp_path: Path) -> None:
    first = tsuzuri("generate", built / "release", "--prompt", "猫は", "--max-new-tokens", 8, "--seed", 3)
    again = tsuzuri("generate", built / "release", "--prompt", "猫は", "--max-new-tokens", 8, "--seed", 3)
    assert first.returncode == 0, first.stderr
    assert first.stdout == again.stdout
    score = tsuzuri("score", built / "release", "-", stdin="猫は庭で手紙を見つけました。\n\n雪だるま\n")
    rows = [line.split("\t") for line in score.stdout.splitlines()]
    assert [row[0] for row in rows] == ["猫は庭で手紙を見つけました。", "雪だるま"]
    assert all(float(row[1]) < 0 for row in rows)
    out = tmp_path / "vectors.npy"
    assert tsuzuri("embed", built / "release", "-", "--out", out, stdin="猫\n犬\n").returncode == 0
    assert np.load(out).shape == (2, 64)


def test_the_library_in_one_line(built: Path) -> None:
    root = Path(__file__).parents[1]
    blocks = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(encoding="utf-8"), flags=re.S)
    assert blocks
    for block in blocks:
        code = block.replace("out/mine/release", str(built / "release"))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_two_processes_share_a_build(recipe: Path, built: Path, tmp_path: Path) -> None:
    def shared(*options: str) -> subprocess.CompletedProcess[str]:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        build = ["-m", "tsuzuri", "build", str(recipe), "--out", str(tmp_path), "--boxes-from", str(built)]
        command = [*torchrun, *build, *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = shared("--set", "train.parallel.shard=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("held-out bits per character") == 1
    files, expected = (
        json.loads((path / "run" / "manifest.json").read_text())["files"] for path in (tmp_path, built)
    )
    assert list(files) == list(expected)
    losses, alone = (
        [
            line["loss"]
            for line in map(json.loads, (path / "run" / "metrics.jsonl").read_text().splitlines())
            if "loss" in line
        ]
        for path in (tmp_path, built)
    )
    assert losses == pytest.approx(alone, rel=1e-2)  # whatever precision was found to be fast
    again = shared("--set", "train.parallel.shard=2", "--set", "train.seed=2")
    assert again.returncode != 0
    assert "was begun with another recipe: train.seed: 1 → 2" in again.stderr


def test_mistakes_get_one_clear_error(recipe: Path, built: Path, tmp_path: Path) -> None:
    mistakes = {
        ("build", recipe, "--out", tmp_path / "a", "--set", "trian.steps=3"): "did you mean 'train'",
        ("build", recipe, "--out", tmp_path / "b", "--set", "tokenizer.vocab_size=60000"): "vocabulary",
        ("build", tmp_path / "none.yaml", "--out", tmp_path / "c"): "none.yaml",
        ("build", recipe, "--out", tmp_path / "d", "--set", f"corpus.source={tmp_path}/absent"): "absent",
        (
            "build",
            recipe,
            "--out",
            tmp_path / "e",
            "--set",
            "model.size=qickstart",
        ): "did you mean 'quickstart'",
        ("build", recipe, "--out", built, "--set", "train.optimizer.learning_rate=0.001"): "--amend",
        ("generate", tmp_path, "--prompt", "朝"): str(tmp_path),
        ("generate", built / "release", "--temperature", "-1"): "temperature",
        ("lineage", tmp_path): str(tmp_path),
    }
    for command, words in mistakes.items():
        done = tsuzuri(*command)
        assert done.returncode == 2, (command, done.stdout, done.stderr)
        assert words in done.stderr, (command, done.stderr)
        assert "Traceback" not in done.stderr


def test_the_run_keeps_what_was_chosen_for_it(built: Path) -> None:
    text = (built / "run" / "run.yaml").read_text(encoding="utf-8")
    assert "precision: " in text
    lines = [json.loads(line) for line in (built / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if "heldout" in line] == [3, 6]


def test_samples_in_training_are_logged_with_how_much_they_repeat_themselves(built: Path) -> None:
    lines = [json.loads(line) for line in (built / "run" / "samples.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 3, 6, 6]
    for written, measured in zip(lines[::2], lines[1::2], strict=True):
        texts = [sample["text"] for sample in written["samples"]]
        assert measured["repetition"] == repetition(texts)
