"""One spelling of the same text: newlines, control characters, NFC, and width folding where the source asks
for it.

NFC would rewrite the compatibility ideographs (U+F900–FAFF, U+2F800–2FA1F) that names and gaiji depend on,
so those are left as they are. NFKC, which turns ① into 1 and … into ..., is for keys only, never for text.
"""

from __future__ import annotations

import re
import unicodedata

_COMPATIBILITY_IDEOGRAPHS = re.compile("([\uf900-\ufaff\U0002f800-\U0002fa1f]+)")
_HALF_WIDTH_KANA = re.compile("[\uff61-\uff9f]+")
_NEWLINES = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_TRAILING_SPACE = re.compile("[ \t\u3000]+$", re.MULTILINE)
_BLANK_LINES = re.compile("\n{3,}")
_FULL_WIDTH_ASCII = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]+")
# Controls, soft hyphen, zero-width space, direction marks, joiners that join nothing, annotation marks.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\ufffb]+"
)
_SURROGATES = re.compile("[\ud800-\udfff]")


def normalize(text: str, *, fold_width: bool) -> str:
    """`text` in the corpus's one spelling; running it twice changes nothing."""
    text = _INVISIBLE.sub("", _NEWLINES.sub("\n", text)).replace("\xa0", " ")
    text = _SURROGATES.sub("\ufffd", text)
    if fold_width:
        text = _FULL_WIDTH_ASCII.sub(_half_width, _HALF_WIDTH_KANA.sub(_full_width_kana, text))
    text = nfc(text)
    text = _TRAILING_SPACE.sub("", text)
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def nfc(text: str) -> str:
    """`text` in NFC, its compatibility ideographs untouched."""
    if unicodedata.is_normalized("NFC", text):
        return text
    pieces = _COMPATIBILITY_IDEOGRAPHS.split(text)
    pieces[::2] = [unicodedata.normalize("NFC", piece) for piece in pieces[::2]]
    return "".join(pieces)


def _full_width_kana(run: re.Match[str]) -> str:
    # A voicing mark without its kana becomes a combining mark under NFKC: keep it a letter of its own.
    return unicodedata.normalize("NFKC", run.group()).replace("\u3099", "\u309b").replace("\u309a", "\u309c")


def _half_width(run: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", run.group())
