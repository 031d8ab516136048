"""Stop texts are found wherever the stream is cut, and nothing is held back without need."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.generation.stopping import StopFinder

short_texts = st.text(alphabet="あいう", max_size=20)
stop_texts = st.lists(st.text(alphabet="あいう", min_size=1, max_size=4), max_size=3)


def passed(finder: StopFinder, parts: list[str]) -> str:
    return "".join(map(finder.push, parts)) + finder.flush()


@given(
    parts=st.lists(short_texts, max_size=6),
    stop=stop_texts,
)
def test_the_text_ends_where_the_first_stop_text_would_begin(parts: list[str], stop: list[str]) -> None:
    whole = "".join(parts)
    # the stop text that is complete first decides; of those complete at once, the one that begins first
    ends = [end for end in range(len(whole) + 1) if any(whole[:end].endswith(each) for each in stop)]
    finder = StopFinder(stop)
    found = "".join(finder.push(character) for character in whole) + finder.flush()
    if not ends:
        assert found == whole
        assert not finder.stopped
    else:
        longest = max(len(each) for each in stop if whole[: ends[0]].endswith(each))
        assert found == whole[: ends[0] - longest]
        assert finder.stopped


@given(parts=st.lists(short_texts, max_size=6), stop=stop_texts)
def test_cutting_the_stream_elsewhere_changes_nothing(parts: list[str], stop: list[str]) -> None:
    assert passed(StopFinder(stop), parts) == passed(StopFinder(stop), list("".join(parts)))


@given(text=short_texts, stop=st.text(alphabet="あいう", min_size=1, max_size=4))
def test_only_what_could_become_a_stop_text_is_held_back(text: str, stop: str) -> None:
    finder = StopFinder([stop])
    shown = ""
    for character, before in zip(text, itertools.accumulate(text), strict=True):
        shown += finder.push(character)
        if finder.stopped:
            return
        held = before[len(shown) :]
        assert stop.startswith(held)
        assert all(not before.endswith(stop[:longer]) for longer in range(len(held) + 1, len(stop)))


def test_nothing_comes_after_a_stop_text() -> None:
    finder = StopFinder(["。"])
    assert finder.push("はい。いいえ") == "はい"
    assert finder.push("まだ") == finder.flush() == ""
