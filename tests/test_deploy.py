"""The scripts that start runs on many machines, with stand-ins for torchrun and Slurm."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[1] / "deploy"
TORCHRUN = """#!{python}
import pathlib, signal, subprocess, sys
folder = pathlib.Path({folder!r})
(folder / "arguments").write_text(" ".join(sys.argv[1:]))
worker = subprocess.Popen([sys.executable, "-c", '''
import pathlib, signal, sys, time
def save(number, frame):
    pathlib.Path({folder!r}, "saved").write_text(signal.Signals(number).name)
    sys.exit(128 + number)
signal.signal(signal.SIGUSR1, save)
pathlib.Path({folder!r}, "ready").touch()
while not pathlib.Path({folder!r}, "finished").exists():
    time.sleep(0.02)
'''])
def stop(number, frame):
    worker.terminate()
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, stop)
sys.exit(1 if worker.wait() else 0)  # as torchrun, whatever a worker's status is
"""
SLURM = {
    "scontrol": 'if [ "$1" = show ]; then echo node1; sleep 0.2; echo node2; '
    'else echo "$@" >> "$FOLDER/slurm"; fi',
    "srun": 'echo "$HEAD $NODES $RUN $@" > "$FOLDER/began"; mv "$FOLDER/began" "$FOLDER/ready"; '
    'while [ ! -e "$FOLDER/finished" ]; do sleep 0.02; done; exit 3',
    "scancel": 'echo "scancel $@" >> "$FOLDER/slurm"; touch "$FOLDER/finished"',
}

pytestmark = [
    pytest.mark.skipif(not DEPLOY.is_dir(), reason="the scripts come with the source tree"),
    pytest.mark.skipif(not shutil.which("pkill"), reason="there is no pkill here"),
]


@contextmanager
def running(
    folder: Path, script: str, *arguments: str, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A script that has begun its work, of which `folder` tells; whatever is left of it goes."""
    process = subprocess.Popen(
        ["bash", str(DEPLOY / script), *arguments],
        env={**os.environ, "FOLDER": str(folder), **variables},
        start_new_session=True,
    )
    try:
        while not (folder / "ready").exists():
            assert process.poll() is None, "it has ended before it began"
            time.sleep(0.02)
        yield process
    finally:
        with suppress(ProcessLookupError):  # nothing is
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def torchrun(tmp_path: Path) -> str:
    """A Python that is torchrun and nothing else."""
    path = tmp_path / "python"
    path.write_text(TORCHRUN.format(python=sys.executable, folder=str(tmp_path)))
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The variables of a job on two nodes, whose commands are stand-ins."""
    for name, body in SLURM.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_ID": "77",
        "SLURM_SUBMIT_DIR": "/checkout",
    }


def test_a_run_is_started_on_every_machine_alike(tmp_path: Path, torchrun: str) -> None:
    assert os.access(DEPLOY / "torchrun.sh", os.X_OK), "srun calls it by its name"
    options = {"PYTHON": torchrun, "NODES": "2", "HEAD": "10.0.0.1", "PROCESSES": "8", "RUN": "mine"}
    with running(tmp_path, "torchrun.sh", "build", "my recipe.yaml", **options) as process:
        (tmp_path / "finished").touch()
        assert process.wait(60) == 0
    found = (tmp_path / "arguments").read_text()
    assert found.startswith("-m torch.distributed.run --nnodes 2 --nproc-per-node 8 ")
    assert "--rdzv-endpoint 10.0.0.1:29500 --rdzv-id mine " in found
    assert found.endswith("-m tsuzuri build my recipe.yaml")


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["the script", "all, as Slurm does"])
def test_a_warning_comes_to_the_processes_and_not_to_torchrun(
    tmp_path: Path, torchrun: str, send: Callable[[int, int], None]
) -> None:
    with running(tmp_path, "torchrun.sh", "train", PYTHON=torchrun) as process:
        send(process.pid, signal.SIGUSR1)
        assert process.wait(60) == 1
    assert (tmp_path / "saved").read_text() == "SIGUSR1"


def test_who_is_told_to_end_tells_torchrun(tmp_path: Path, torchrun: str) -> None:
    with running(tmp_path, "torchrun.sh", "train", PYTHON=torchrun) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM


def test_a_job_whose_time_is_over_saves_and_is_queued_again(tmp_path: Path, slurm: dict[str, str]) -> None:
    with running(tmp_path, "slurm.sbatch", "build", "recipe.yaml", **slurm) as process:
        begun = (tmp_path / "ready").read_text()
        assert begun == "node1 2 tsuzuri-77 /checkout/deploy/torchrun.sh build recipe.yaml\n"
        process.send_signal(signal.SIGUSR1)
        assert process.wait(60) == 3
    assert (tmp_path / "slurm").read_text() == "scancel --signal=USR1 77.0\nrequeue 77\n"


def test_a_job_that_has_ended_by_itself_is_not_queued_again(tmp_path: Path, slurm: dict[str, str]) -> None:
    with running(tmp_path, "slurm.sbatch", "build", "recipe.yaml", **slurm) as process:
        (tmp_path / "finished").touch()
        assert process.wait(60) == 3
    assert not (tmp_path / "slurm").exists()
