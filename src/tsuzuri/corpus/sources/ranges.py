"""Large files cut into ranges of bytes, each a batch of its own.

A record belongs to the range that it begins in: a reader looks for the first beginning at or after the
range's start and reads on, past the end if need be, until a record begins at or after the end. So a file is
read in bounded pieces without an index, and a killed build loses one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tsuzuri.corpus.sources.members import Member

SCAN_BYTES = 2**20
OVERLAP_BYTES = 64


@dataclass(frozen=True, slots=True)
class FileRange:
    """The bytes from `start` to `end` (exclusive) of a file."""

    name: str
    path: Path
    start: int
    end: int
    size: int
    """Bytes of the whole file."""

    @property
    def place(self) -> str:
        """The name of the range."""
        return f"{self.name}#{self.start}"


def split_members(members: Iterable[Member], range_bytes: int) -> list[FileRange]:
    """The members' files in ranges of at most `range_bytes`, in order."""
    return [
        FileRange(member.name, member.path, start, min(start + range_bytes, member.size), member.size)
        for member in members
        for start in range(0, max(member.size, 1), range_bytes)
    ]


def find(
    file: IO[bytes],
    mark: re.Pattern[bytes],
    start: int,
    end: int,
    is_real: Callable[[int], bool] = lambda place: True,
) -> int | None:
    """The place of the first `mark` (at most 64 bytes long) that begins in [start, end) and is real, or
    None."""
    place = start
    while place < end:
        file.seek(place)
        chunk = file.read(SCAN_BYTES + OVERLAP_BYTES)
        for match in mark.finditer(chunk):
            found = place + match.start()
            if found >= end or match.start() >= SCAN_BYTES:
                break
            if is_real(found):
                return found
        if len(chunk) < SCAN_BYTES + OVERLAP_BYTES:
            return None
        place += SCAN_BYTES
    return None
