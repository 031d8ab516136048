"""The language of a text, by what it is written with: no model and no download.

Japanese is the one language with kana, Korean the one with hangul, so scripts decide nearly everything. What
is left is text in Chinese characters alone. There the character set of Japan helps: of the characters of
modern Chinese, simplified ones and the words 你, 們, 她 are outside JIS X 0213, while Japanese and kanbun as
Japan prints it stay inside. Function words decide the rest: 的, 了 and 是 make modern Chinese, 之, 也 and 而
kanbun. Titles and lists of names in kanji alone remain `other`: nothing in them says whose they are.

Mojibake is told by what each pair of encodings leaves behind: 縺 繧 繝 of UTF-8 read as Shift_JIS, accented
Latin letters without a word of UTF-8 or Shift_JIS read as Latin-1, half-width kana of EUC-JP read as
Shift_JIS (where their width was folded: voicing marks without a kana, and characters of private use), and
U+FFFD. The shares were chosen on Japanese text of several kinds and its mojibake.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from tsuzuri.corpus.quality.characters import CODE_POINTS, KINDS, CodePoints, code_points

LANGUAGES = ("ja", "kanbun", "zh", "ko", "latin", "other", "mojibake")
"""`latin` is any language in Latin letters, `other` what cannot be told."""

_CLASSES = (
    *("nothing", "letter", "kana", "half_width_kana", "han", "han_outside_japan", "chinese", "classical"),
    *("debris", "hangul", "latin", "accented", "replacement", "stray"),
)
_CLASS = {name: number for number, name in enumerate(_CLASSES)}
_CHINESE = "的了是我你他她这這们們个個吗嗎吧呢么麼说說没沒就很还還给給让讓"
_CLASSICAL = "之也而於以者其曰矣焉乎哉則故與夫乃亦爲為"
_DEBRIS = "縺繧繝"
_ACCENTED = ((0x80, 0xFF), (0x152, 0x153), (0x160, 0x161), (0x178, 0x178), (0x17D, 0x17E), (0x192, 0x192))
_STRAY = ((0x309B, 0x309C), (0xE000, 0xF8FF))
_WINDOWS_MARKS = "‚„…†‡ˆ‰‹‘’“”•–—˜™›€"

MAX_REPLACED = 0.01
MAX_STRAY = 0.02
MAX_DEBRIS = 0.1
MAX_ACCENTED = 0.3
MAX_HALF_WIDTH = 0.3
MIN_KANA = 0.08
MIN_KANA_OF_JAPANESE = 0.02
MIN_HANGUL = 0.3
MIN_LATIN = 0.5
MIN_HAN = 0.3
MAX_HAN_OUTSIDE_JAPAN = 0.02
MIN_FUNCTION_WORDS = 0.02


@dataclass(frozen=True, slots=True)
class Identification:
    """What a text is taken for, and the share that decided."""

    language: str
    """One of LANGUAGES."""
    share: float
    """The share of the characters that decided, of those that they are measured against."""


def identify_text(text: str) -> Identification:
    """The language of a text."""
    return identify(code_points(text))


def identify(points: CodePoints) -> Identification:
    """The language of a text's code points; `other` for a text without letters."""
    counts = np.bincount(_table()[points], minlength=len(_CLASSES)).tolist()
    number = dict(zip(_CLASSES, counts, strict=True))
    han = sum(number[name] for name in ("han", "han_outside_japan", "chinese", "classical", "debris"))
    kana, latin = number["kana"], number["latin"] + number["accented"]
    letters = sum(counts) - number["nothing"] - number["replacement"] - number["stray"]
    if number["replacement"] > MAX_REPLACED * max(1, letters):
        return Identification("mojibake", number["replacement"] / max(1, letters))
    if not letters:
        return Identification("other", 0.0)
    for name, most in (
        ("stray", MAX_STRAY),
        ("debris", MAX_DEBRIS),
        ("accented", MAX_ACCENTED),
        ("half_width_kana", MAX_HALF_WIDTH),
    ):
        if number[name] > most * letters:
            return Identification("mojibake", number[name] / letters)
    shares = (("ko", number["hangul"], MIN_HANGUL), ("ja", kana, MIN_KANA), ("latin", latin, MIN_LATIN))
    for language, count, least in shares:
        if count >= least * letters:
            return Identification(language, count / letters)
    if han < MIN_HAN * letters:
        return Identification("other", han / letters)
    return _han_language(number, han, kana)


def _han_language(number: dict[str, int], han: int, kana: int) -> Identification:
    # One of them alone may be part of a name or of a word such as 終了.
    chinese, classical = (
        number[name] / han if number[name] > 1 else 0.0 for name in ("chinese", "classical")
    )
    outside = number["han_outside_japan"] / han
    if outside > MAX_HAN_OUTSIDE_JAPAN and chinese >= MIN_FUNCTION_WORDS:
        return Identification("zh", chinese)
    if kana >= MIN_KANA_OF_JAPANESE * (han + kana):
        return Identification("ja", kana / (han + kana))
    if chinese >= max(MIN_FUNCTION_WORDS, classical) or outside > 5 * MAX_HAN_OUTSIDE_JAPAN:
        return Identification("zh", max(chinese, outside))
    if classical >= 2 * MIN_FUNCTION_WORDS:
        return Identification("kanbun", classical)
    return Identification("other", han / max(1, han + kana))


@cache
def _table() -> npt.NDArray[np.uint8]:
    """(0x110000,) the class of each code point; later rows take what earlier ones gave."""
    table = np.zeros(CODE_POINTS, dtype=np.uint8)
    every = np.arange(CODE_POINTS, dtype=np.uint32)
    every[0xD800:0xE000] = 0
    table[np.char.isalpha(every.view("<U1"))] = _CLASS["letter"]
    kana = (*KINDS["hiragana_script"], *KINDS["katakana_script"])
    rows = (("kana", kana), ("hangul", KINDS["hangul_script"]), ("latin", KINDS["latin_script"]))
    for name, ranges in (*rows, ("han", KINDS["kanji_script"]), ("accented", _ACCENTED), ("stray", _STRAY)):
        for first, last in ranges:
            table[first : last + 1] = _CLASS[name]
    table[0xFF66:0xFFA0] = _CLASS["half_width_kana"]
    table[[*range(0x80, 0xA1), 0xAD]] = _CLASS["nothing"]
    outside = [point for point in range(0x4E00, 0xA000) if not _is_in_japan(chr(point))]
    table[outside] = _CLASS["han_outside_japan"]
    marks = (("chinese", _CHINESE), ("classical", _CLASSICAL), ("debris", _DEBRIS), ("replacement", "\ufffd"))
    for name, characters in (*marks, ("accented", _WINDOWS_MARKS)):
        table[[ord(mark) for mark in characters]] = _CLASS[name]
    return table


def _is_in_japan(character: str) -> bool:
    """Whether JIS X 0213, or the extensions that Windows adds to Shift_JIS, have a character."""
    for charset in ("euc_jis_2004", "cp932"):
        try:
            character.encode(charset)
        except UnicodeEncodeError:
            continue
        return True
    return False
