"""Check digits: published vectors, and the share of random digits that passes by luck."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.anonymize import checks


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=count, max_size=count)


@pytest.mark.parametrize(
    ("check", "right"),
    [
        (checks.is_my_number, "621498320257"),
        (checks.is_corporate_number, "7000012050002"),
        (checks.is_corporate_number, "5835678256246"),
        (checks.is_credit_card, "4111111111111111"),
        (checks.is_credit_card, "378282246310005"),
        (checks.is_credit_card, "3530111333300000"),
        (checks.is_credit_card, "5555555555554444"),
        (checks.is_credit_card, "6011111111111117"),
        (checks.is_credit_card, "30569309025904"),
    ],
)
def test_published_numbers_pass_and_no_other_last_digit_does(
    check: Callable[[str], bool], right: str
) -> None:
    assert check(right)
    place = 0 if check is checks.is_corporate_number else len(right) - 1
    others = [right[:place] + digit + right[place + 1 :] for digit in "0123456789" if digit != right[place]]
    assert not any(check(other) for other in others)


@pytest.mark.parametrize("digits", ["7992739871", "9111111111111111", "411111111111111", "1234567890123456"])
def test_a_number_of_no_network_or_of_another_length_is_no_card(digits: str) -> None:
    assert not checks.is_credit_card(digits)


@given(digits(10))
def test_a_license_needs_a_commission_as_well_as_its_digit(rest: str) -> None:
    base = "30" + rest[:8]
    digit = str(checks.drivers_license_digit(base))
    assert checks.is_drivers_license(base + digit + "0")
    assert not checks.is_drivers_license("99" + rest)


@given(digits(11), st.integers(1, 9))
def test_one_wrong_digit_is_always_seen(base: str, shift: int) -> None:
    right = checks.my_number_digit(base)
    assert not checks.is_my_number(base + str((right + shift) % 10))


@given(digits(12))
def test_a_corporate_number_never_begins_with_zero(base: str) -> None:
    assert 1 <= checks.corporate_digit(base) <= 9
