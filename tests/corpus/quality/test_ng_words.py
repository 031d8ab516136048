"""Words of a list are found where they stand by themselves, and counted by their share of a text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.quality.characters import code_points
from tsuzuri.corpus.quality.config import NgWordsConfig
from tsuzuri.corpus.quality.ng_words import Matches, NgWords, limit_broken


def found(words: list[str], text: str) -> Matches:
    return NgWords(words).find(code_points(text))


@pytest.mark.parametrize(
    ("word", "text", "hits"),
    [
        ("アス", "アスパラガスを食べる。", 0),
        ("アス", "アスを食べる。", 1),
        ("アス", "マリアスとアスー", 0),
        ("サック", "リュックサックを買う", 0),
        ("ass", "the class passes", 0),
        ("ass", "an ass.", 1),
        ("18", "2018年に18歳", 1),
        ("死", "必死に働く", 0),
        ("死", "死を思う", 1),
        ("暴力", "家庭内暴力団", 1),
        ("ばか", "ばかばかしい", 2),
    ],
)
def test_a_word_counts_where_it_could_stand_alone(word: str, text: str, hits: int) -> None:
    assert found([word], text).hits == hits


def test_the_shorter_word_counts_where_the_longer_one_cannot() -> None:
    assert found(["悪人", "悪人ノ", "人ノ名"], "悪人ノート") == Matches(1, 2)


def test_letters_in_two_words_count_once() -> None:
    assert found(["悪人", "人気者"], "悪人気者だ") == Matches(2, 4)


def test_where_they_stand() -> None:
    words = NgWords(["悪人", "人気者", "死"])
    assert words.spans(code_points("悪人気者だ。死")) == [(0, 4), (6, 7)]
    assert words.spans(code_points("")) == []


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(alphabet="あい漢字", min_size=2, max_size=4), min_size=1, max_size=6),
    st.text(alphabet="あい漢字。", max_size=60),
)
def test_every_occurrence_is_found(words: list[str], text: str) -> None:
    places = [
        (at, at + len(word)) for word in set(words) for at in range(len(text)) if text.startswith(word, at)
    ]
    letters = {place for start, end in places for place in range(start, end)}
    assert found(words, text) == Matches(len(places), len(letters))


def test_limits() -> None:
    config = NgWordsConfig(file=Path("words.txt"), max_rate=0.05, max_hits=3)
    assert limit_broken(config, Matches(1, 5), 100) == (0.05, 0.05)
    assert limit_broken(config, Matches(4, 4), 100) == (4, 3)
    assert limit_broken(config, Matches(3, 4), 100) is None
    assert limit_broken(config, Matches(0, 0), 0) is None


def test_a_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeff悪人 # a comment\n\n# more\n 悪事\n", encoding="utf-8")
    assert NgWords.read(path).find(code_points("悪人の悪事")) == Matches(2, 4)


@pytest.mark.parametrize("content", [None, "# nothing\n", b"\xff\xfe\x00"])
def test_a_list_that_is_none(tmp_path: Path, content: str | bytes | None) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=r"words\.txt"):
        NgWords.read(path)
