"""Names by label, reading and honorific; the words that are no names."""

from __future__ import annotations

import pytest
from tests.corpus.anonymize.found import found

from tsuzuri.corpus.anonymize.names import is_no_name


@pytest.mark.parametrize(
    ("text", "name", "score"),
    [
        ("氏名：山田　太郎", "山田　太郎", 0.9),
        ("氏名は山田太郎です", "山田太郎", 0.9),
        ("担当：佐々木 さくら様", "佐々木 さくら", 0.9),
        ("申込者: ジョン・スミス", "ジョン・スミス", 0.9),
        ("山田 太郎（やまだ たろう）", "山田 太郎", 0.8),
        ("宇野 千代（うの ちよ）", "宇野 千代", 0.6),
        ("昨日、田中さんが", "田中", 0.8),
        ("それは柳川氏の", "柳川", 0.8),
        ("昨日マイケルさんが", "マイケル", 0.6),
    ],
)
def test_a_name_is_as_sure_as_what_stands_around_it(text: str, name: str, score: float) -> None:
    assert found(text, score) == [("person_name", name)]
    assert found(text, score + 0.1) == []


@pytest.mark.parametrize("word", ["皆", "王", "神", "奥", "客", "店長", "お母", "運転手", "女神"])
def test_a_word_that_is_no_name_is_left(word: str) -> None:
    assert found(f"その{word}さん、あの{word}様") == []


def test_words_of_respect_in_a_row_are_no_names() -> None:
    assert found("皆様 神様 奥さん お客様 店長さん") == []


def test_a_word_is_no_name_by_its_end_too() -> None:
    assert is_no_name("副店長")
    assert not is_no_name("山神谷")


@pytest.mark.parametrize(
    "text",
    ["日本人は勤勉である", "本人は否定した", "姓名はまだない", "担当は変わった", "氏名　住所　電話番号"],
)
def test_prose_after_a_word_that_could_be_a_label_is_left(text: str) -> None:
    assert found(text) == []


def test_a_frequent_surname_with_a_given_name_is_possibly_one() -> None:
    assert found("昨年、山田太郎は去った", 0.6) == [("person_name", "山田太郎")]
    assert found("石川県と田中銀行と山口大学と中島町と林檎") == []
