"""Numbers of persons: the formula or the word that they need, and what only looks like them."""

from __future__ import annotations

import pytest
from tests.corpus.anonymize.found import found


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("番号は6214 9832 0257です", "my_number", "6214 9832 0257"),
        ("マイナンバーは１２３４－５６７８－９０１２です", "my_number", "１２３４－５６７８－９０１２"),
        ("法人番号7000012050002を", "corporate_number", "7000012050002"),
        ("登録番号：T7000012050002", "corporate_number", "T7000012050002"),
        ("登録番号：Ｔ1-2345-6789-0123", "invoice_number", "Ｔ1-2345-6789-0123"),
        ("カード4111-1111-1111-1111の", "credit_card", "4111-1111-1111-1111"),
        ("アメックス 3782 822463 10005", "credit_card", "3782 822463 10005"),
        ("支払いは5555555555554444で", "credit_card", "5555555555554444"),
        ("免許証番号 第301234567890号", "drivers_license", "301234567890"),
        ("旅券番号TK1234567の", "passport", "TK1234567"),
        ("在留カードAB12345678CDを", "residence_card", "AB12345678CD"),
        ("基礎年金番号は1234-567890です", "pension_number", "1234-567890"),
        ("雇用保険の番号：1234-567890-1", "employment_insurance", "1234-567890-1"),
        ("保険者番号：138057", "health_insurance", "138057"),
        ("保険者番号は01130012です", "health_insurance", "01130012"),
        ("健康保険証の記号１２ 番号３４５ 枝番00", "health_insurance", "１２ 番号３４５ 枝番00"),
        ("渋谷支店 普通 1234567 ヤマダ", "bank_account", "1234567"),
        ("みずほ銀行渋谷支店1234567", "bank_account", "1234567"),
        ("ゆうちょ銀行への振込 記号12340 番号12345671", "bank_account", "12340 番号12345671"),
    ],
)
def test_each_kind_is_found_where_it_stands(text: str, kind: str, value: str) -> None:
    assert found(text, 0.6) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "番号は6214 9832 0258です",  # wrong check digit
        "注文番号：621498320257",
        "売上は621498320257円",
        "型番AB-621498320257",
        "6214 9832 0257 1235",  # sixteen digits in groups of four, no card
        "9621498320257",
        "法人番号は7000012050003です",
        "JANコード：7000012050002",
        "カードは4111-1111-1111-1112",
        "伝票番号：4111111111111111",
        "2024012345678901",
        "受付番号は1234567です",
        "銀行の支店から借りたのは1234567円です",
        "1234-567890",
        "旗の記号12と番号345",
        "運転の話。301234567890。",
        "20240123456789",
        "https://kaisha.co.jp/p/621498320257?id=621498320257",
    ],
)
def test_what_only_looks_like_one_is_left(text: str) -> None:
    assert found(text, 0.6) == []


def test_a_passport_without_its_word_is_a_matter_of_policy() -> None:
    assert found("持ち物はTK1234567です", 0.6) == [("passport", "TK1234567")]
    assert found("持ち物はTK1234567です", 0.9) == []
    assert found("型番TK1234567", 0.6) == []


@pytest.mark.parametrize("value", ["301234567890", "991234567899"])
def test_the_word_decides_about_a_license_not_its_folklore_digit(value: str) -> None:
    assert found(f"免許証は{value}", 0.9) == [("drivers_license", value)]
