from __future__ import annotations

import pytest

from tsuzuri.core.progress import say, track
from tsuzuri.core.ranks import is_first, local_rank, rank, world

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1, 0)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, (5, 8, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, (1, 2, 0)),
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, (0, 1, 0)),
        ({"WORLD_SIZE": "2"}, (0, 1, 0)),
        ({"RANK": "3"}, (0, 1, 0)),
    ],
    ids=str,
)
def test_the_environment_says_which_process_this_is(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: tuple[int, int, int]
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (rank(), world(), local_rank()) == expected
    assert is_first() == (expected[0] == 0)


def test_only_the_first_process_is_heard(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for number in ("0", "1"):
        monkeypatch.setenv("RANK", number)
        say(f"rank {number}")
        assert list(track([1, 2], "counting")) == [1, 2]
    assert capsys.readouterr().err == "rank 0\n"
