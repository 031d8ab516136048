"""SHA256SUMS: the checksums of a release, in the form that `sha256sum -c` reads."""

from __future__ import annotations

import re
from pathlib import Path

from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.core.files import sha256_file, write_text
from tsuzuri.core.manifest import MANIFEST, PENDING, TIMINGS

SUMS = "SHA256SUMS"
HINT = "fetch the release again, or remove it and run `tsuzuri release build` again"
UNSUMMED = frozenset({SUMS, MANIFEST, PENDING, TIMINGS, ".lock"})
"""Written after the sums, or clock readings."""


def write_sums(folder: Path) -> None:
    """Write the SHA-256 of every file of a release into its SHA256SUMS."""
    lines = [f"{sha256_file(folder / name)}  {name}\n" for name in summed(folder)]
    write_text(folder / SUMS, "".join(lines))


def check_sums(folder: Path) -> int:
    """How many files match SHA256SUMS; IntegrityError names the first that is missing or changed."""
    path = folder / SUMS
    if not path.exists():
        raise InputError(f"{folder} is no release: it has no {SUMS}", hint="tsuzuri release build makes one")
    sums = {}
    for line in path.read_bytes().decode("utf-8", "replace").splitlines():
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](\S.*)", line)
        if match is None:
            raise IntegrityError(f"{path} is damaged: {line[:80]!r} is no checksum", hint=HINT)
        sums[match.group(2)] = match.group(1)
    for name, sha256 in sums.items():
        if not (folder / name).is_file():
            raise IntegrityError(f"{folder / name} is missing", hint=HINT)
        if sha256_file(folder / name) != sha256:
            raise IntegrityError(f"{folder / name} is damaged: its SHA-256 differs from {SUMS}", hint=HINT)
    strangers = [name for name in summed(folder) if name not in sums]
    if strangers:
        raise IntegrityError(
            f"{folder / strangers[0]} is not part of the release: {SUMS} does not name it", hint=HINT
        )
    return len(sums)


def summed(folder: Path) -> list[str]:
    """The names of the files of a release that stand in its SHA256SUMS."""
    files = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file())
    return [name for name in files if name not in UNSUMMED]
