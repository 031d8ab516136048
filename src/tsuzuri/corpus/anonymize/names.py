"""Names of persons by rule: after a label, with their reading, before an honorific.

Rules see what is written around a name, and frequent surnames; they miss most names of running prose, which
a dictionary (`names_by_words`) or a model put beside them through `NameFinder` sees. Honorifics over-mask
without a list of words that are no names (皆様, 神様, 奥さん), and even with it; so only a label is sure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from tsuzuri.corpus.anonymize.finding import CHECKED, LABELLED, SHAPED, Finding
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
    rf" ?(?:\((?:漢字|フルネーム)\))? ?[:=|] ?(?P<name>{_NAME})"
    r"(?=[\s、。,()\[\]「」様さ殿氏とでまがはのをにへ/|]|$)"
)
_FORM = re.compile(rf"(?:氏名|お名前)(?: +|は ?)(?P<name>{_NAME})(?=[\s、。,()様でと]|$)")
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
_KANJI_RUN = re.compile(rf"[{_KANJI}](?<![{_KANJI}].)[{_KANJI}]{{2,4}}(?![{_KANJI}ヶ])", re.DOTALL)
_NO_GIVEN_NAME = (
    "県市区町村郡駅川山島城寺院社局校線港橋湖家氏杯賞店園館流派軍府州藩領所署場台谷町丁目式的人君様殿"
)


def find_labelled_name(text: str) -> Iterator[Finding]:
    """Names after a label such as 氏名."""
    for match in _LABEL.finditer(text):
        yield Finding("person_name", *match.span("name"), "person_name.label", LABELLED)
    for match in _FORM.finditer(text):
        if surname_of(match["name"]):  # else it may be the form's next heading, or prose
            yield Finding("person_name", *match.span("name"), "person_name.form", LABELLED)


def find_unlabelled_name(text: str) -> Iterator[Finding]:
    """Names with a reading, before an honorific or after a frequent surname: none of them sure."""
    yield from _with_reading(text)
    yield from _with_honorific(text)
    yield from _with_surname(text)


def _with_reading(text: str) -> Iterator[Finding]:
    for reading in _READING.finditer(text):
        match = _READ.search(text, max(0, reading.start() - _BEFORE), reading.start())
        if match:
            split = bool(match["gap"]) or " " in reading["reading"]
            known = bool(surname_of(match["name"]))
            if split or known:
                score = CHECKED if split and known else SHAPED
                yield Finding("person_name", *match.span("name"), "person_name.reading", score)


def _with_honorific(text: str) -> Iterator[Finding]:
    for honorific in _HONORIFIC.finditer(text):
        match = _HONOURED.search(text, max(0, honorific.start() - _BEFORE), honorific.start())
        if match and not is_no_name(match["name"].rpartition(" ")[2]):
            sure = surname_of(match["name"]) or honorific.group() in _OF_STRANGERS
            score = CHECKED if sure else SHAPED
            yield Finding("person_name", *match.span("name"), "person_name.honorific", score)


def _with_surname(text: str) -> Iterator[Finding]:
    for match in _KANJI_RUN.finditer(text):
        name = match.group()
        surname = surname_of(name)
        if len(surname) < 2 or not 1 <= len(name) - len(surname) <= 2:
            continue
        if name[-1] not in _NO_GIVEN_NAME and not is_no_name(name):
            yield Finding("person_name", *match.span(), "person_name.surname", SHAPED)


def surname_of(name: str) -> str:
    """The longest frequent surname that `name` begins with, or an empty string."""
    surnames = words("surnames")
    return next((name[:length] for length in (3, 2, 1) if name[:length] in surnames), "")


def is_no_name(word: str) -> bool:
    """Whether a word before an honorific says who somebody is to the speaker (奥, 店長), not what they are
    called."""
    known = words("no_names")
    return word in known or any(word[start:] in known for start in range(1, len(word) - 1))
