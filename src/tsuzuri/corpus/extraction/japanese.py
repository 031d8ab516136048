"""Whether a page's bytes hold any Japanese at all, found without decoding or parsing them.

Japanese cannot be written without hiragana, and hiragana leave marks in the bytes of every encoding: two
first bytes in UTF-8, runs under one lead byte in Shift_JIS and EUC-JP, escapes in ISO-2022-JP, numbers in
character references. About 98 % of Common Crawl has none.
"""

from __future__ import annotations

import re

MIN_HIRAGANA = 12
"""Fewer hiragana than this are a name or a quotation on a foreign page, unless it says `lang="ja"`."""
_SAYS_JAPANESE = re.compile(rb"<html[^>]{0,300}?\blang\s*=\s*[\"']?ja\b", re.IGNORECASE)
_LEGACY_RUNS = (re.compile(rb"\x82[\x9f-\xf1]" * 4), re.compile(rb"\xa4[\xa1-\xf3]" * 4))
_REFERENCES = re.compile(rb"&#(?:12(?:3[5-9]\d|4[0-4]\d)|[xX]30[4-9][0-9a-fA-F]);")
_HEAD_BYTES = 4096


def may_be_japanese(data: bytes) -> bool:
    """False when a page in any encoding of Japanese would look otherwise."""
    hiragana = data.count(b"\xe3\x81") + data.count(b"\xe3\x82")
    if hiragana >= MIN_HIRAGANA:
        return True
    if b"\x1b$B" in data or b"\x1b$@" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True
    if hiragana and _SAYS_JAPANESE.search(data[:_HEAD_BYTES]):
        return True
    if not _is_utf_8(data):
        return any(run.search(data) for run in _LEGACY_RUNS)
    return b"&#" in data and _REFERENCES.search(data) is not None


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
