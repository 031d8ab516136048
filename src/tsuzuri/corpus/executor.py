"""Work in numbered pieces on several processes of this machine, which no single document can stop.

An executor takes a job and the numbers of its pieces; a job writes what a piece comes to under a name of its
own, so which worker did it, and when, changes nothing. (An executor on many machines is a second class with
this one method.)

Before each item a worker notes its number in a file that the parent maps too. When a worker dies of an item
(a crash in a parser, the kernel's out-of-memory killer) or stands still over it for too long, the parent
knows which one it was, starts another worker and gives it the same piece without that item.
"""

from __future__ import annotations

import mmap
import signal
import struct
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from tsuzuri.core.errors import ResourceError

CRASHED, STUCK = "crashed", "stuck"
"""Why an item was set aside: its worker died of it, or it took longer than was allowed."""
ITEM = struct.Struct("<q")
POLL_S = 0.5


class Watch:
    """What a job tells about the item that it is at, and which items it must leave out."""

    def __init__(self, path: Path, skipped: Mapping[int, str]) -> None:
        self.skipped = skipped
        """item → CRASHED or STUCK."""
        with open(path, "r+b") as file:
            self._shared = mmap.mmap(file.fileno(), ITEM.size)

    def at(self, item: int) -> None:
        """Note that the work on `item` begins."""
        ITEM.pack_into(self._shared, 0, item)


class Job(Protocol):
    """Work in numbered pieces. It is pickled to the workers once."""

    def run(self, piece: int, watch: Watch) -> None:
        """Do a piece, telling `watch` the number of each item before it, and leave out those it names.

        What the user must know is raised as a TsuzuriError and ends the whole work.
        """
        ...


@dataclass
class LocalPool:
    """Worker processes of this machine."""

    workers: int
    item_limit_s: float = 300.0
    """How long one item may take before it is set aside."""

    def run(self, job: Job, pieces: Sequence[int]) -> Iterator[int]:
        """Do the pieces and yield the number of each when it is done, in any order.

        Raises what a piece raises, after the other workers have ended.
        """
        waiting = deque(pieces)
        busy: list[_Worker] = []
        with tempfile.TemporaryDirectory(prefix="tsuzuri-") as folder:
            idle = [_Worker(job, Path(folder) / str(n)) for n in range(min(self.workers, len(pieces)))]
            try:
                while waiting or busy:
                    while idle and waiting:
                        worker = idle.pop()
                        worker.give(waiting.popleft())
                        busy.append(worker)
                    for worker in self._next(busy):
                        busy.remove(worker)
                        idle.append(worker)
                        yield worker.piece
            finally:
                for worker in (*busy, *idle):
                    worker.end()

    def _next(self, busy: Sequence[_Worker]) -> list[_Worker]:
        """The workers that have done their piece; those that died or stand still begin theirs again."""
        done = []
        ready = wait([worker.pipe for worker in busy], timeout=POLL_S)
        for worker in busy:
            if worker.pipe in ready:
                if worker.finished():
                    done.append(worker)
                else:
                    worker.again_without(CRASHED)
            elif worker.stands_still_s() > self.item_limit_s:
                worker.again_without(STUCK)
        return done


class _Worker:
    """One process, the piece that it works on, and what must be left out of that."""

    def __init__(self, job: Job, path: Path) -> None:
        self.piece = -1
        self._job, self._path = job, path
        path.write_bytes(ITEM.pack(-1))
        with open(path, "r+b") as file:
            self._shared = mmap.mmap(file.fileno(), ITEM.size)
        self._skipped: dict[int, str] = {}
        self._seen = (-1, time.monotonic())
        self._start()

    def give(self, piece: int) -> None:
        """Let the process begin a piece."""
        self.piece, self._skipped = piece, {}
        self._begin()

    def finished(self) -> bool:
        """Whether the piece is done; False where the process died. Raises what the job raised."""
        try:
            error = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return False
        if error is not None:
            raise error
        return True

    def stands_still_s(self) -> float:
        """How long the process has been at the same item."""
        (item,) = ITEM.unpack_from(self._shared)
        if item != self._seen[0]:
            self._seen = (item, time.monotonic())
        return time.monotonic() - self._seen[1]

    def again_without(self, reason: str) -> None:
        """Begin the piece again in a new process, without the item that the old one was at."""
        self.end()
        (item,) = ITEM.unpack_from(self._shared)
        if item < 0 or item in self._skipped:
            raise ResourceError(
                f"a worker process {reason} outside of any document, at piece {self.piece}",
                hint="give it more memory or fewer corpus.workers, and run the same command again",
            )
        self._skipped[item] = reason
        self._start()
        self._begin()

    def end(self) -> None:
        """End the process, whatever it does."""
        self.pipe.close()
        self._process.kill()
        self._process.join()

    def _start(self) -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload([type(self._job).__module__])
        self.pipe, other = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=_work, args=(self._job, other, self._path), daemon=True
        )
        self._process.start()
        other.close()

    def _begin(self) -> None:
        ITEM.pack_into(self._shared, 0, -1)
        self._seen = (-1, time.monotonic())
        self.pipe.send((self.piece, self._skipped))


def _work(job: Job, pipe: Connection[Any, Any], path: Path) -> None:
    """The life of a worker: pieces come, None or the error that ended one goes back."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    with suppress(EOFError, BrokenPipeError):  # the parent has gone, or wants no more
        while True:
            piece, skipped = pipe.recv()
            try:
                job.run(piece, Watch(path, skipped))
            except Exception as error:
                pipe.send(error)
                return
            pipe.send(None)
