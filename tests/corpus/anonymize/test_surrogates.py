"""Surrogates: the same for the same value, in its shape, and owned by nobody."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.anonymize import checks
from tsuzuri.corpus.anonymize.config import TOKENS, Kind
from tsuzuri.corpus.anonymize.gazetteer import gazetteer
from tsuzuri.corpus.anonymize.halfwidth import half_width
from tsuzuri.corpus.anonymize.phones import national_digits, phone_kind
from tsuzuri.corpus.anonymize.surrogates import pour, surrogate

KEY = b"a secret of some length"
WRITTEN: dict[Kind, str] = {
    "my_number": "6214 9832 0257",
    "corporate_number": "7000012050002",
    "invoice_number": "T1-2345-6789-0123",
    "credit_card": "4111-1111-1111-1111",
    "drivers_license": "301234567890",
    "passport": "TK1234567",
    "residence_card": "AB12345678CD",
    "pension_number": "1234-567890",
    "employment_insurance": "1234-567890-1",
    "health_insurance": "12 番号345",
    "bank_account": "1234567",
    "landline": "(03)1234-5678",
    "mobile": "080-1234-5678",
    "service_phone": "0120-123-456",
    "m2m_phone": "0200-12345-67890",
    "postal_code": "100-0005",
    "postal_address": "丸の内1-1-1",
    "email": "foo@docomo.ne.jp",
    "ip_address": "8.8.8.8",
    "mac_address": "00:1A:2B:3C:4D:5E",
    "url_credentials": "taro:himitsu",
    "birth_date": "昭和60年3月5日",
    "age": "34歳",
    "person_name": "山田 太郎",
    "handle": "@taro_yamada",
    "plate": "品川 500 あ 12-34",
}


def plain(text: str) -> str:
    return "".join(filter(str.isalnum, half_width(text)))


NOBODYS: dict[Kind, Callable[[str], bool]] = {
    "my_number": lambda text: not checks.is_my_number(plain(text)),
    "corporate_number": lambda text: not checks.is_corporate_number(plain(text)),
    "invoice_number": lambda text: text.startswith("T0"),
    "credit_card": lambda text: not checks.is_credit_card(plain(text)),
    "drivers_license": lambda text: text.startswith("99"),
    "landline": lambda text: phone_kind(national_digits(text)) is None,
    "mobile": lambda text: phone_kind(national_digits(text)) is None,
    "service_phone": lambda text: phone_kind(national_digits(text)) is None,
    "m2m_phone": lambda text: phone_kind(national_digits(text)) is None,
    "postal_code": lambda text: plain(text) not in gazetteer().codes,
    "postal_address": lambda text: not any("架空町" in towns for towns in gazetteer().towns.values()),
    "email": lambda text: text.endswith("@example.jp"),
    "ip_address": lambda text: not ipaddress.ip_address(text).is_global,
    "birth_date": lambda text: text.endswith("2月30日"),
}


def test_every_kind_has_a_surrogate() -> None:
    assert WRITTEN.keys() == TOKENS.keys()


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_surrogate_hangs_on_value_and_key_alone_and_is_not_the_value(kind: Kind) -> None:
    written = WRITTEN[kind]
    made = surrogate(kind, written, KEY)
    assert made == surrogate(kind, written, KEY)
    assert made != written
    if kind != "birth_date":  # the 30th of February of the same year
        others = {surrogate(kind, written, bytes([number]) * 16) for number in range(20)}
        assert len(others) > 3


@pytest.mark.parametrize("kind", NOBODYS)
def test_nobody_owns_it(kind: Kind) -> None:
    for number in range(50):
        made = surrogate(kind, WRITTEN[kind], bytes([number]) * 16)
        assert NOBODYS[kind](made), made


AREAS = ("03", "06", "011", "045", "075", "0422", "0463", "0980", "04992", "090", "080", "070", "060", "050")


@given(st.sampled_from(AREAS), st.text("0123456789", min_size=9, max_size=9))
def test_no_surrogate_of_a_telephone_number_can_be_called(area: str, rest: str) -> None:
    length = 11 if area in ("090", "080", "070", "060", "050") else 10
    written = area + rest[: length - len(area)]
    assert phone_kind(surrogate("landline", written, KEY)) is None


@pytest.mark.parametrize(
    "spellings",
    [("03-1234-5678", "０３−１２３４−５６７８", "(03)12345678"), ("03-1234-5678", "+81-3-1234-5678")],
)
def test_spellings_of_one_number_have_one_surrogate(spellings: tuple[str, ...]) -> None:
    assert len({national_digits(half_width(surrogate("landline", text, KEY))) for text in spellings}) == 1


def test_the_shape_stays_in_its_width() -> None:
    made = surrogate("mobile", "０９０-１２３４－5678", KEY)
    assert [character.isascii() for character in made] == [False] * 3 + [True] + [False] * 5 + [True] * 4


@given(st.text("0123456789AZ", min_size=3, max_size=3))
def test_poured_characters_come_out_in_order(characters: str) -> None:
    assert plain(pour(characters, "1番-２の3")) == characters[0] + "番" + characters[1] + "の" + characters[2]
