"""What `up` keeps, and the processes that it keeps running."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from buses import until
from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.specialists.messages import Body, Descriptor, Route, Wanted
from tsuzuri.specialists.up.children import Child, end_all
from tsuzuri.specialists.up.kept import STATE, read_state, read_up, write_state, write_up


def test_what_was_decided_comes_back_and_what_was_refused_does_not(tmp_path: Path) -> None:
    said: dict[str, Body] = {
        "route/kana": Route(epoch=7, shares={"literature": {"2": 1.0}}, generalist="general"),
        "wanted/literature/2": Wanted(specialist="literature", revision="2", engine={"kind": "mock"}),
        "literature/2": Descriptor(specialist="literature", revision="2", state="ready", gain_low=0.1),
    }
    refused = Descriptor(specialist="literature", revision="3", state="refused")
    asked = {"literature": {"revision": "1"}}
    write_state(tmp_path, {**said, "literature/3": refused}, asked)
    assert read_state(tmp_path) == (said, asked)


def test_nothing_was_kept_and_something_is_damaged(tmp_path: Path) -> None:
    assert read_state(tmp_path) == ({}, {})
    for damage in ("{", '{"said": {"x": {"kind": "no", "body": {}}}, "asked": {}}', "[]"):
        (tmp_path / STATE).write_text(damage)
        with pytest.raises(IntegrityError, match="is damaged"):
            read_state(tmp_path)


def test_where_everything_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing runs in"):
        read_up(tmp_path)
    write_up(tmp_path, bootstrap="127.0.0.1:9", address="")
    assert read_up(tmp_path)["bootstrap"] == "127.0.0.1:9"


def test_what_ends_is_started_again_and_says_why(tmp_path: Path) -> None:
    child = Child("wrong", ["no-such-command"], tmp_path)
    until(lambda: child.tend() == 2)
    until(lambda: child.tend() == 2)
    assert child.ends == 2
    assert "error: argument COMMAND: invalid choice: 'no-such-command'" in child.said()


def test_what_is_told_to_end_is_not_started_again(tmp_path: Path) -> None:
    child = Child("version", ["--version"], tmp_path)
    child.tend()
    assert child.is_running
    assert child.process is not None
    os.kill(child.process.pid, signal.SIGSTOP)  # one that is paused, too
    end_all([child], 60, lambda: False)
    child.tend()
    assert not child.is_running
    assert child.tend() is None


def test_patience_has_an_end(tmp_path: Path) -> None:
    child = Child("version", ["--version"], tmp_path)
    child.tend()
    end_all([child], 60, lambda: True)
    assert not child.is_running


STUCK = """
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(__file__).with_name("begun").touch()
time.sleep(600)
"""


def test_what_does_not_end_when_it_is_asked_to_is_killed(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(STUCK)
    child = Child("stuck", ["--version"], tmp_path, {"PYTHONPATH": str(tmp_path)})
    child.tend()
    until((tmp_path / "begun").exists)
    child.stop(patience_s=3600)
    assert child.tend() is None
    child.stop(patience_s=0.1)
    until(lambda: child.tend() == -signal.SIGKILL)
    assert child.tend() is None, "it is started no more"
    assert not child.is_running
