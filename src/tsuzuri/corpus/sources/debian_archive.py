"""Debian packages without root: taken with `apt-get download` into a cache, read without unpacking.

A package that lies in the cache is used as it is, so a rerun needs no network and reads the same version;
removing the cache folder ($XDG_CACHE_HOME/tsuzuri/debian-docs) takes the archive's present ones.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import unquote

import pyarrow as pa

from tsuzuri.core.errors import InputError
from tsuzuri.core.files import disk_errors
from tsuzuri.core.progress import say

MAX_MEMBER_BYTES = 64 * 2**20
MAX_COMPLAINTS = 8
OWN_FOLDER_HINT = "use your own text instead: --set corpus.source=FOLDER"
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60
_UNKNOWN_PACKAGE = re.compile(
    r"Unable to locate package (\S+)|Can't select candidate version from package (\S+)"
)


def cache_folder() -> Path:
    """Where packages are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tsuzuri" / "debian-docs"


def fetch(packages: Sequence[str], cache: Path) -> list[Path]:
    """The .deb files of `packages` in their order, downloaded if the cache lacks them; InputError when none
    can be had.

    A package that this machine's archive does not know is left out with a word to the user.
    """
    missing = [name for name in packages if cached(name, cache) is None]
    if missing:
        _download(missing, cache)
    found = [path for name in packages if (path := cached(name, cache))]
    if not found:
        raise InputError(
            f"none of the packages {', '.join(packages)} is in this machine's archive", hint=OWN_FOLDER_HINT
        )
    return found


def cached(package: str, cache: Path) -> Path | None:
    """The newest cached file of a package, or None."""
    files = sorted(cache.glob(f"{package}_*.deb"), key=lambda path: (path.stat().st_mtime, path.name))
    return files[-1] if files else None


def version_of(path: Path) -> str:
    """The version in a package's file name."""
    return unquote(path.name.split("_")[1])


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every plain file in a package, in its order; larger ones than MAX_MEMBER_BYTES are
    no documents."""
    with open(path, "rb") as file:
        name = _find_data(file, path)
        stream: IO[bytes] = file
        mode = "r|" + name.removeprefix("data.tar").lstrip(".")
        if mode == "r|zst":  # Ubuntu's packages; Python 3.11 has no zstd of its own, Arrow does
            stream, mode = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd"), "r|"
        try:
            with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
                for member in archive:
                    if member.isreg() and member.size <= MAX_MEMBER_BYTES:
                        yield member.name.removeprefix("./"), archive.extractfile(member).read()
        except (tarfile.TarError, EOFError, OSError) as error:
            raise InputError(
                f"{path} is damaged: {error}", hint=f"remove it and run the same command again: rm {path}"
            ) from error


def _find_data(file: IO[bytes], path: Path) -> str:
    """Leave `file` at the start of the package's data archive; its name in the ar container."""
    if file.read(len(_AR_MAGIC)) == _AR_MAGIC:
        while len(header := file.read(_AR_HEADER_BYTES)) == _AR_HEADER_BYTES:
            name = header[:16].decode("ascii", "replace").strip().rstrip("/")
            if name.startswith("data.tar"):
                return name
            size = int(header[48:58])
            file.seek(size + size % 2, os.SEEK_CUR)
    raise InputError(
        f"{path} is no Debian package", hint=f"remove it and run the same command again: rm {path}"
    )


def _download(packages: Sequence[str], cache: Path) -> None:
    if shutil.which("apt-get") is None:
        raise InputError(
            "the source debian-docs needs apt-get, which is not on this machine", hint=OWN_FOLDER_HINT
        )
    say(f"downloading {', '.join(packages)} from this machine's Debian archive")
    with disk_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            files = _apt_download(packages, Path(folder))
            for path in files:
                path.replace(cache / path.name)


def _apt_download(packages: Sequence[str], folder: Path) -> list[Path]:
    """The downloaded files: with the machine's own package lists or, where they are missing or stale,
    private ones."""
    options: list[str] = []
    update = ""
    message = _apt(["download", *packages], options, folder)
    if message:
        options = _private_state(folder)
        update = _apt(["update"], options, folder)
        message = _apt(["download", *packages], options, folder)
    unknown = {first or second for first, second in _UNKNOWN_PACKAGE.findall(message)}
    known = [name for name in packages if name not in unknown]
    if unknown and known:
        say(f"left out, because this machine's archive does not have them: {', '.join(sorted(unknown))}")
        message = _apt(["download", *known], options, folder)
    if message:
        reason = f"{message} {update}".strip()
        raise InputError(f"apt-get could not download {', '.join(packages)}: {reason}", hint=OWN_FOLDER_HINT)
    return sorted(folder.glob("*.deb"))


def _private_state(folder: Path) -> list[str]:
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State": folder,
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": folder,
        "Dir::Cache::archives": folder / "archives",
        "Debug::NoLocking": "1",
    }
    return [argument for name, value in settings.items() for argument in ("-o", f"{name}={value}")]


def _apt(arguments: Sequence[str], options: Sequence[str], folder: Path) -> str:
    """What went wrong, in one line, or an empty string; an update that fails in part is no error for
    apt-get."""
    result = subprocess.run(
        ["apt-get", "-q", *options, "-o", "APT::Sandbox::User=", *arguments],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [
        line for line in result.stderr.splitlines() if line.startswith(("E:", "W: Failed to fetch"))
    ]
    if result.returncode and not complaints:
        return f"exit status {result.returncode}"
    return " ".join(complaints[:MAX_COMPLAINTS])
