"""How far each running request has come, in a file that outlives a killed process.

The file is mapped into memory: noting a token is one store of eight bytes, and the kernel keeps what was
stored however the process ends (only a crash of the machine may lose it). A process holds the kernel's lock
on its file while it lives; a file that can be locked is a dead process's, and is settled by who finds it.

Slot: id of the reservation (16 bytes) · prompt tokens · tokens written · outcome + 1, or 0 while it runs.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tsuzuri.core.files import disk_errors
from tsuzuri.serving.accounts.errors import StorageUnavailable

WORDS = 5
"""Of eight bytes, in a slot."""
SUFFIX = ".progress"
OUTCOMES = ("complete", "cancelled", "timeout", "handed_back", "failed", "refused", "killed", "lost")
"""How a request ends; `killed` and `lost` are found out afterwards."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a slot says."""

    prompt_tokens: int
    completion_tokens: int
    outcome: str | None
    """None where the request was still running."""


class Slot:
    """One running request's place in the file."""

    __slots__ = ("_words", "at")

    def __init__(self, words: memoryview[int], at: int) -> None:
        self._words = words
        self.at = at

    def note(self, completion_tokens: int, prompt_tokens: int | None = None) -> None:
        """So many tokens have been written, and perhaps another number read than was thought."""
        if prompt_tokens is not None:
            self._words[self.at + 2] = prompt_tokens
        self._words[self.at + 3] = completion_tokens

    def end(self, prompt_tokens: int, completion_tokens: int, outcome: str) -> None:
        """It is over; what is to be settled is known."""
        self._words[self.at + 2] = prompt_tokens
        self._words[self.at + 3] = completion_tokens
        self._words[self.at + 4] = OUTCOMES.index(outcome) + 1


class Journal:
    """The file of this process. Opening a slot raises StorageUnavailable where all are taken."""

    def __init__(self, folder: Path, *, slots: int) -> None:
        self.instance = uuid.uuid4().hex
        self.path = folder / f"{self.instance}{SUFFIX}"
        with disk_errors(self.path):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = folder / f".tmp-{self.instance}"  # locked before anybody may look for dead ones
            self._descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            os.posix_fallocate(self._descriptor, 0, slots * WORDS * 8)  # a full disk must not kill us later
            temporary.rename(self.path)
        self._map = mmap.mmap(self._descriptor, slots * WORDS * 8)
        self._words = memoryview(self._map).cast("B").cast("Q")
        self._free = deque(range(0, slots * WORDS, WORDS))

    def open(self, reservation: str, prompt_tokens: int) -> Slot:
        """A slot for a reservation's id (32 hexadecimal digits)."""
        if not self._free:
            raise StorageUnavailable("as many requests are running as this server holds; try again")
        at = self._free.popleft()
        high, low = _halves(reservation)
        self._words[at + 2] = prompt_tokens
        self._words[at + 3] = self._words[at + 4] = 0
        self._words[at], self._words[at + 1] = high, low
        return Slot(self._words, at)

    def free(self, slot: Slot) -> None:
        """Give a slot back; its reservation is settled, or was never made."""
        self._words[slot.at] = self._words[slot.at + 1] = 0
        self._free.append(slot.at)

    def close(self, *, keep: bool) -> None:
        """Close the file; `keep` it for the next start where something in it is not settled."""
        self._words.release()
        self._map.close()
        if not keep:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


def dead_journals(folder: Path) -> Iterator[tuple[str, dict[str, Progress], Path]]:
    """The files of dead processes: their instance, the progress of each reservation, the path; locked while
    the caller works on each."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path.stem, _read(descriptor), path
        except BlockingIOError:
            continue  # its process lives
        finally:
            os.close(descriptor)


def _read(descriptor: int) -> dict[str, Progress]:
    data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    words = memoryview(data[: len(data) // 8 * 8]).cast("Q")
    found = {}
    for at in range(0, len(words) - WORDS + 1, WORDS):
        high, low, prompt, completion, outcome = words[at : at + WORDS]
        if high or low:
            ended = OUTCOMES[outcome - 1] if 0 < outcome <= len(OUTCOMES) else None
            found[f"{high:016x}{low:016x}"] = Progress(prompt, completion, ended)
    return found


def _halves(reservation: str) -> tuple[int, int]:
    return int(reservation[:16], 16), int(reservation[16:], 16)
