"""What the watcher says of a command's processes: their memory, CPU time and files, and what outlives it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from _processes import descendants, in_session, measure, memory

MEGABYTE = 2**20
GRANDCHILD = f"""
import time
held = bytearray(b"x") * {80 * MEGABYTE}
ended = time.process_time() + 0.4
while time.process_time() < ended:
    pass
time.sleep(1)
"""
PARENT = f"""
import pathlib, subprocess, sys
folder = pathlib.Path(sys.argv[1], "a", "b", "c", "d")
folder.mkdir(parents=True)
(folder / "deep").write_bytes(b"x" * {MEGABYTE})
pathlib.Path(sys.argv[1], "shallow").write_bytes(b"x" * {2 * MEGABYTE})
subprocess.Popen([sys.executable, "-c", {GRANDCHILD!r}])
"""


def test_what_outlives_the_command_is_measured_too(tmp_path: Path) -> None:
    usage = measure([sys.executable, "-c", PARENT, str(tmp_path)], tmp_path, every_s=0.05)
    assert 80 * MEGABYTE < usage.peak_memory_bytes < 200 * MEGABYTE
    assert usage.cpu_s > 0.4
    assert usage.samples[-1].cpu_s == pytest.approx(usage.cpu_s, abs=0.2)
    assert usage.left_behind == 0
    assert usage.samples[-1].disk.keys() == {".", "a/b/c"}
    assert 3 * MEGABYTE <= usage.peak_disk_bytes < 4 * MEGABYTE


def test_a_command_that_fails_says_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="ended with 3"):
        measure([sys.executable, "-c", "raise SystemExit(3)"], tmp_path)


def test_shared_pages_count_once() -> None:
    held = bytearray(b"x") * (100 * MEGABYTE)
    before, _ = memory([os.getpid()])
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    try:
        together, anonymous = memory([os.getpid(), child])
        assert len(held) < anonymous < together < before + len(held) / 2
        assert child in descendants(os.getpid())
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert memory([child]) == (0, 0)


def test_a_session_has_its_processes_until_they_end() -> None:
    command = [sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '60'])"]
    process = subprocess.Popen(command, start_new_session=True)
    while len(in_session(process.pid)) < 2:
        assert process.poll() is None
    process.kill()
    process.wait()
    (left,) = in_session(process.pid)
    os.kill(left, 9)
    while in_session(process.pid):
        pass
