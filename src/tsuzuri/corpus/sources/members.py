"""The files of a source: a single file, a folder's tree, or what is in a zip, read whole or line by line
with a limit."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tsuzuri.core.errors import InputError
from tsuzuri.core.files import sha256_file

BATCH_BYTES = 32 * 2**20
SKIP_BYTES = 2**20
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError, RuntimeError)
"""What the standard library raises on a truncated, corrupt or encrypted gzip or zip."""


class TooLargeError(Exception):
    """A file holds more bytes than its source allows."""


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring rows of a file."""

    first_row: int
    stop_row: int
    offset: int = 0
    """Where the first begins, in bytes, in a file of lines."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file: on its own, or inside a zip; or some rows of it."""

    name: str
    """Its place in the source, with `/`: the same wherever the source lies."""
    path: Path
    inner: str = ""
    """Its name inside the zip at `path`, where it is in one."""
    size: int = 0
    """Bytes on disk, or unpacked bytes as the zip declares them."""
    span: Span | None = None
    """The rows that are read; None: all."""

    @property
    def place(self) -> str:
        """Its name, and that of its first row where it is a part of the file."""
        return f"{self.name}#{self.span.first_row}" if self.span else self.name

    def ends_in(self, *suffixes: str) -> bool:
        """Whether the name ends in one of `suffixes` (in small letters), however it is written."""
        return self.name.lower().endswith(suffixes)

    @property
    def file_name(self) -> str:
        """The name of the file on disk: of the zip, where the member is in one."""
        return self.name.removesuffix(f"/{_readable(self.inner)}") if self.inner else self.name


def list_members(path: Path, suffixes: Sequence[str], *, looked_for: str) -> list[Member]:
    """The files at `path` that end in one of `suffixes`, sorted by name; InputError when there are none."""
    if not path.exists():
        raise InputError(f"there is nothing at {path}", hint="check corpus.source and corpus.root")
    if path.is_file():
        member = _plain(path, path.name)
        found = list(_inside(member, suffixes)) if member.ends_in(".zip") else [member]
    else:
        found = []
        for file in sorted(path.rglob("*")):
            name = file.relative_to(path).as_posix()
            if not file.is_file() or any(part.startswith(".") for part in name.split("/")):
                continue
            member = _plain(file, name)
            if member.ends_in(".zip"):
                found += _inside(member, suffixes)
            elif member.ends_in(*suffixes):
                found.append(member)
    if not found:
        raise InputError(
            f"{path} holds no document: looked for {looked_for} ({', '.join(suffixes)})",
            hint="give a folder, zip or file that has some with --set corpus.source=PATH",
        )
    return sorted(found, key=lambda member: member.name)


def fingerprint(members: Iterable[Member]) -> str:
    """The SHA-256 over (name, SHA-256) of the files; a zip counts as one file."""
    total = hashlib.sha256()
    for path, name in sorted({(m.path, m.file_name) for m in members}, key=lambda item: item[1]):
        total.update(f"{name}\0{sha256_file(path)}\n".encode())
    return total.hexdigest()


def group_by_size(members: Iterable[Member], batch_bytes: int = BATCH_BYTES) -> list[tuple[Member, ...]]:
    """Neighbouring members together until they hold `batch_bytes`; a larger one is alone."""
    batches: list[tuple[Member, ...]] = []
    waiting: list[Member] = []
    size = 0
    for member in members:
        if waiting and size + member.size > batch_bytes:
            batches.append(tuple(waiting))
            waiting, size = [], 0
        waiting.append(member)
        size += member.size
    return [*batches, tuple(waiting)] if waiting else batches


@contextmanager
def open_member(member: Member) -> Iterator[IO[bytes]]:
    """The member's bytes as a stream, unpacked if its name ends in .gz."""
    if member.inner:
        with zipfile.ZipFile(member.path) as archive, archive.open(member.inner) as stream:
            yield gzip.GzipFile(fileobj=stream) if member.ends_in(".gz") else stream  # type: ignore[misc]
    else:
        with gzip.open(member.path) if member.ends_in(".gz") else open(member.path, "rb") as stream:
            yield stream  # type: ignore[misc]


def read_member(member: Member, max_bytes: int) -> bytes:
    """All bytes of a member; TooLargeError before more than `max_bytes` of them are in memory."""
    with open_member(member) as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TooLargeError
    return data


def read_lines(stream: IO[bytes], max_bytes: int) -> Iterator[bytes | None]:
    """The lines of a stream without their newline; None for each of more than `max_bytes`."""
    buffered = io.BufferedReader(stream, SKIP_BYTES) if isinstance(stream, io.RawIOBase) else stream
    while line := buffered.readline(max_bytes + 1):
        is_too_long = len(line) > max_bytes
        while is_too_long and line and not line.endswith(b"\n"):
            line = buffered.readline(SKIP_BYTES)
        yield None if is_too_long else line.rstrip(b"\r\n")


def _plain(file: Path, name: str) -> Member:
    return Member(_readable(name), file, size=file.stat().st_size)


def _readable(name: str) -> str:
    """A name that UTF-8 can hold, whatever bytes the file system or the zip has for it."""
    return name.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")


def _inside(outer: Member, suffixes: Sequence[str]) -> Iterator[Member]:
    """The files in a zip that end in one of `suffixes`."""
    try:
        with zipfile.ZipFile(outer.path) as archive:
            for info in archive.infolist():
                name = f"{outer.name}/{_readable(info.filename)}"
                member = Member(name, outer.path, info.filename, info.file_size)
                if not info.is_dir() and member.ends_in(*suffixes):
                    yield member
    except DAMAGE as error:
        raise InputError(
            f"{outer.path} is not a whole zip file: {error}", hint="download it again"
        ) from error
