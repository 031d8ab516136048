"""Postal codes and postal addresses, checked against the post office's register.

An address is a municipality, a town and a block number (丁目, 番地, 1-2-3); its finding begins after the
municipality, so that masking generalises it to the city. A town that the register does not know (an old or
small one) passes only before 丁目, 番地 or three numbers; before two it would turn scores into addresses
(浦和市立高が3-2).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tsuzuri.corpus.anonymize.context import ALONE_AFTER, is_of_a_thing
from tsuzuri.corpus.anonymize.finding import CHECKED, LABELLED, SHAPED, Finding
from tsuzuri.corpus.anonymize.gazetteer import gazetteer

_CODE = re.compile(
    rf"(?<![0-9A-Za-z])(?<![0-9A-Za-z][-.,/_])(?P<mark>〒 ?|郵便番号[:は ]{{0,2}})?"
    rf"(?P<code>[0-9]{{3}}-?[0-9]{{4}}){ALONE_AFTER}"
)
_LEFT = 7  # the characters of 郵便番号 and what may follow it
_BLANK = re.compile(r"\s{0,3}")

_DIGIT = "0-9〇一二三四五六七八九十百"
_NUMBER = f"[{_DIGIT}]{{1,6}}"
_BLOCK = re.compile(
    rf"{_NUMBER} ?(?:(?P<link>丁目|番地|番(?![組目茶街町]))|-{_NUMBER})"
    rf"(?: ?の?(?!0){_NUMBER}(?:丁目|番地|番|号|(?![{_DIGIT}年月時分])(?!日(?!本)))|-{_NUMBER})*"
    r"(?: ?[^\s、。,()「」『』は]{0,16}?"
    r"(?:ビル(?:ディング|ヂング)?|マンション|ハイツ|アパート|コーポ|荘|タワー|団地|レジデンス|メゾン|ヒルズ"
    r"|プラザ|ハウス|寮)"
    r"(?:[A-Z0-9]{1,3}棟|[^\s、。,()「」『』は]{1,8}?(?=[0-9]{1,4}号))?)?"
    r"(?: ?[A-Z]?[0-9]{1,4}(?:号室?|階|F))?"
)
_WINDOW = 45
_BREAK = re.compile(r"[\n。、,「」『』()]")
_PLAIN_TOWN = re.compile(r"[一-鿿々ァ-ヶーのケ ]{1,12}")
_SURE_LINKS = "丁目", "番地"


def find_postal_code(text: str, start: int, end: int) -> Iterator[Finding]:
    """Postal codes: after 〒 any, else those in the register; the surest are followed by a place."""
    for match in _CODE.finditer(text, max(0, start - _LEFT), end + 2):
        marked = match["mark"] is not None
        if not marked and (
            "-" not in match["code"]
            or match["code"].replace("-", "") not in gazetteer().codes
            or is_of_a_thing(text, *match.span())
        ):
            continue
        rule = "postal_code.marked" if marked else "postal_code.register"
        score = LABELLED if _place_follows(text, match.end()) else SHAPED
        yield Finding("postal_code", match.start("code"), match.end("code"), rule, score)


def find_address(text: str) -> Iterator[Finding]:
    """Addresses from after the municipality to the end of the building."""
    past = 0
    for block in _BLOCK.finditer(text):
        begin = max(past, block.start() - _WINDOW)
        breaks = list(_BREAK.finditer(text, begin, block.start()))
        begin = breaks[-1].end() if breaks else begin
        is_sure = block["link"] in _SURE_LINKS or block.group().count("-") > 1
        found = _town(text[begin : block.start()], is_sure)
        if found:
            town, score = found
            yield Finding("postal_address", begin + town, block.end(), "postal_address.block", score)
            past = block.end()


def _town(window: str, is_sure: bool) -> tuple[int, float] | None:
    """Where the town begins in what stands before a block number, and its score."""
    register = gazetteer()
    # Where several begin at one place, the longest: 京都市左京区, not 京都市.
    for start, end in sorted(register.municipalities(window), key=lambda place: (place[0], -place[1])):
        written = window[end:]
        if written.strip() and register.knows_town(window[start:end], written):
            return end, CHECKED
        if is_sure and _PLAIN_TOWN.fullmatch(written):
            return end, SHAPED
    return None


def _place_follows(text: str, end: int) -> bool:
    blank = _BLANK.match(text, end)
    begin = blank.end() if blank else end
    return gazetteer().begins_with_place(text[begin : begin + 16])
