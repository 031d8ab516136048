from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from tsuzuri.core.progress import say, track

PROGRAM = """
import sys
from tsuzuri.core.progress import track
count = 0
def describe():
    return f"packing file {count}"
for count in track(range(5), describe, total=5):
    pass
print("done", count)
"""


def test_every_item_passes_in_order() -> None:
    assert list(track(iter("いろは"), "reading", total=3)) == ["い", "ろ", "は"]
    assert list(track([], "reading")) == []


def test_people_are_told_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("綴り")
    assert capsys.readouterr() == ("", "綴り\n")


def test_a_short_work_leaves_a_log_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(list(track(range(1_000), "reading", total=1_000))) == 1_000
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_and_standard_output_stays_clean() -> None:
    reader, writer = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            stdout=subprocess.PIPE,
            stderr=writer,
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(writer)
        shown = os.read(reader, 100_000).decode()
    finally:
        os.close(reader)
    assert done.returncode == 0
    assert done.stdout == b"done 4\n"
    assert "packing file" in shown
