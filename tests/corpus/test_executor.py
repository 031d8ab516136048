from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tsuzuri.core.errors import InputError, ResourceError
from tsuzuri.corpus.executor import CRASHED, STUCK, LocalPool, Watch

ITEMS = 5


@dataclass
class Write:
    """Each piece is a file with a line for each of its items; some items are deadly."""

    folder: Path
    crashing: frozenset[tuple[int, int]] = frozenset()
    sleeping: frozenset[tuple[int, int]] = frozenset()
    refused: int = -1
    crash_before: int = -1

    def run(self, piece: int, watch: Watch) -> None:
        if piece == self.refused:
            raise InputError("this piece is refused", hint="leave it out")
        if piece == self.crash_before:
            os.kill(os.getpid(), signal.SIGKILL)
        (self.folder / f"pid-{piece}").write_text(str(os.getpid()))
        lines = []
        for item in range(ITEMS):
            watch.at(item)
            if item in watch.skipped:
                lines.append(watch.skipped[item])
                continue
            if (piece, item) in self.crashing:
                os.kill(os.getpid(), signal.SIGKILL)
            if (piece, item) in self.sleeping:
                time.sleep(600)
            lines.append(f"{piece}.{item}")
        (self.folder / str(piece)).write_text("\n".join(lines))


def whole(piece: int) -> list[str]:
    return [f"{piece}.{item}" for item in range(ITEMS)]


@pytest.mark.parametrize("workers", [1, 3])
def test_every_piece_is_done_once(tmp_path: Path, workers: int) -> None:
    done = list(LocalPool(workers).run(Write(tmp_path), range(7)))
    assert sorted(done) == list(range(7))
    for piece in range(7):
        assert (tmp_path / str(piece)).read_text().split("\n") == whole(piece)


def test_nothing_to_do_is_done() -> None:
    assert list(LocalPool(2).run(Write(Path()), [])) == []


def test_items_that_kill_or_hold_their_worker_are_set_aside(tmp_path: Path) -> None:
    job = Write(tmp_path, crashing=frozenset({(1, 0), (1, 3), (2, 4)}), sleeping=frozenset({(3, 2)}))
    assert sorted(LocalPool(2, item_limit_s=4.0).run(job, range(5))) == list(range(5))
    expected = {piece: whole(piece) for piece in range(5)}
    for piece, item in job.crashing:
        expected[piece][item] = CRASHED
    expected[3][2] = STUCK
    assert {piece: (tmp_path / str(piece)).read_text().split("\n") for piece in range(5)} == expected


def test_an_error_for_the_user_ends_the_work_with_its_hint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="refused") as caught:
        list(LocalPool(2).run(Write(tmp_path, refused=1), range(3)))
    assert caught.value.hint == "leave it out"


def test_a_death_that_no_item_explains_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"crashed \(SIGKILL\) at piece 1"):
        list(LocalPool(2).run(Write(tmp_path, crash_before=1), range(3)))


def test_the_workers_of_a_block_stay_for_all_its_runs(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "refused", "after")]
    for folder in folders:
        folder.mkdir()
    with LocalPool(2) as pool:
        list(pool.run(Write(folders[0]), range(4)))
        list(pool.run(Write(folders[1]), range(4)))
        with pytest.raises(InputError, match="refused"):
            list(pool.run(Write(folders[2], refused=1), range(4)))
        list(pool.run(Write(folders[3]), range(4)))
    whole = (folders[0], folders[1], folders[3])  # of the refused run a worker may have died in a note
    one, two, after = ({int(note.read_text()) for note in folder.glob("pid-*")} for folder in whole)
    assert two <= one
    assert not after & one  # which ended with the error
    assert not any(map(is_alive, one | after))


PROGRAM = """
import os, sys, time
from tsuzuri.corpus.executor import LocalPool

class Sleep:
    def run(self, piece, watch):
        os.write(1, b"%d\\n" % os.getpid())
        time.sleep(600)

if __name__ == "__main__":
    list(LocalPool(2).run(Sleep(), range(2)))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_a_process_that_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        assert process.stdout
        assert process.stderr
        pids = [int(process.stdout.readline()) for _ in range(2)]
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        assert process.wait() == -number
        until(lambda: not any(map(is_alive, pids)))
        assert process.stderr.read().count("Traceback") == (number == signal.SIGINT)


SLOW_TO_LOAD = """
import os, sys, time

if sys.argv[0] == "-c":  # in the server of the workers, which loads it before the first of them
    os.write(1, b"loading\\n")
    time.sleep(1)

class Nothing:
    def run(self, piece, watch):
        pass
"""


def test_ctrl_c_while_workers_are_started_is_answered_once(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from slow import Nothing\n"
        "from tsuzuri.corpus.executor import LocalPool\n"
        "if __name__ == '__main__': list(LocalPool(2).run(Nothing(), range(2)))\n"
    )
    (tmp_path / "slow.py").write_text(SLOW_TO_LOAD)
    with subprocess.Popen(
        [sys.executable, str(program)],
        cwd=tmp_path,  # where the server looks for modules
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "loading\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == -signal.SIGINT
        assert '"<string>"' not in process.stderr.read()  # what their server is begun with


def test_no_worker_outlives_the_work(tmp_path: Path) -> None:
    pieces = LocalPool(2).run(Write(tmp_path, sleeping=frozenset({(1, 0)})), range(2))
    assert next(pieces) == 0
    notes = [tmp_path / "pid-0", tmp_path / "pid-1"]
    until(lambda: all(note.exists() and note.read_text() for note in notes))
    pids = [int(note.read_text()) for note in notes]
    pieces.close()
    until(lambda: not any(map(is_alive, pids)))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
