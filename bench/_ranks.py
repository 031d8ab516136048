"""Work done in several processes that share a run, as torchrun starts them: forked from one that has torch.

The process that forks must not have computed anything: what threads torch has started are lost in a fork.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

GRACE_S = 10.0
"""For the others to end by themselves, once a rank has died."""


def in_ranks(world: int, work: Callable[[], Result], *, timeout_s: float = 240.0) -> list[Result | int]:
    """What `work` returns in each of `world` processes; of one that fails, its exit status.

    Like torchrun it ends the others when one has died.
    """
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        processes = {_fork(rank, world, port, work, Path(folder)): rank for rank in range(world)}
        statuses: dict[int, int] = {}
        deadline = time.monotonic() + timeout_s
        while len(statuses) < world:
            for process in [process for process, rank in processes.items() if rank not in statuses]:
                found, status = os.waitpid(process, os.WNOHANG)
                if found:
                    statuses[processes[process]] = os.waitstatus_to_exitcode(status)
                    if status:
                        deadline = min(deadline, time.monotonic() + GRACE_S)
                elif time.monotonic() > deadline:
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.01)
        return [
            pickle.loads((Path(folder) / str(rank)).read_bytes()) if statuses[rank] == 0 else statuses[rank]
            for rank in range(world)
        ]


def _fork(rank: int, world: int, port: int, work: Callable[[], Result], folder: Path) -> int:
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    try:
        here = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in here.items()}, MASTER_ADDR="127.0.0.1")
        (folder / str(rank)).write_bytes(pickle.dumps(work()))
        sys.stdout.flush()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
