"""What a command takes together with every process that it starts: CPU time, memory and disk, and what of it
stays behind when it is killed.

`measure` puts a watcher between the bench and the command, a process of its own: as the subreaper (prctl(2))
of all that the command starts it inherits what outlives its parent, so no second of CPU time is missed.
Memory is the sum of proportional set sizes (PSS: a page that n processes share counts an n-th in each), as
/proc/PID/smaps_rollup has it; that includes pages of files that are mapped, which the kernel may take back,
so what is anonymous is kept beside it.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tsuzuri.core.processes import cpu_seconds

PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 30.0
"""How long what a command leaves behind may go on before it is killed."""
DEPTH = 3


@dataclass(frozen=True)
class Sample:
    """One look at a command's processes and folder."""

    elapsed_s: float
    cpu_s: float
    """Of all its processes until now, those that have ended too."""
    memory_bytes: int
    """Their PSS together."""
    anonymous_bytes: int
    """The part of it that is no page of a file."""
    disk: Mapping[str, int]
    """Folder below the one watched (`.` is that itself) → the bytes of the files in it; what lies deeper
    than three folders counts to the third."""


@dataclass(frozen=True)
class Usage:
    """What a command took."""

    status: int
    elapsed_s: float
    cpu_s: float
    left_behind: int
    """Its processes that went on after it and had to be killed."""
    samples: tuple[Sample, ...]

    @property
    def peak_memory_bytes(self) -> int:
        """The largest PSS of all processes together."""
        return max(sample.memory_bytes for sample in self.samples)

    @property
    def peak_disk_bytes(self) -> int:
        """The most that lay in the folder."""
        return max(sum(sample.disk.values()) for sample in self.samples)


def measure(command: Sequence[str], folder: Path, *, every_s: float = 0.5) -> Usage:
    """What a command takes until all its processes have ended, looked at every so often; `folder` is where it
    writes. What it prints goes to standard error. SystemExit when it fails."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "usage.json"
        watcher = [sys.executable, __file__, str(report), str(folder), str(every_s), *command]
        subprocess.run(watcher, stdout=sys.stderr, check=True)
        values = json.loads(report.read_text(encoding="utf-8"))
    usage = Usage(**{**values, "samples": tuple(Sample(**sample) for sample in values["samples"])})
    if usage.status:
        raise SystemExit(f"{' '.join(command)} ended with {usage.status}")
    return usage


def watch(command: Sequence[str], folder: Path, every_s: float) -> Usage:
    """Run a command in this process, which must have no other children, and look at it every so often."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    started = time.monotonic()
    process = os.posix_spawnp(command[0], command, os.environ, setsigmask=())
    samples: list[Sample] = []
    status, ended_s, left_behind = -1, 0.0, 0
    while True:
        samples.append(_look(folder, time.monotonic() - started))
        signal.sigtimedwait({signal.SIGCHLD}, every_s)
        for child, how in _ended():
            if child == process:
                status, ended_s = os.waitstatus_to_exitcode(how), time.monotonic() - started
        running = descendants(os.getpid())
        if status != -1 and not running:
            break
        if status != -1 and time.monotonic() - started > ended_s + GRACE_S:
            left_behind += len(running)
            for child in running:
                _kill(child)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Usage(status, ended_s, used.ru_utime + used.ru_stime, left_behind, tuple(samples))


def descendants(process: int) -> list[int]:
    """The processes that a process has started, and those that these have started."""
    children: dict[int, list[int]] = {}
    for child, facts in _processes():
        children.setdefault(int(facts[1]), []).append(child)
    found, waiting = [], [process]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def in_session(session: int) -> list[int]:
    """The running processes of a session, which bears the number of the process that opened it."""
    return [process for process, facts in _processes() if int(facts[3]) == session and facts[0] != b"Z"]


def memory(processes: Iterable[int]) -> tuple[int, int]:
    """(PSS, anonymous PSS) of processes together, in bytes; one that has ended has none."""
    total: Counter[bytes] = Counter()
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_bytes().splitlines()[1:]
        except OSError:
            continue
        total.update({line.split()[0]: int(line.split()[1]) * 1024 for line in lines})
    return total[b"Pss:"], total[b"Pss_Anon:"]


def sizes(folder: Path) -> dict[str, int]:
    """Folder below `folder` → the bytes of the files in it, while they come and go."""
    found: Counter[str] = Counter()
    for place, _, names in os.walk(folder):
        parts = Path(place).relative_to(folder).parts[:DEPTH]
        for name in names:
            try:
                found["/".join(parts) or "."] += os.stat(os.path.join(place, name)).st_blocks * 512
            except OSError:
                continue
    return dict(found)


def _look(folder: Path, elapsed_s: float) -> Sample:
    running = descendants(os.getpid())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = used.ru_utime + used.ru_stime + sum(map(cpu_seconds, running))
    return Sample(elapsed_s, cpu_s, *memory(running), sizes(folder))


def _processes() -> Iterator[tuple[int, list[bytes]]]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (facts := _facts(int(name))):
            yield int(name), facts


def _facts(process: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the third on: state, parent, group, session, …"""
    try:
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def _ended() -> Iterator[tuple[int, int]]:
    while True:
        try:
            process, how = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not process:
            return
        yield process, how


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    report, folder, every_s, *command = sys.argv[1:]
    usage = watch(command, Path(folder), float(every_s))
    Path(report).write_text(json.dumps(asdict(usage)), encoding="utf-8")
