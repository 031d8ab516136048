"""Dates of birth by the calendar and the eras, ages in forms, plates."""

from __future__ import annotations

from datetime import date

import pytest
from tests.corpus.anonymize.found import found

from tsuzuri.corpus.anonymize.dates import DATE, read_date


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("生年月日：昭和60年3月5日", "昭和60年3月5日"),
        ("生年月日：S60.3.5", "S60.3.5"),
        ("生年月日\n1990/02/03", "1990/02/03"),
        ("1990年2月3日生まれの", "1990年2月3日"),
        ("女性、1990年2月3日生", "1990年2月3日"),
        ("（平成元年二月）平成元年2月3日生）", "平成元年2月3日"),
        ("１９７２年（昭和４７年）９月１４日生まれ", "１９７２年（昭和４７年）９月１４日"),
    ],
)
def test_a_date_of_birth_needs_its_word(text: str, value: str) -> None:
    assert found(text) == [("birth_date", value)]


@pytest.mark.parametrize(
    "text",
    [
        "会議は1990年2月3日",
        "1990年2月30日生まれ",
        "生年月日：昭和65年1月1日",
        "生年月日：昭和64年1月8日",
        "2000年4月1日〜2001年4月1日生まれの人",
        "誕生日は1990年2月3日以降",
        "生年不詳 - 1894年8月28日",
        "彼は34歳だった",
        "年齢は満30歳に引き上げられた",
        "年齢：18歳以上",
    ],
)
def test_other_dates_and_ages_are_left(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(("text", "day"), [("平成31年4月30日", date(2019, 4, 30)), ("令和元年4月30日", None)])
def test_an_era_has_a_first_and_a_last_day(text: str, day: date | None) -> None:
    match = DATE.match(text)
    assert match
    assert read_date(match) == day


def test_ages_and_plates() -> None:
    assert found("氏名：山田 太郎 年齢：34歳") == [("person_name", "山田 太郎"), ("age", "34歳")]
    assert found("車は品川 500 あ 12-34で") == [("plate", "品川 500 あ 12-34")]
    assert found("品川500あの12-34") == []
