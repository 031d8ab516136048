"""Files that are whole or absent: temporary file, fsync, atomic rename, fsync of the folder.

A file appears under its final name only when it is complete, so a process killed at any instant leaves
either the old file, the new file or a `.tmp-…` beside them that the next run sweeps away.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tsuzuri.core.errors import IntegrityError, ResourceError, ResumeError

TEMPORARY_PREFIX = ".tmp-"


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's answers about a full or read-only disk into a ResourceError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(_nearest_existing(path)).free
            raise ResourceError(
                f"the disk is full: {path} needs more than the {free / 2**20:.0f} MiB that are free",
                hint="free some space (or give another --out) and run the same command again: it resumes",
            ) from error
        if error.errno == errno.EFBIG:
            raise ResourceError(
                f"{path} cannot be written: it is larger than a file may be here",
                hint="raise the limit (ulimit -f), or give another --out, and run the same command again",
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES):
            message = f"{path} cannot be written: {error.strerror}"
            raise ResourceError(message, hint="give another --out") from error
        raise


@contextmanager
def atomic_file(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """An open file that becomes `path` when the block ends without an error, and vanishes otherwise."""
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
        encoding = None if "b" in mode else "utf-8"
        try:
            with open(temporary, mode, encoding=encoding, newline=None if "b" in mode else "\n") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            fsync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder that becomes `path` (which must not exist) when the block ends without an error."""
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            for name in sorted(temporary.rglob("*")):
                if name.is_file():
                    fsync_file(name)
            fsync_folder(temporary)
            os.rename(temporary, path)
            fsync_folder(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    with atomic_file(path, "w") as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable UTF-8 JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def append_json_line(path: Path, value: Any) -> None:
    """Append one line of JSON to `path` (logs only: the last line of a killed process may be torn)."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab+") as file:
            _cut_torn_line(file)
            file.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")


def read_json_lines(path: Path) -> list[Any]:
    """The values of a JSON-lines log; a torn last line is left out, a missing file is an empty list."""
    if not path.exists():
        return []
    values = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            values.append(json.loads(line))
        except ValueError as error:  # no JSON, or a character cut in half
            if number < len(lines) - 1:  # only the line that was being written when its process died may be
                message = f"{path} is damaged: its line {number + 1} is no JSON"
                raise IntegrityError(message, hint="restore it from a copy") from error
    return values


def readable_json_lines(log: bytes) -> list[dict[str, Any]]:
    """The objects in a piece of a JSON-lines log; torn and damaged lines are left out."""
    found = []
    for line in log.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _cut_torn_line(file: IO[bytes]) -> None:
    """Remove what a killed process left of a line at the end, lest the next line be joined to it."""
    end = file.seek(0, os.SEEK_END)
    if not end or os.pread(file.fileno(), 1, end - 1) == b"\n":
        return
    file.seek(0)
    whole = file.read().rfind(b"\n") + 1
    file.truncate(whole)


def sha256_bytes(data: bytes) -> str:
    """The SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep_temporary(folder: Path) -> None:
    """Remove what killed processes left half-written in `folder` and below it."""
    for path in list(folder.rglob(f"{TEMPORARY_PREFIX}*")):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def fsync_file(path: Path) -> None:
    """Wait until the bytes of `path` are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(path: Path) -> None:
    """Wait until the names in the folder `path` are on the disk."""
    fsync_file(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process alone; a second process gets a ResumeError at once.

    The lock is the kernel's (flock on `.lock`): it goes with the process, however that ends.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "a")  # noqa: SIM115 (closed below, after the block)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ResumeError(
                f"another tsuzuri process is working in {folder}",
                hint="wait until it ends, or give another --out",
            ) from error
        yield
    finally:
        file.close()


def _nearest_existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
