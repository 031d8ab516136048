"""Bytes to text for Japanese: a ladder that stops at the first encoding that holds.

Order: byte order mark; ISO-2022-JP escapes; the encoding that the document declares; strict UTF-8, EUC-JP,
Windows code page 932; last, the statistical detector of Firefox (chardetng) with at most a few damaged
characters. Names are read as the WHATWG Encoding Standard does (`shift_jis` means code page 932). Row 13 of
JIS X 0208 (①, ㈱), which Python's EUC-JP and ISO-2022-JP refuse, is read as every browser does.
"""

from __future__ import annotations

import codecs
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import chardetng_py

MAX_DAMAGED_RATIO = 0.001
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WHATWG_LABELS = {
    **dict.fromkeys(
        [
            "shift_jis",
            "shift-jis",
            "sjis",
            "x-sjis",
            "ms_kanji",
            "ms932",
            "windows-31j",
            "csshiftjis",
            "cp932",
        ],
        "cp932",
    ),
    **dict.fromkeys(["euc-jp", "x-euc-jp", "eucjp", "euc_jp", "cseucpkdfmtjapanese"], "euc-jp"),
    **dict.fromkeys(["iso-2022-jp", "iso_2022_jp", "csiso2022jp", "jis"], "iso-2022-jp"),
    **dict.fromkeys(["utf-8", "utf8", "unicode-1-1-utf-8", "x-unicode20utf8"], "utf-8"),
    **dict.fromkeys(["latin1", "latin-1", "iso-8859-1", "us-ascii", "ascii"], "cp1252"),
}
WESTERN = ("cp1252", "windows-1252", "iso-8859-15", "latin_1", "iso8859-1")
_TO_HIGH_HALF = bytes(byte | 0x80 for byte in range(256))
_ESCAPE = re.compile(rb"\x1b(\$@|\$B|\$\(D|\(B|\(J|\(I)")
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.\-]+)", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9_:.\-]+)", re.IGNORECASE)
META_PRESCAN_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, the encoding that it was read in, and which rung of the ladder held."""

    text: str
    charset: str
    charset_source: str
    """bom, escape, given, declared, strict or detected."""


def decode(data: bytes, *, declared: str | None = None, given: str | None = None) -> Decoded | None:
    """`data` as text, or None when no Japanese or Unicode encoding holds (binary files among them).

    `given` (what a person said) overrides everything; `declared` (what the document says of itself) is
    believed if it holds.
    """
    if given:
        return _try(data, given, "given")
    for mark, charset in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            body = data[len(mark) :]
            return _try(body, charset, "bom") or _damaged(body, charset, "bom")
    if b"\x00" in data:
        return None
    if _ESCAPE.search(data) and (found := _try(data, "iso-2022-jp", "escape")):
        return found
    if declared and not is_western(declared) and (found := _try(data, declared, "declared")):
        return found
    for charset in ("utf-8", "euc-jp", "cp932"):
        if found := _try(data, charset, "strict"):
            return found
    return _detect(data)


def is_western(label: str) -> bool:
    """Whether a label names a Western encoding: servers and editors say so of Japanese pages too, and it
    would hold for nearly any bytes."""
    return name_of(label) in WESTERN


def declared_in_html(data: bytes) -> str | None:
    """The encoding that an HTML or XML file names in its first bytes."""
    head = data[:META_PRESCAN_BYTES]
    match = _XML_ENCODING.search(head) or _META_CHARSET.search(head)
    return match.group(1).decode("ascii") if match else None


def name_of(label: str) -> str:
    """The name under which Python has an encoding, from any that the WHATWG or a person has for it."""
    return WHATWG_LABELS.get(label.strip().lower(), label.strip().lower())


def is_known(label: str) -> bool:
    """Whether there is an encoding of text of this name."""
    try:
        with suppress(UnicodeError):  # two bytes a character
            b" ".decode(name_of(label))
    except LookupError:
        return False
    return True


def decode_as(data: bytes, label: str) -> str:
    """`data` in the encoding of a name, row 13 and its like included; UnicodeDecodeError where it is not."""
    charset = name_of(label)
    if charset == "euc-jp":
        return _decode_euc_jp(data)
    return _decode_iso_2022_jp(data) if charset == "iso-2022-jp" else data.decode(charset)


def _try(data: bytes, label: str, rung: str) -> Decoded | None:
    try:
        return Decoded(decode_as(data, label), name_of(label), rung)
    except (UnicodeDecodeError, LookupError):
        return None


def _decode_euc_jp(data: bytes) -> str:
    """EUC-JP as browsers read it: what Python refuses in rows 13 and 89–92 is looked up in code page 932."""
    return data.decode("euc_jp", errors=_vendor_error_handler())


@cache
def _vendor_error_handler() -> str:
    codecs.register_error("tsuzuri-vendor-rows", _vendor_character)
    return "tsuzuri-vendor-rows"


def _vendor_character(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    pair = error.object[error.start : error.start + 2]
    if len(pair) < 2 or not (pair[0] == 0xAD or 0xF9 <= pair[0] <= 0xFC) or not 0xA1 <= pair[1] <= 0xFE:
        raise error
    row, cell = pair[0] - 0xA0, pair[1] - 0xA0
    lead = (row - 1) // 2 + (0x81 if row < 63 else 0xC1)
    trail = cell + 0x9E if row % 2 == 0 else cell + 0x3F + (cell >= 64)
    return bytes([lead, trail]).decode("cp932"), error.start + 2


def _decode_iso_2022_jp(data: bytes) -> str:
    parts = []
    charset = b"(B"
    for index, piece in enumerate(_ESCAPE.split(data)):
        if index % 2:
            charset = piece
        elif charset in (b"(B", b"(J"):
            parts.append(piece.decode("ascii"))
        else:
            parts += [_decode_iso_2022_line(line, charset) for line in re.split(rb"(\r?\n)", piece)]
    return "".join(parts)


def _decode_iso_2022_line(line: bytes, charset: bytes) -> str:
    if line in (b"\n", b"\r\n"):
        return line.decode("ascii")
    high = line.translate(_TO_HIGH_HALF)
    if charset == b"(I":
        high = b"".join(b"\x8e" + high[at : at + 1] for at in range(len(high)))
    elif charset == b"$(D":
        high = b"".join(b"\x8f" + high[at : at + 2] for at in range(0, len(high), 2))
    return _decode_euc_jp(high)


def _detect(data: bytes) -> Decoded | None:
    """Damaged text, in UTF-8 (which the detector gives up at one wrong byte) or in what it finds."""
    guess = chardetng_py.detect(data, allow_utf8=False, tld=b"jp").lower()
    for charset in ("utf-8", WHATWG_LABELS.get(guess, guess)):
        if charset in ("utf-8", "euc-jp", "cp932") and (found := _damaged(data, charset, "detected")):
            return found
    return None


def _damaged(data: bytes, charset: str, rung: str) -> Decoded | None:
    """The text with at most a few damaged characters, or None."""
    text = data.decode(charset, errors="replace")
    is_readable = text.count("\ufffd") <= len(text) * MAX_DAMAGED_RATIO
    return Decoded(text, charset, rung) if is_readable else None
