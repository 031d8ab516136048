"""Telephone numbers in every written form of the numbering plan, and what is no telephone number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.corpus.anonymize.found import found

from tsuzuri.corpus.anonymize.phones import national_digits, phone_kind


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("電話は03-1234-5678まで", "landline", "03-1234-5678"),
        ("（０３）１２３４－５６７８へ", "landline", "（０３）１２３４－５６７８"),
        ("03(1234)5678へ", "landline", "03(1234)5678"),
        ("TEL0123-45-6789", "landline", "0123-45-6789"),
        ("連絡先 03 1234 5678", "landline", "03 1234 5678"),
        ("TEL.03-1234-5678", "landline", "03-1234-5678"),
        ("ビル5F／03-1234-5678", "landline", "03-1234-5678"),
        ("昼は03.1234.5678", "landline", "03.1234.5678"),
        ("昼は０３・１２３４・５６７８", "landline", "０３・１２３４・５６７８"),
        ("0312345678に電話", "landline", "0312345678"),
        ("+81-3-1234-5678", "landline", "+81-3-1234-5678"),
        ("+81 (0)3-1234-5678", "landline", "+81 (0)3-1234-5678"),
        ("(+81)90-1234-5678", "mobile", "(+81)90-1234-5678"),
        ("携帯０９０ー１２３４ー５６７８です", "mobile", "０９０ー１２３４ー５６７８"),
        ("06012345678", "mobile", "06012345678"),
        ("050-1234-5678", "mobile", "050-1234-5678"),
        ("フリーダイヤル0120-123-456", "service_phone", "0120-123-456"),
        ("0800-123-4567", "service_phone", "0800-123-4567"),
        ("0570-012-345", "service_phone", "0570-012-345"),
        ("0990-123-456", "service_phone", "0990-123-456"),
        ("0200-12345-67890", "m2m_phone", "0200-12345-67890"),
        ("020-1234-5678", "m2m_phone", "020-1234-5678"),
    ],
)
def test_each_form_is_found_with_its_sort(text: str, kind: str, value: str) -> None:
    assert found(text) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "03-0000-0000",
        "090-0123-4567",
        "0800-12-3456",
        "注文番号0312345678",
        "20240123456789",
        "120-4567メートル",
        "2024-01-23",
        "1234-03-1234-5678",
        "部品A-03-1234-5678",
        "http://kaisha.co.jp/0312345678",
        "0312345678円",
        "110番と119番",
    ],
)
def test_what_is_no_telephone_number_is_left(text: str) -> None:
    assert found(text) == []


def test_a_list_of_numbers_is_taken_one_by_one() -> None:
    text = "090-1234-5678 03-1234-5678、0312345678/0570-012-345"
    assert [kind for kind, _ in found(text)] == ["mobile", "landline", "landline", "service_phone"]


@given(st.text("0123456789", min_size=1, max_size=15))
def test_no_row_of_digits_breaks_the_plan(digits: str) -> None:
    assert phone_kind(digits) is None or digits.startswith("0")


def test_spellings_of_one_number_have_the_same_digits() -> None:
    assert {national_digits(text) for text in ("03-1234-5678", "+81 3 1234 5678", "+81(0)312345678")} == {
        "0312345678"
    }
