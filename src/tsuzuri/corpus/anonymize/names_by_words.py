"""Names of persons in running prose, by a dictionary of words (Sudachi's, the extra `segment`).

Words that the dictionary calls names of persons stand together as one name; ・ and ＝ join names in katakana,
of which the dictionary rarely knows more than the first part. A surname alone is less sure than a whole name:
companies, places and eras carry them too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tsuzuri.corpus.anonymize.finding import CHECKED, SHAPED
from tsuzuri.corpus.sudachi import morphemes

_JOINTS = ("・", "＝", "=")
_KATAKANA = re.compile("[ァ-ヶー]+")


def find_names(text: str) -> Iterator[tuple[int, int, float]]:
    """Start, end and score of every name; MissingExtraError without the extra."""
    words = [
        (offset + word.begin(), offset + word.end(), word.surface(), word.part_of_speech()[2] == "人名")
        for offset, word in morphemes(text)
    ]
    place = 0
    while place < len(words):
        start, _, _, is_name = words[place]
        first = place
        place += 1
        if not is_name:
            continue
        while place < len(words):
            if words[place][3]:
                place += 1
            elif _joins(words[place - 1 : place + 2]):
                place += 2
            else:
                break
        yield start, words[place - 1][1], CHECKED if place - first > 1 else SHAPED


def _joins(three: list[tuple[int, int, str, bool]]) -> bool:
    surfaces = [surface for _, _, surface, _ in three]
    return (
        len(surfaces) == 3
        and surfaces[1] in _JOINTS
        and all(_KATAKANA.fullmatch(surface) for surface in (surfaces[0], surfaces[2]))
    )
