from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch

import runs
from tsuzuri.core.errors import ResourceError
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.devices import (
    DEVICES,
    Choices,
    choose,
    choose_device,
    memory_errors,
    probe_precision,
)

CPU = DEVICES["cpu"]


def test_a_device_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ResourceError, match=r"no cuda device[^$]*train.device=auto"):
        choose_device("cuda")
    assert choose_device("auto") is CPU
    assert choose_device("cpu") is CPU


def test_a_tpu_that_is_not_there_says_what_it_takes() -> None:
    with pytest.raises(ResourceError, match=r"no tpu device.*torch_tpu"):
        choose_device(runs.train_config("device=tpu").device)


def test_the_recipe_can_name_every_device_of_the_table() -> None:
    named = get_args(TrainConfig.model_fields["device"].annotation)
    assert set(named) == {"auto", *DEVICES}


def test_the_table_knows_this_machine() -> None:
    assert CPU.name()
    assert CPU.peak_memory_bytes() > 1_000_000


def test_the_probe_finds_one_of_two() -> None:
    assert probe_precision(CPU) in ("float32", "bfloat16")
    assert choose(runs.train_config("precision=auto"), CPU, None).precision in ("float32", "bfloat16")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_the_recipe_names_is_taken(precision: str) -> None:
    other = Choices(precision="bfloat16", compile=False, threads=1)
    assert choose(runs.train_config(f"precision={precision}"), CPU, None).precision == precision
    assert choose(runs.train_config(f"precision={precision}"), CPU, other).precision == precision


def test_the_device_that_a_run_was_begun_on_is_kept() -> None:
    first = choose(runs.train_config(), CPU, None)
    assert first.device == CPU.name()
    elsewhere = first.model_copy(update={"device": "another"})
    assert choose(runs.train_config(), CPU, elsewhere).device == "another"


def test_what_was_chosen_earlier_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    earlier = Choices(precision="bfloat16", compile=False, threads=1)
    assert choose(runs.train_config("precision=auto", "compile=auto"), CPU, earlier) == earlier
    assert "going on as the run was begun: bfloat16, not compiled, 1 threads" in capfd.readouterr().err


def test_more_threads_than_there_are_cores_are_not_kept(capfd: pytest.CaptureFixture[str]) -> None:
    earlier = Choices(precision="float32", compile=False, threads=100_000)
    assert choose(runs.train_config(), CPU, earlier).threads == os.cpu_count()
    assert "of 100000 threads are possible here" in capfd.readouterr().err


def test_a_short_run_is_not_compiled() -> None:
    assert not choose(runs.train_config("compile=auto"), CPU, None).compile


def test_without_a_compiler_a_run_is_not_compiled_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert not choose(runs.train_config("compile=always"), CPU, None).compile
    assert "torch.compile needs a C++ compiler: running without it" in capfd.readouterr().err
    assert not choose(runs.train_config(), CPU, Choices(precision="float32", compile=True, threads=1)).compile


def test_a_compiler_that_fails_is_named(tmp_path: Path) -> None:
    program = "import runs; from tsuzuri.training.devices import DEVICES, choose;"
    program += "assert not choose(runs.train_config('compile=always'), DEVICES['cpu'], None).compile"
    tests = str(Path(__file__).parents[1])
    environment = {
        **os.environ,
        "CXX": str(shutil.which("false")),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(filter(None, (tests, os.environ.get("PYTHONPATH")))),
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "torch.compile does not work here, running without it:" in done.stderr


def test_what_runs_out_of_memory_in_another_command_has_its_own_hint() -> None:
    with pytest.raises(ResourceError) as error, memory_errors(runs.train_config(), hint="--size tiny"):
        raise MemoryError
    assert error.value.hint == "--size tiny"
