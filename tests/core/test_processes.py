"""No worker outlives a killed command; what one takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tsuzuri.core.processes import cpu_seconds

POOL = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from tsuzuri.core.processes import end_with_parent
if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 60).result()
"""


def is_there(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="asks /proc")
def test_a_worker_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", POOL], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        worker = int(parent.stdout.readline())
        assert is_there(worker)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while is_there(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_there(worker)


TIED = """
import subprocess, sys, time
from tsuzuri.core.processes import tied
child = subprocess.Popen(tied(["sleep", "60"]), start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to")
def test_a_command_of_another_session_ends_too() -> None:
    with subprocess.Popen([sys.executable, "-c", TIED], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        command = int(parent.stdout.readline())
        deadline = time.monotonic() + 30
        while "sleep" not in _name(command) and time.monotonic() < deadline:
            time.sleep(0.01)  # it ties itself before it becomes what it is to be
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while is_there(command) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_there(command)


def _name(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().partition("(")[2].rpartition(")")[0]


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="asks /proc")
def test_cpu_time_is_of_a_process_and_of_the_children_that_it_has_waited_for() -> None:
    before_s = cpu_seconds(os.getpid())
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    used = os.times()
    total_s = used.user + used.system + used.children_user + used.children_system
    assert before_s + 0.3 <= cpu_seconds(os.getpid()) == pytest.approx(total_s, abs=0.1)
    assert cpu_seconds(2**22 + 1) == 0
