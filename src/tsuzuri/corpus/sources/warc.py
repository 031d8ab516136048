"""The records of WARC and WET files, range by range, read by fastwarc and around damage.

fastwarc ends silently at a cut, and gives up a file at its first damaged byte. So each record's length is
compared with what it declares, and after damage the reading goes on at the next record that can be found:
in a gzipped file at a member that unpacks to `WARC/`, in a plain one at a line that begins so.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from tsuzuri.core.errors import MissingExtraError
from tsuzuri.corpus.sources import ranges
from tsuzuri.corpus.sources.ranges import FileRange

WARC_SUFFIXES = (".warc", ".warc.gz", ".wet", ".wet.gz")
_GZIP_MEMBER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]")
_PLAIN_RECORD = re.compile(rb"WARC/1\.[01]\r\n")
_PROBE_BYTES = 1024
_RECORD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class WarcRecord:
    """One response or conversion record."""

    offset: int
    headers: Any
    """The WARC headers, a mapping."""
    payload: bytes
    """What follows the HTTP header (WET: the text), as it was sent."""
    status: int | None = None
    http_headers: Any = None
    content_type: str = ""
    charset: str = ""


@dataclass(frozen=True, slots=True)
class Damage:
    """A place where a record could not be read."""

    offset: int
    reason: str
    """truncated, damaged or too_large."""


def read_range(part: FileRange, max_payload_bytes: int) -> Iterator[WarcRecord | Damage]:
    """The responses and conversions that begin in a range, and the damage between them; MissingExtraError
    without fastwarc."""
    with open(part.path, "rb") as file:
        offset = _find(file, part, part.start)
        if part.start == 0 and offset != 0:
            yield Damage(0, "damaged")  # empty, no WARC at all, or its beginning is gone
        unplaced: Damage | None = None  # behind a good record: the next try may find where
        while offset is not None:
            run = _Run(file, part, offset, max_payload_bytes)
            for item in run:
                if unplaced and isinstance(item, WarcRecord):
                    yield unplaced
                unplaced = item if isinstance(item, Damage) and run.is_unplaced else None
                if not unplaced:
                    yield item
            offset = _find(file, part, run.last + 1) if run.is_broken else None
        if unplaced:
            yield unplaced


def archive_iterator() -> Any:
    """fastwarc's reader of archives; MissingExtraError without it."""
    try:
        from fastwarc.warc import ArchiveIterator
    except ImportError as error:
        raise MissingExtraError("fastwarc", "web") from error
    return ArchiveIterator


class _Run:
    """Records from one place on, up to the first damage or the end of the range."""

    def __init__(self, file: IO[bytes], part: FileRange, start: int, max_payload_bytes: int) -> None:
        self.file, self.part, self.start, self.last = file, part, start, start
        self.max_payload_bytes = max_payload_bytes
        self.is_broken = self.is_unplaced = False

    def __iter__(self) -> Iterator[WarcRecord | Damage]:
        self.file.seek(self.last)
        has_read = False
        try:
            for record in archive_iterator()(self.file):
                if record.stream_pos >= self.part.end and _begins_record(self.file, record.stream_pos):
                    return
                self.last = record.stream_pos
                found = self._read(record)
                if isinstance(found, Damage):
                    yield self._broken(found.reason)
                    return
                if found is not None:
                    yield found
                has_read = True
        except OSError:
            self.is_unplaced = has_read
            yield self._broken("damaged", behind=has_read)
            return
        if not self._ends_whole():
            yield self._broken("truncated", behind=has_read)

    def _broken(self, reason: str, *, behind: bool = False) -> Damage:
        """The damage in the last record, or behind it if that was read."""
        self.is_broken = True
        return Damage(self.last + behind, reason)

    def _read(self, record: Any) -> WarcRecord | Damage | None:
        kind = record.headers.get("WARC-Type")
        if record.headers.get("Content-Length") is None:
            return Damage(record.stream_pos, "truncated")
        if kind not in ("response", "conversion"):
            return None
        length = record.content_length
        if length > self.max_payload_bytes:  # skipping it would trust a length that may be a lie
            return Damage(record.stream_pos, "too_large")
        payload = record.reader.read(length)
        if len(payload) < length:
            return Damage(record.stream_pos, "truncated")
        if not payload:  # a redirect, or a file that ends within this record's HTTP header
            return None
        http = record.http_headers
        return WarcRecord(
            record.stream_pos,
            record.headers,
            payload,
            http.status_code if http is not None else None,
            http,
            (record.http_content_type or "") if http is not None else record.headers.get("Content-Type", ""),
            (record.http_charset or "") if http is not None else "",
        )

    def _ends_whole(self) -> bool:
        """Whether the file ends where its last record does."""
        if not _is_gzip(self.file):
            self.file.seek(max(0, self.part.size - len(_RECORD_END)))
            return self.file.read() == _RECORD_END
        is_member = _begins_record(self.file, self.last)  # else all records are in one member
        self.file.seek(self.last if is_member else self.start)
        unpacker = zlib.decompressobj(31)
        waiting = b""
        while waiting or (waiting := self.file.read(ranges.SCAN_BYTES)):
            try:
                unpacker.decompress(waiting, ranges.SCAN_BYTES)
            except zlib.error:
                return False
            if unpacker.eof:
                waiting = unpacker.unused_data
                return not waiting and not self.file.read(1)
            waiting = unpacker.unconsumed_tail
        return False


def _is_gzip(file: IO[bytes]) -> bool:
    return os.pread(file.fileno(), 2, 0) == b"\x1f\x8b"


def _find(file: IO[bytes], part: FileRange, start: int) -> int | None:
    """Where the first record begins in [start, end of the range), or None."""
    mark = _GZIP_MEMBER if _is_gzip(file) else _PLAIN_RECORD
    return ranges.find(file, mark, start, part.end, lambda place: _begins_record(file, place))


def _begins_record(file: IO[bytes], place: int) -> bool:
    """Whether a record, or a gzip member that holds one, begins at a place; the file is not moved."""
    if not _is_gzip(file):
        return place == 0 or os.pread(file.fileno(), 4, place - 4) == _RECORD_END
    try:
        unpacked = zlib.decompressobj(31).decompress(os.pread(file.fileno(), _PROBE_BYTES, place), 5)
    except zlib.error:
        return False
    return unpacked == b"WARC/"
