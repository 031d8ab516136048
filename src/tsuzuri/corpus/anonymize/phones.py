"""Japanese telephone numbers: the written forms here, the numbering plan in `phonenumbers`.

The plan (area codes, lengths, mobile and service ranges) changes by ordinance and is kept by libphonenumber;
searching whole texts with it is slow (5 MB/s on prose), so that it is asked only about what has the form. The
machine numbers 0200 (14 digits) are not in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from tsuzuri.corpus.anonymize.config import Kind
from tsuzuri.corpus.anonymize.context import is_named, is_of_a_thing
from tsuzuri.corpus.anonymize.finding import CHECKED, LABELLED, SHAPED, Finding

_BEFORE = (
    r"(?:(?<![0-9A-Za-z])|(?<=TEL)|(?<=Tel)|(?<=tel)|(?<=FAX)|(?<=Fax)|(?<=fax))"
    r"(?<![0-9][-._])(?<![A-Za-z][-_])(?<![a-z]/)(?<!-)"
)
_AFTER = r"(?![0-9A-Za-z])(?![-.][0-9A-Za-z])"
_PHONE = re.compile(
    _BEFORE
    + r"(?:\(?\+81\)?[- ]?(?:\(0\) ?)?\(?0?[1-9][0-9]{0,4}\)?[- ]?\(?[0-9]{1,4}\)?[- ]?[0-9]{3,4}"
    + r"|\(0[0-9]{1,4}\)[- ]?[0-9]{1,4}[- ]?[0-9]{3,4}"
    + r"|0[0-9]{1,4}[- ]?\([0-9]{1,4}\)[- ]?[0-9]{3,4}"
    + r"|0[0-9]{1,4}(?P<mark>[-. ・])[0-9]{1,4}(?P=mark)[0-9]{3,4}"
    + r"|0[0-9]{1,4}-[0-9]{5,8}"
    + r"|0200[- ]?[0-9]{5}[- ]?[0-9]{5}"
    + r"|0[0-9]{9,10})"
    + _AFTER
)
_PHONE_WORD = re.compile(
    r"電話|でんわ|TEL|Tel|tel|℡|☎|FAX|Fax|fax|ファックス|ファクス|携帯|ケータイ|連絡先|直通|自宅|代表|フリーダイヤル"
)
_WORD_REACH = 12
_LEFT = 6  # what may stand before a run's first digit: (+81 and a bracket


def find_phones(text: str, start: int, end: int) -> Iterator[Finding]:
    """Telephone numbers that the numbering plan knows, with their sort."""
    for match in _PHONE.finditer(text, max(0, start - _LEFT), end + 2):
        digits = national_digits(match.group())
        kind = phone_kind(digits)
        if not kind:
            continue
        place = match.span()
        bare = place[1] - place[0] == len(digits)
        if is_named(_PHONE_WORD, text, *place, before=_WORD_REACH):
            yield Finding(kind, *place, f"{kind}.named", LABELLED)
        elif not bare:
            yield Finding(kind, *place, f"{kind}.grouped", CHECKED)
        elif not is_of_a_thing(text, *place):
            yield Finding(kind, *place, f"{kind}.bare", SHAPED)


def national_digits(written: str) -> str:
    """The digits of a number as dialled inside Japan, without +81 or (0)."""
    digits = "".join(filter(str.isdigit, written))
    if "+81" in written:
        return "0" + digits[2:].lstrip("0")
    return digits


def phone_kind(digits: str) -> Kind | None:
    """The sort of a national number of ASCII digits, or None when the plan has no such number."""
    if digits.startswith("0200"):
        return "m2m_phone" if len(digits) == 14 else None
    dialled = digits.startswith("0") and not digits.startswith("00")  # 00 leads abroad
    return _library()(digits) if dialled else None


@cache
def _library() -> Callable[[str], Kind | None]:
    """The numbering plan, loaded at the first number that is asked about."""
    from phonenumbers import PhoneNumber, PhoneNumberType, is_valid_number_for_region, number_type

    kinds: dict[int, Kind] = {
        PhoneNumberType.FIXED_LINE: "landline",
        PhoneNumberType.FIXED_LINE_OR_MOBILE: "landline",
        PhoneNumberType.MOBILE: "mobile",
        PhoneNumberType.VOIP: "mobile",
        PhoneNumberType.PAGER: "m2m_phone",
    }

    def kind_of(digits: str) -> Kind | None:
        number = PhoneNumber(country_code=81, national_number=int(digits))
        if not is_valid_number_for_region(number, "JP"):
            return None
        return kinds.get(number_type(number), "service_phone")

    return kind_of
