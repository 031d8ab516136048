"""Lists of hosts whose pages do not stay, as UT1 publishes them: a host a line, its subdomains with it.

Such lists hold millions of names; eight bytes are kept of each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import InputError

HASH_BYTES = 8


class HostList:
    """The hosts of some files."""

    def __init__(self, paths: Iterable[Path]) -> None:
        """InputError for a file that is not there or holds no host."""
        parts = [_read(path) for path in paths]
        self._hashes = np.unique(np.concatenate([np.empty(0, np.uint64), *parts]))

    def __contains__(self, host: str) -> bool:
        """Whether a host, or one that it belongs to, is in the list."""
        labels = reversed(host.split("."))
        names = accumulate(labels, lambda end, label: f"{label}.{end}")
        asked = np.array([_hash(name) for name in names], np.uint64)
        places = np.searchsorted(self._hashes, asked)
        return bool((self._hashes[np.minimum(places, len(self._hashes) - 1)] == asked).any())


def _read(path: Path) -> npt.NDArray[np.uint64]:
    try:
        with open(path, encoding="utf-8") as file:
            hosts = [_hash(host) for line in file if (host := line.partition("#")[0].strip(" .\r\n").lower())]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"no readable list of hosts at {path}", hint="a UTF-8 text file, a host a line"
        ) from error
    if not hosts:
        raise InputError(f"the list of hosts {path} is empty", hint="one host a line; # opens a comment")
    return np.array(hosts, np.uint64)


def _hash(host: str) -> int:
    return int.from_bytes(hashlib.blake2b(host.encode(), digest_size=HASH_BYTES).digest(), "little")
