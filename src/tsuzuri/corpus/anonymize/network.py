"""Addresses of the network: e-mail, IP, MAC, names and passwords in URLs, handles of social networks."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from tsuzuri.corpus.anonymize.finding import CHECKED, LABELLED, SHAPED, Finding
from tsuzuri.corpus.anonymize.words import words

_AT = r"(?:@| ?[(\[【<]{1,2} ?(?:at|AT|アット|アットマーク|@) ?[)\]】>]{1,2} ?|アットマーク)"
_DOT = r"(?:\.| ?[(\[【] ?(?:dot|DOT|ドット) ?[)\]】] ?)"
_EMAIL = re.compile(
    rf"(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._%+-]{{0,63}}{_AT}"
    rf"(?P<domain>(?:[A-Za-z0-9](?:[A-Za-z0-9-]{{0,62}}){_DOT})+(?P<tld>[A-Za-z]{{2,24}}))(?![A-Za-z0-9])"
)
_AT_SIGN = re.compile(r"@|[(\[【<] ?(?:at|AT|アット)|アットマーク")
_AT_MARKS = "@", "アット", "at", "AT"
_EMAIL_LEFT, _EMAIL_RIGHT = 64, 256
_SEPARATORS = re.compile(r"[^A-Za-z0-9.-]+(?:dot|DOT|ドット)[^A-Za-z0-9.-]+")
# Names that the domain system keeps for examples (RFC 2606, RFC 6761; JPRS for .jp).
_EXAMPLES = re.compile(
    r"(?:^|\.)(?:example(?:\.(?:com|net|org|edu|jp|co\.jp|ne\.jp|or\.jp|ac\.jp))?|test|invalid|localhost)$"
)

# A pattern that begins with its first character and only then looks behind is searched many times faster.
_IPV4 = re.compile(
    r"[0-9](?<![0-9A-Za-z.+-][0-9])[0-9]{0,2}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"
    r"(?![0-9A-Za-z])(?![.+-][0-9A-Za-z])"
)
_IPV6 = re.compile(r"[23](?<![0-9A-Za-z.][23])[0-9A-Fa-f]{3}:[0-9A-Fa-f:]{2,34}(?![0-9A-Za-z:])")
_VERSION = re.compile(
    r"(?:[Vv]er(?:sion)?|VER|[Rr]elease|[Rr]ev|バージョン|リリース|ビルド|版|[vV第§])[.:は ]{0,2}$"
)
_SECTION = re.compile(r" ?(?:[版節章項系条号以]|リリース|バージョン)")
_ADDRESS_WORD = re.compile(
    r"IP|アドレス|ホスト|サーバ|接続元|アクセス|ping|[Hh]ost|[Aa]ddress|DNS|ルータ|ゲートウェイ"
)
_MAC = re.compile(
    r"[0-9A-Fa-f](?<![0-9A-Za-z-][0-9A-Fa-f])[0-9A-Fa-f]([:-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}(?![0-9A-Za-z])(?!\1)"
)
# What an address would go on from; the colon of a label (MAC:) is none.
_NUMBER_BEFORE = re.compile(r"(?:^|[^0-9A-Za-z])(?:[0-9A-Fa-f]{1,4}:{1,2}|::)$")
_BEFORE_REACH = 7
_NO_DEVICE = frozenset({"000000000000", "ffffffffffff"})

_USER_INFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://(?P<user>[^\s/@<>「」、。]{1,128})@[A-Za-z0-9\[]")

_HANDLE = re.compile(r"(?<![0-9A-Za-z._%+/@-])@[A-Za-z0-9_]{3,30}(?![0-9A-Za-z_@])(?!\.[A-Za-z0-9])")
_HANDLE_WORD = re.compile(
    r"Twitter|ツイッター|Instagram|インスタ|TikTok|アカウント|垢|ID|フォロー|LINE|Threads|Mastodon", re.I
)
_HANDLE_REACH = 20


def find_email(text: str) -> Iterator[Finding]:
    """E-mail addresses under a known top-level domain, those with (at) too; not those of example domains."""
    if not any(mark in text for mark in _AT_MARKS):
        return
    past = 0
    for sign in _AT_SIGN.finditer(text):
        if sign.start() < past:
            continue
        begin, end = max(past, sign.start() - _EMAIL_LEFT), min(len(text), sign.end() + _EMAIL_RIGHT)
        for match in _EMAIL.finditer(text, begin, end):
            past = match.end()
            domain = _SEPARATORS.sub(".", match["domain"]).lower()
            top = match["tld"].lower()
            known = top in words("country_domains") or top in words("generic_domains")
            if known and not _EXAMPLES.search(domain):
                yield Finding("email", *match.span(), "email.tld", LABELLED)


def find_ip_address(text: str) -> Iterator[Finding]:
    """Public IPv4 and IPv6 addresses; four numbers of a version or a section are none."""
    for match in _IPV4.finditer(text):
        start, end = match.span()
        if _VERSION.search(text[max(0, start - 10) : start]) or _SECTION.match(text, end):
            continue
        named = _ADDRESS_WORD.search(text, max(0, start - 20), start)
        long = sum(len(part) > 1 for part in match.group().split(".")) > 1  # 2.7.9.11 may be a list
        if (named or long) and _is_public(match.group()):
            yield Finding("ip_address", start, end, "ip_address.v4", LABELLED if named else SHAPED)
    for match in _IPV6.finditer(text):
        if not _goes_on(text, match.start()) and _is_public(match.group()):
            yield Finding("ip_address", *match.span(), "ip_address.v6", CHECKED)


def find_mac_address(text: str) -> Iterator[Finding]:
    """Hardware addresses: six pairs of hexadecimal digits."""
    for match in _MAC.finditer(text):
        pairs = match.group().replace(match[1], "").lower()
        if pairs not in _NO_DEVICE and not _goes_on(text, match.start()):
            yield Finding("mac_address", *match.span(), "mac_address.shape", CHECKED)


def find_url_credentials(text: str) -> Iterator[Finding]:
    """User names and passwords before the host of a URL."""
    if "://" not in text:
        return
    for match in _USER_INFO.finditer(text):
        yield Finding("url_credentials", *match.span("user"), "url_credentials.user", 1.0)


def find_handle(text: str) -> Iterator[Finding]:
    """Account names after an @ that belongs to no e-mail address."""
    if "@" not in text:
        return
    for match in _HANDLE.finditer(text):
        if match.group()[1:].lower() in words("no_handles"):
            continue
        named = _HANDLE_WORD.search(text, max(0, match.start() - _HANDLE_REACH), match.start())
        yield Finding("handle", *match.span(), "handle.at", LABELLED if named else SHAPED)


def _goes_on(text: str, start: int) -> bool:
    """Whether a hexadecimal number and its colon stand right before a place: what begins there is a part."""
    return _NUMBER_BEFORE.search(text[max(0, start - _BEFORE_REACH) : start]) is not None


def _is_public(written: str) -> bool:
    try:
        return ipaddress.ip_address(written).is_global
    except ValueError:
        return False
