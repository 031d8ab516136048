"""Check digits of Japanese numbers and of payment cards; each function takes ASCII digits alone.

Individual numbers: Ministry of Internal Affairs ordinance 85 of 2014, article 5; corporate numbers: the
National Tax Agency's formula. Cards: ISO/IEC 7812-1, annex B (Luhn), with the networks' published number
ranges. The driver's licence digit is published nowhere: it is folklore, used as a hint only.
"""

from __future__ import annotations

_MY_NUMBER_WEIGHTS = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
_LICENSE_WEIGHTS = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
_LICENSE_COMMISSIONS = frozenset(
    number
    for first, last in (
        (0, 0),
        (10, 14),
        (20, 25),
        (30, 30),
        (40, 55),
        (60, 65),
        (70, 74),
        (80, 83),
        (90, 97),
    )
    for number in range(first, last + 1)
)
_CARD_LENGTHS = {"visa": (13, 16, 19), "amex": (15,), "diners": (14, 16), "other": (16, 19)}


def my_number_digit(base: str) -> int:
    """The check digit of an individual number's first 11 digits."""
    rest = sum(int(digit) * weight for digit, weight in zip(base, _MY_NUMBER_WEIGHTS, strict=True)) % 11
    return 0 if rest <= 1 else 11 - rest


def is_my_number(digits: str) -> bool:
    """Whether 12 digits end in the check digit of an individual number."""
    return len(digits) == 12 and my_number_digit(digits[:11]) == int(digits[11])


def corporate_digit(base: str) -> int:
    """The check digit, 1 to 9, that stands before a corporate number's 12 digits."""
    total = sum(int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(base)))
    return 9 - total % 9


def is_corporate_number(digits: str) -> bool:
    """Whether 13 digits begin with the check digit of a corporate number."""
    return len(digits) == 13 and corporate_digit(digits[1:]) == int(digits[0])


def luhn_digit(base: str) -> int:
    """The digit that completes `base` under Luhn's formula."""
    total = 0
    for place, digit in enumerate(reversed(base)):
        value = int(digit) * (2 - place % 2)
        total += value - 9 if value > 9 else value
    return -total % 10


def is_credit_card(digits: str) -> bool:
    """Whether the digits lie in a payment network's range, are as long as its cards and satisfy Luhn."""
    network = _network(digits)
    if not network or len(digits) not in _CARD_LENGTHS[network]:
        return False
    return luhn_digit(digits[:-1]) == int(digits[-1])


def drivers_license_digit(base: str) -> int:
    """The eleventh digit of a driver's licence after folklore, from its first 10."""
    total = sum(int(digit) * weight for digit, weight in zip(base, _LICENSE_WEIGHTS, strict=True))
    return (11 - total % 11) % 10


def is_drivers_license(digits: str) -> bool:
    """Whether 12 digits begin with a commission's code and satisfy the folklore digit."""
    if len(digits) != 12 or int(digits[:2]) not in _LICENSE_COMMISSIONS:
        return False
    return drivers_license_digit(digits[:10]) == int(digits[10])


def _network(digits: str) -> str:
    two, three, four = int(digits[:2]), int(digits[:3]), int(digits[:4])
    if digits[0] == "4":
        return "visa"
    if two in (34, 37):
        return "amex"
    if two in (36, 38, 39) or 300 <= three <= 305:
        return "diners"
    mastercard = 51 <= two <= 55 or 2221 <= four <= 2720
    discover = four == 6011 or 644 <= three <= 649 or two == 65
    return "other" if mastercard or discover or 3528 <= four <= 3589 or two == 62 else ""
