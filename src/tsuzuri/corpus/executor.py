"""Work in numbered pieces on several processes of this machine, which no single document can stop.

An executor takes a job and the numbers of its pieces; a job writes what a piece comes to under a name of its
own, so which worker did it, and when, changes nothing. (An executor on many machines is a second class with
this one method.)

Before each item a worker notes its number in memory that the parent sees too. When a worker dies of an item
(a crash in a parser, the kernel's out-of-memory killer) or stands still over it for too long, the parent
knows which one it was, starts another worker and gives it the same piece without that item. When the parent
dies, however it does, its workers do.
"""

from __future__ import annotations

import signal
import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from ctypes import c_longlong
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from tsuzuri.core.errors import ResourceError
from tsuzuri.core.processes import end_with_parent, unheard_interrupts

CRASHED, STUCK = "crashed", "stuck"
"""Why an item was set aside: its worker died of it, or it took longer than was allowed."""
NO_ITEM = -1
POLL_S = 0.5


class Watch:
    """What a job tells about the item that it is at, and which items it must leave out."""

    def __init__(self, item: c_longlong, skipped: Mapping[int, str]) -> None:
        self.skipped = skipped
        """item → CRASHED or STUCK."""
        self._item = item

    def at(self, item: int) -> None:
        """Note that the work on `item` begins."""
        self._item.value = item


class Job(Protocol):
    """Work in numbered pieces. It is pickled to each worker once."""

    def run(self, piece: int, watch: Watch) -> None:
        """Do a piece, telling `watch` the number of each item before it, and leave out those it names.

        What the user must know is raised as a TsuzuriError and ends the whole work.
        """
        ...


class LocalPool:
    """Worker processes of this machine: those of a `with` block stay for all that is run in it."""

    def __init__(self, workers: int, item_limit_s: float = 300.0) -> None:
        self.workers = workers
        self.item_limit_s = item_limit_s
        """How long one item may take before it is set aside."""
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []
        self._stay = False

    def __enter__(self) -> LocalPool:
        self._stay = True
        return self

    def __exit__(self, *error: object) -> None:
        self._stay = False
        self._end()

    def run(self, job: Job, pieces: Sequence[int]) -> Iterator[int]:
        """Do the pieces and yield the number of each when it is done, in any order.

        Raises what a piece raises, after the other workers have ended.
        """
        waiting = deque(pieces)
        try:
            while waiting or self._busy:
                while waiting and len(self._busy) < self.workers:
                    self._busy.append(self._idle.pop() if self._idle else _Worker(job))
                    self._busy[-1].give(job, waiting.popleft())
                for worker in self._next():
                    self._busy.remove(worker)
                    self._idle.append(worker)
                    yield worker.piece
        finally:
            if self._busy or not self._stay:
                self._end()

    def _next(self) -> list[_Worker]:
        """The workers that have done their piece; those that died or stand still begin theirs again."""
        done = []
        ready = wait([worker.pipe for worker in self._busy], timeout=POLL_S)
        for worker in self._busy:
            if worker.pipe in ready:
                if worker.finished():
                    done.append(worker)
                else:
                    worker.again_without(CRASHED)
            elif worker.stands_still_s() > self.item_limit_s:
                worker.again_without(STUCK)
        return done

    def _end(self) -> None:
        while self._busy or self._idle:
            (self._busy or self._idle).pop().end()


class _Worker:
    """One process, the piece that it works on, and what must be left out of that."""

    def __init__(self, job: Job) -> None:
        self.piece = -1
        self._job = job
        self._item = get_context("forkserver").RawValue(c_longlong, NO_ITEM)
        self._seen = (NO_ITEM, time.monotonic())
        self._skipped: dict[int, str] = {}
        self._start()

    def give(self, job: Job, piece: int) -> None:
        """Let the process begin a piece."""
        self._job, self.piece, self._skipped = job, piece, {}
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
        item = self._item.value
        if item != self._seen[0]:
            self._seen = (item, time.monotonic())
        return time.monotonic() - self._seen[1]

    def again_without(self, reason: str) -> None:
        """Begin the piece again in a new process, without the item that the old one was at."""
        self.end()
        item = self._item.value
        if item == NO_ITEM or item in self._skipped:
            code = self._process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            raise ResourceError(
                f"a worker process {reason} ({how}) at piece {self.piece}",
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
        with unheard_interrupts():
            forkserver.ensure_running()
        self.pipe, other = context.Pipe()
        self._process: BaseProcess = context.Process(target=_work, args=(other, self._item), daemon=True)
        self._process.start()
        other.close()
        self._known: Job | None = None  # the job that the process has

    def _begin(self) -> None:
        self._item.value = NO_ITEM
        self._seen = (NO_ITEM, time.monotonic())
        job = None if self._job is self._known else self._job
        self._known = self._job
        with suppress(BrokenPipeError, ConnectionResetError):  # it has died, which `finished` will see
            self.pipe.send((job, self.piece, self._skipped))


def _work(pipe: Connection[Any, Any], item: c_longlong) -> None:
    """The life of a worker: jobs and pieces come, None or the error that ended one goes back."""
    end_with_parent()
    known: Job | None = None
    with suppress(EOFError, BrokenPipeError):  # the parent has gone, or wants no more
        while True:
            job, piece, skipped = pipe.recv()
            known = job or known
            assert known
            try:
                known.run(piece, Watch(item, skipped))
            except Exception as error:
                error.add_note(traceback.format_exc())  # which does not go through the pipe
                pipe.send(error)
                return
            pipe.send(None)
