"""A stand-in for a value: the same for the same value under one key, of its shape, and owned by nobody.

Digits are drawn from keyed BLAKE2b (RFC 7693) of the value's kind and its digits or letters, so that
spelling (full width, hyphens, +81) makes no difference. That nobody owns the result holds by construction
where it can: telephone numbers that the plan refuses, wrong check digits, licences of no commission, postal
codes that begin with 000, documentation ranges of IP, MAC and domain names (RFC 5737, 3849, 7042, 2606), kana
that no plate bears, a town that does not exist, the 30th of February. Where no range is known to be free
(accounts, pension, insurance, passport, residence card) the number is zeros up to its last three digits:
unlikely, not impossible. Names are those of legal textbooks (甲野太郎).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from tsuzuri.corpus.anonymize import checks
from tsuzuri.corpus.anonymize.config import Kind
from tsuzuri.corpus.anonymize.dates import DATE
from tsuzuri.corpus.anonymize.halfwidth import half_width
from tsuzuri.corpus.anonymize.phones import national_digits, phone_kind

_FULL_WIDTH = 0xFEE0
_SERVICES, _MOBILES = ("0120", "0800", "0570", "0990", "0200"), ("090", "080", "070", "060", "050", "020")
_NETWORKS = ("192.0.2.", "198.51.100.", "203.0.113.")
_UNUSED_KANA = "おしへん"
_STEMS, _ENDS = "甲乙丙丁戊己庚辛壬癸", "野山川田村原島木"
_GIVEN = ("太郎", "花子", "一郎", "二郎", "三郎", "春子", "夏子", "秋子", "冬子", "次郎")


class Draw:
    """Numbers drawn from a value under a key, always the same ones."""

    def __init__(self, key: bytes, kind: Kind, value: str) -> None:
        self._secret = hashlib.blake2b(
            value.encode("utf-8", "surrogatepass"), key=key, person=kind.encode()[:16]
        )
        self._blocks = 0
        self._pool = b""

    def below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1."""
        if len(self._pool) < 8:
            block = self._secret.copy()
            block.update(self._blocks.to_bytes(4, "big"))
            self._pool += block.digest()
            self._blocks += 1
        number, self._pool = int.from_bytes(self._pool[:8], "big"), self._pool[8:]
        return number % bound

    def digits(self, count: int) -> str:
        """So many digits."""
        return "".join(str(self.below(10)) for _ in range(count))

    def letters(self, count: int) -> str:
        """So many hexadecimal digits."""
        return "".join("0123456789abcdef"[self.below(16)] for _ in range(count))


def surrogate(kind: Kind, written: str, key: bytes) -> str:
    """What stands in for a value of `kind` written so."""
    folded = half_width(written)
    draw = Draw(key, kind, _value(kind, folded))
    if kind in _POURED:
        return pour(_POURED[kind](folded, draw), written)
    return _WRITTEN[kind](folded, draw)


def pour(characters: str, shape: str) -> str:
    """`shape` with its digits and ASCII letters replaced, in order, each in its own width."""
    rest = iter(characters)
    return "".join(
        _in_width(next(rest), old) if (half := half_width(old)).isascii() and half.isalnum() else old
        for old in shape
    )


def _in_width(new: str, old: str) -> str:
    return chr(ord(new) + _FULL_WIDTH) if not old.isascii() else new


def _value(kind: Kind, folded: str) -> str:
    """A value in one spelling."""
    if kind in _PHONES:
        return national_digits(folded)
    return _characters(folded) if kind in _POURED else "".join(folded.split()).lower()


def _characters(folded: str) -> str:
    return "".join(character for character in folded if character.isascii() and character.isalnum())


def _wrong(right: int, draw: Draw) -> str:
    return str((right + 1 + draw.below(9)) % 10)


def _my_number(folded: str, draw: Draw) -> str:
    base = draw.digits(11)
    return base + _wrong(checks.my_number_digit(base), draw)


def _credit_card(folded: str, draw: Draw) -> str:
    written = _characters(folded)
    base = written[0] + draw.digits(len(written) - 2)
    return base + _wrong(checks.luhn_digit(base), draw)


def _corporate_number(folded: str, draw: Draw) -> str:
    mark = "T" if folded.startswith("T") else ""
    return mark + "0" + draw.digits(12)  # the check digit stands first and is never 0


def _drivers_license(folded: str, draw: Draw) -> str:
    return "99" + draw.digits(10)


def _zeros(folded: str, draw: Draw) -> str:
    written = _characters(folded)
    tail = draw.digits(3)
    numbers = iter(("0" * len(written) + tail)[-sum(map(str.isdigit, written)) :])
    return "".join("X" if old.isalpha() else next(numbers) for old in written)


def _postal_code(folded: str, draw: Draw) -> str:
    return "000" + draw.digits(4)


def _phone(folded: str, draw: Draw) -> str:
    national = national_digits(folded)
    if national.startswith("080"):
        national = "090" + national[3:]  # after 080 a zero leads to the free numbers 0800
    head = 3 if national.startswith(_MOBILES) else 2
    for zeros in range(1, len(national) - head):  # how many the plan wants depends on the area
        drawn = national[:head] + "0" * zeros + draw.digits(len(national) - head - zeros)
        if not national.startswith(_SERVICES) and phone_kind(drawn) is None:
            break
    else:
        drawn = "00" + draw.digits(len(national) - 2)  # no national number begins so
    if "+81" not in folded:
        return drawn
    written = _characters(folded)
    return "81" + drawn[-(len(written) - 2) :]


def _address(folded: str, draw: Draw) -> str:
    return f"架空町{1 + draw.below(9)}丁目{1 + draw.below(99)}番{1 + draw.below(99)}号"


def _email(folded: str, draw: Draw) -> str:
    return f"user-{draw.letters(10)}@example.jp"


def _ip_address(folded: str, draw: Draw) -> str:
    if ":" in folded:
        return f"2001:db8::{draw.letters(4)}:{draw.letters(4)}"
    return _NETWORKS[draw.below(3)] + str(1 + draw.below(254))


def _mac_address(folded: str, draw: Draw) -> str:
    return f"00-00-5E-00-53-{draw.letters(2).upper()}".replace("-", folded[2])


def _url_credentials(folded: str, draw: Draw) -> str:
    return f"user-{draw.letters(8)}" + (f":{draw.letters(12)}" if ":" in folded else "")


def _handle(folded: str, draw: Draw) -> str:
    return f"@example_{draw.letters(8)}"  # longer than the 15 characters that X allows


def _birth_date(folded: str, draw: Draw) -> str:
    match = DATE.match(folded)
    assert match, "a date of birth is a date"
    before, between, after = (
        folded[: match.start("month")],
        folded[match.end("month") : match.start("day")],
        folded[match.end("day") :],
    )
    return f"{before}2{between}30{after}"


def _age(folded: str, draw: Draw) -> str:
    years = int(_characters(folded))
    return f"{years // 10 * 10 + draw.below(10)}歳"


def _person_name(folded: str, draw: Draw) -> str:
    gap = " " if " " in folded else ""
    return _STEMS[draw.below(10)] + _ENDS[draw.below(8)] + gap + _GIVEN[draw.below(10)]


def _plate(folded: str, draw: Draw) -> str:
    return f"品川 {draw.digits(3)} {_UNUSED_KANA[draw.below(4)]} {draw.digits(2)}-{draw.digits(2)}"


_PHONES: frozenset[Kind] = frozenset({"landline", "mobile", "service_phone", "m2m_phone"})
_POURED: Mapping[Kind, Callable[[str, Draw], str]] = MappingProxyType(
    {
        "my_number": _my_number,
        "corporate_number": _corporate_number,
        "invoice_number": _corporate_number,
        "credit_card": _credit_card,
        "drivers_license": _drivers_license,
        "passport": _zeros,
        "residence_card": _zeros,
        "pension_number": _zeros,
        "employment_insurance": _zeros,
        "health_insurance": _zeros,
        "bank_account": _zeros,
        "postal_code": _postal_code,
        **dict.fromkeys(_PHONES, _phone),
    }
)
_WRITTEN: Mapping[Kind, Callable[[str, Draw], str]] = MappingProxyType(
    {
        "postal_address": _address,
        "email": _email,
        "ip_address": _ip_address,
        "mac_address": _mac_address,
        "url_credentials": _url_credentials,
        "birth_date": _birth_date,
        "age": _age,
        "person_name": _person_name,
        "handle": _handle,
        "plate": _plate,
    }
)
