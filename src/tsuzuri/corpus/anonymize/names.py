"""Names of persons by rule: after a label, with their reading, before an honorific.

Rules see what is written around a name, never the name itself, so that they miss most names of running prose;
a model can be put beside them through `NameFinder`. Honorifics over-mask without a list of the words that are
no names (皆様, 神様, 奥さん), and even with it; therefore only a label is sure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from tsuzuri.corpus.anonymize.finding import CHECKED, LABELLED, SHAPED, WEAK, Finding
from tsuzuri.corpus.anonymize.words import words


class NameFinder(Protocol):
    """What finds names by a model: the seam for named entity recognition."""

    def __call__(self, text: str, /) -> Iterable[tuple[int, int, float]]:
        """Start, end and score (0 to 1) of every name in a text."""


_KANJI = "一-鿿々〆豈-\ufaff"
_NAME = (
    rf"(?:[{_KANJI}]{{1,3}} [ぁ-んァ-ヶー]{{1,5}}|[{_KANJI}ヶケノ]{{1,4}} ?[{_KANJI}]{{1,3}}"
    r"|[ァ-ヶー]{2,8}[ ・=][ァ-ヶー]{2,8})"
)
_LABEL = re.compile(
    r"(?:氏名|お名前|姓名|担当者?|代表者|申込者|契約者|名義人?|患者名?|保護者|差出人|宛名|受取人|世帯主|本人|記入者|作成者)"
    rf" ?(?:\((?:漢字|フルネーム)\))?(?: ?[:=|]|(?<=氏名)は|(?<=姓名)は) ?(?P<name>{_NAME})"
    r"(?=[\s、。,()\[\]「」様さ殿氏とで/|]|$)"
)
_READING = re.compile(r"\((?P<reading>[ぁ-んー]{2,6} ?[ぁ-んー]{2,6}|[ァ-ヶー]{2,6} [ァ-ヶー]{2,6})[、,)]")
_READ = re.compile(rf"(?<![{_KANJI}ァ-ヶー])(?P<name>[{_KANJI}]{{1,4}}(?P<gap> ?)[{_KANJI}]{{1,4}}) ?$")
_HONORIFIC = re.compile(
    r"(?P<honorific>さん|様|さま|氏|君|くん|先生|殿|ちゃん|容疑者|被告|選手)(?![々一-鿿])"
)
_HONOURED = re.compile(
    rf"(?P<name>(?<![{_KANJI}])[{_KANJI}]{{1,3}} ?[{_KANJI}]{{1,2}}|(?<![ァ-ヶー])[ァ-ヶー]{{2,6}}) ?$"
)
_OF_STRANGERS = "容疑者", "被告", "氏"
_BEFORE = 12


def find_names(text: str) -> Iterator[Finding]:
    """Names after a label (sure), with a reading in two parts, or before an honorific (unsure)."""
    for match in _LABEL.finditer(text):
        yield Finding("person_name", *match.span("name"), "person_name.label", LABELLED)
    surnames = tuple(words("surnames"))
    yield from _with_reading(text, surnames)
    yield from _with_honorific(text, surnames)


def _with_reading(text: str, surnames: tuple[str, ...]) -> Iterator[Finding]:
    for reading in _READING.finditer(text):
        match = _READ.search(text, max(0, reading.start() - _BEFORE), reading.start())
        if match:
            split = bool(match["gap"]) or " " in reading["reading"]
            known = match["name"].startswith(surnames)
            score = CHECKED if split and known else SHAPED if split or known else WEAK
            yield Finding("person_name", *match.span("name"), "person_name.reading", score)


def _with_honorific(text: str, surnames: tuple[str, ...]) -> Iterator[Finding]:
    for honorific in _HONORIFIC.finditer(text):
        match = _HONOURED.search(text, max(0, honorific.start() - _BEFORE), honorific.start())
        if match and not is_no_name(match["name"]):
            sure = match["name"].startswith(surnames) or honorific.group() in _OF_STRANGERS
            score = CHECKED if sure else SHAPED
            yield Finding("person_name", *match.span("name"), "person_name.honorific", score)


def is_no_name(word: str) -> bool:
    """Whether a word before an honorific says who somebody is to the speaker (奥, 店長), not what they are
    called."""
    known = words("no_names")
    return word in known or any(word[start:] in known for start in range(1, len(word) - 1))
