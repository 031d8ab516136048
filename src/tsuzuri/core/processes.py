"""Processes that do not outlive the command that started them, and what one takes: memory, CPU time."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import parent_process, resource_tracker
from threading import Thread

PR_SET_PDEATHSIG = 1  # of Linux: linux/prctl.h
TIE = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(int(sys.argv[1]), signal.SIGKILL)
if os.getppid() == int(sys.argv[2]):
    os.execvp(sys.argv[3], sys.argv[3:])
"""


def tied(command: Sequence[str]) -> list[str]:
    """A command that runs this one and is killed when the thread that starts it ends, however it ends.

    Elsewhere than on Linux the command as it is.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", TIE, str(PR_SET_PDEATHSIG), str(os.getpid()), *command]


@contextmanager
def unheard_interrupts() -> Iterator[None]:
    """Within it Ctrl-C is not heard before the end, and never by the processes that are started in it.

    It is the command's to answer: a process that is still importing would answer with a traceback.
    """
    resource_tracker.ensure_running()  # who starts it lets Ctrl-C through again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def end_with_parent() -> None:
    """Let this worker process end when its parent has gone, however that ended."""
    Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    parent = parent_process()
    assert parent, "this process was started by multiprocessing"
    parent.join()
    os._exit(1)


def resident_bytes(pid: int) -> int:
    """Memory that a process occupies; 0 where the system does not say, or has no such process."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and of the children that it has waited for; 0 where the system does not say,
    or has no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            facts = file.read().rpartition(b")")[2].split()  # the name before may hold anything
    except OSError:
        return 0.0
    return sum(map(int, facts[11:15])) / os.sysconf("SC_CLK_TCK")
