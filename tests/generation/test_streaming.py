"""Bytes become whole characters at once and never earlier."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.generation.streaming import CharacterStream


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(text=st.text(), places=st.lists(st.integers(min_value=0)))
def test_however_the_bytes_are_cut_the_text_is_the_same(text: str, places: list[int]) -> None:
    stream = CharacterStream()
    assert "".join(map(stream.push, cut(text.encode(), places))) == text


@given(text=st.text())
def test_a_character_comes_with_its_last_byte(text: str) -> None:
    stream = CharacterStream()
    for character in text:
        *first, last = character.encode()
        assert all(stream.push(bytes([byte])) == "" for byte in first)
        assert stream.push(bytes([last])) == character


def test_bytes_that_are_no_text_are_shown_as_such_as_soon_as_that_is_certain() -> None:
    stream = CharacterStream()
    assert stream.push("綴".encode()[:2]) == ""
    assert stream.push("り".encode()) == "\N{REPLACEMENT CHARACTER}り"


def test_a_character_cut_by_the_end_is_dropped() -> None:
    stream = CharacterStream()
    assert stream.push("綴り".encode()[:-1]) == "綴"
