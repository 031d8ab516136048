"""Dates of birth and ages, where a word says that they are that; and number plates.

A date is read by the calendar and by the eras' own first and last days, so that 昭和65年 is no birthday.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from types import MappingProxyType

from tsuzuri.corpus.anonymize.finding import CHECKED, LABELLED, Finding

ERAS: Mapping[str, tuple[date, date]] = MappingProxyType(
    {
        "明治": (date(1868, 1, 25), date(1912, 7, 30)),
        "大正": (date(1912, 7, 30), date(1926, 12, 25)),
        "昭和": (date(1926, 12, 25), date(1989, 1, 7)),
        "平成": (date(1989, 1, 8), date(2019, 4, 30)),
        "令和": (date(2019, 5, 1), date(2099, 12, 31)),
    }
)
"""The first and last day of each era that somebody born in it may have seen."""
_INITIALS = MappingProxyType({"M": "明治", "T": "大正", "S": "昭和", "H": "平成", "R": "令和"})

DATE = re.compile(
    r"(?<![0-9A-Za-z])(?:"
    r"(?P<year>(?:18|19|20)[0-9]{2})"
    r"|(?P<era>明治|大正|昭和|平成|令和|[MTSHR]) ?(?P<era_year>[0-9]{1,2}|元)"
    r") ?(?:年|[-/.]) ?(?:\((?:明治|大正|昭和|平成|令和)(?:[0-9]{1,2}|元)年?\))?"
    r"(?P<month>[0-9]{1,2}) ?(?:月|[-/.]) ?(?P<day>[0-9]{1,2})日?(?![0-9])"
)
_BORN = re.compile(r"生年|誕生|出生|生まれ|生れ|生(?=[)、。 \n]|$)|Birth|birth|DOB")
_BORN_WINDOW = 48
_BORN_BEFORE = re.compile(
    r"(?:生年月日|誕生日|出生日|生まれた日|生年(?!不)|[Bb]irthday|[Bb]irth|DOB)[^0-9\n。]{0,8}\n?$"
)
_BORN_AFTER = re.compile(r"[) ]{0,2}(?:生まれ|生れ|出生|誕生)|\)? ?生(?=[)、。 \n]|$)")
_BORN_REACH = 16
_RANGE_AFTER = re.compile(r" ?(?:以降|以前|[〜~])")

_AGE = re.compile(
    r"(?P<age>[0-9](?<![0-9][0-9])[0-9]{0,2}) ?(?:歳|才)(?!未満|以上|以下|児|代|時|ごろ|頃|[~〜-])"
)
_AGE_WORD = re.compile(
    r"(?:(?<!修業)(?:年齢|年令)(?:\([^)]{0,8}\))? ?[:=|/] ?満?"
    r"|(?:性別|氏名|お名前) ?[:=|/][^0-9\n。]{0,14}) ?$"
)
_AGE_REACH = 20
_OLDEST = 130

_PLATE_MIDDLE = re.compile(r"[0-9A-Z] ?[あ-を] ?[0-9・.]")
_PLATE_LEFT, _PLATE_RIGHT = 10, 8
_PLATE = re.compile(
    r"(?<![一-鿿ァ-ヶ])(?:[一-鿿]{1,4}|[ァ-ヶ]{2,4}|つくば|いわき) ?[0-9][0-9A-Z]{1,2}"
    r" ?[あ-を] ?(?:[0-9・.]{2}-[0-9]{2}|[・.]{1,3}[0-9]{1,3})(?![0-9-])"
)


def find_birth_date(text: str) -> Iterator[Finding]:
    """Dates of birth: real days beside 生年月日, 生まれ and their like."""
    past = 0
    for word in _BORN.finditer(text):
        begin = max(past, word.start() - _BORN_WINDOW)
        for match in DATE.finditer(text, begin, word.end() + _BORN_WINDOW):
            start, end = match.span()
            before = _BORN_BEFORE.search(text[max(0, start - _BORN_REACH) : start])
            if text.endswith(("〜", "~"), 0, start) or _RANGE_AFTER.match(text, end):
                continue  # a cohort, not a person
            if (before or _BORN_AFTER.match(text, end)) and read_date(match):
                yield Finding("birth_date", start, end, "birth_date.named", LABELLED)
                past = end


def find_age(text: str) -> Iterator[Finding]:
    """Ages in a form (年齢：34歳); an age told in prose names nobody."""
    for match in _AGE.finditer(text):
        start = match.start()
        if int(match["age"]) <= _OLDEST and _AGE_WORD.search(text[max(0, start - _AGE_REACH) : start]):
            yield Finding("age", *match.span(), "age.named", LABELLED)


def find_plate(text: str) -> Iterator[Finding]:
    """Number plates: office, class, kana, serial number."""
    for middle in _PLATE_MIDDLE.finditer(text):
        match = _PLATE.search(text, max(0, middle.start() - _PLATE_LEFT), middle.end() + _PLATE_RIGHT)
        if match:
            yield Finding("plate", *match.span(), "plate.shape", CHECKED)


def read_date(match: re.Match[str]) -> date | None:
    """The day that a match of DATE names, or None when there was no such day."""
    if match["year"]:
        year, (first, last) = int(match["year"]), (date(1850, 1, 1), date(2099, 12, 31))
    else:
        first, last = ERAS[_INITIALS.get(match["era"], match["era"])]
        year = first.year + (1 if match["era_year"] == "元" else int(match["era_year"])) - 1
    try:
        day = date(year, int(match["month"]), int(match["day"]))
    except ValueError:
        return None
    return day if first <= day <= last else None
