"""Cuts: at whole characters, without scraps, without sentences that nobody wrote."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.duplicates.spans import PLACE_BITS, Cut, cut, is_boundary, joined

MARKED = "かきく\u3099けが\u3099葛\U000e0100飾ｶﾞ👩🏽\u200d🚀e\u0301x\r\nか"


@pytest.mark.parametrize(
    ("text", "spans", "shortest", "expected"),
    [
        ("今日は晴れ。明日は雨。", [(0, 6)], 1, "明日は雨。"),
        ("今日は晴れ。明日は雨。", [], 1, "今日は晴れ。明日は雨。"),
        ("一二三四五六七八九", [(3, 6)], 1, "一二三\n七八九"),
        ("一二三\n四五六\n七八九\n", [(4, 8)], 1, "一二三\n七八九\n"),
        ("一二三四五六七八九", [(2, 6)], 3, "七八九"),
        ("一二三四五六七八九", [(2, 8)], 3, ""),
        ("一二三四五六七八九", [(0, 9)], 0, ""),
        ("はか\u3099き", [(0, 2)], 1, "か\u3099き"),
        ("はか\u3099き", [(2, 4)], 1, "はか\u3099"),
        ("はか\u3099き", [(2, 3)], 1, "はか\u3099き"),
    ],
)
def test_what_is_left(text: str, spans: list[tuple[int, int]], shortest: int, expected: str) -> None:
    assert cut(text, [Cut(start, end, shortest) for start, end in spans]) == expected


@pytest.mark.parametrize(
    ("passages", "expected"),
    [
        ([Cut(3, 6, 4), Cut(9, 12, 1)], "七八九\n三四五"),  # between the two one character is enough
        ([Cut(3, 6, 4), Cut(9, 12, 4)], ""),
        ([Cut(9, 12, 1), Cut(3, 6, 1)], "一二三\n七八九\n三四五"),
        ([Cut(3, 6, 4), Cut(5, 9, 1)], "一二三\n〇一二三四五"),
        ([Cut(3, 6, 4), Cut(6, 12, 4)], ""),
    ],
)
def test_every_kind_of_passage_has_its_own_shortest_piece(passages: list[Cut], expected: str) -> None:
    assert cut("一二三四五六七八九〇一二三四五", passages) == expected


@given(st.lists(st.integers(0, len(MARKED)), min_size=2, max_size=6, unique=True))
def test_no_mark_is_parted_from_its_base(bounds: list[int]) -> None:
    bounds = sorted(bounds)[: len(bounds) // 2 * 2]
    for piece in cut(
        MARKED, [Cut(start, end, 1) for start, end in zip(bounds[::2], bounds[1::2], strict=True)]
    ).split("\n"):
        assert not piece or unicodedata.combining(piece[0]) == 0


def test_boundaries_of_what_is_seen_as_one_character() -> None:
    seen = "か|き|く\u3099|け|が\u3099|葛\U000e0100|飾|ｶﾞ|👩🏽\u200d🚀|e\u0301|x|\r\n|か"
    places = [place for place in range(1, len(MARKED)) if is_boundary(MARKED, place)]
    assert places == np.cumsum([len(piece) for piece in seen.split("|")])[:-1].tolist()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(1, 8))))
def test_joined_spans_cover_what_the_passages_cover(passages: list[tuple[int, int, int]]) -> None:
    passages.sort()
    where = np.array([row << PLACE_BITS | start for row, start, _ in passages], np.uint64)
    spans = joined(where, np.array([length for *_, length in passages], np.int64))
    expected = {(row, place) for row, start, length in passages for place in range(start, start + length)}
    assert {(row, place) for row, start, end in spans.tolist() for place in range(start, end)} == expected
    for (row, _, end), (next_row, start, _) in pairwise(spans.tolist()):
        assert (row, end) < (next_row, start)
