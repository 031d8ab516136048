"""Ranks that share a run compute what one process does: what `bench/parallel.py` says, mode by mode."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).parents[2] / "bench" / "parallel.py"
MODES = ("DDP", "FSDP2", "tensor", "FSDP2 × tensor", "replicas × FSDP2", "replicas × tensor", "FSDP2 of 4")
SETTINGS = ("qwen3, AdamW", "qwen3, Muon", "gpt2, Muon", "qwen3, Muon, recompute")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def compared(*options: str) -> dict[str, float]:
    """name of a comparison of the bench → what was found."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(BENCH), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["bench"]: line["ours"] for line in lines}


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    """All comparisons."""
    return compared()


def of(found: dict[str, float], kind: str, mode: str, setting: str) -> float:
    """The one number of a kind, whatever the number of ranks."""
    (number,) = [
        value
        for name, value in found.items()
        if name.startswith(f"{kind}: {mode}, ") and name.endswith(f" ranks, {setting}")
    ]
    return number


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("mode", MODES)
def test_the_losses_are_those_of_one_process(found: dict[str, float], mode: str, setting: str) -> None:
    assert 0 <= of(found, "losses", mode, setting) <= 1e-6


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("mode", MODES)
def test_a_resumed_run_is_bitwise_the_same(found: dict[str, float], mode: str, setting: str) -> None:
    assert of(found, "resume", mode, setting) == 1.0


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++ here")
@pytest.mark.parametrize("mode", ["FSDP2", "tensor"])
def test_compiled_blocks_are_shared_too(mode: str) -> None:
    setting = "qwen3, Muon, recompute"
    found = compared("--compile", "--modes", mode, "--settings", setting)
    assert of(found, "losses", mode, setting) <= 1e-6
    assert of(found, "resume", mode, setting) == 1.0


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="this machine has fewer than two GPUs")
@pytest.mark.parametrize("mode", ["DDP", "FSDP2", "tensor"])
def test_gpus_share_a_run(mode: str) -> None:
    setting = "qwen3, Muon"
    found = compared("--device", "cuda", "--modes", mode, "--settings", setting)
    assert of(found, "losses", mode, setting) <= 1e-5  # kernels sum in an order of their own
    assert of(found, "resume", mode, setting) == 1.0
