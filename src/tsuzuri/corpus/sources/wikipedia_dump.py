"""The pages of a MediaWiki XML dump, range by range, without its index.

A multistream dump is many bzip2 streams of a hundred pages; where one begins is found by its first ten
bytes, which stand at a byte's edge nowhere else. In plain XML a `<page>` is found as it stands, since text
has `&lt;`. A page belongs to the range that its first byte is in, even if a stream ends within it (as
pbzip2 writes them). A dump of one bzip2 stream, or a gzipped one, is read in one piece. What is whole before
a cut or behind a damaged stream is read; the cut is counted.
"""

from __future__ import annotations

import bz2
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tsuzuri.corpus.sources import ranges
from tsuzuri.corpus.sources.ranges import FileRange

READ_BYTES = 2**20
HEAD_BYTES = 2**16
MAX_PAGE_BYTES = 64 * 2**20
"""MediaWiki allows 2 MiB of text; more without an end of page is damage."""
_BZIP2_STREAM = re.compile(rb"BZh[1-9]1AY&SY")
_PAGE_START, _PAGE_END, _DUMP_END = b"<page>", b"</page>", b"</mediawiki>"
_KEPT_TAIL = len(_DUMP_END) + 4


@dataclass(frozen=True, slots=True)
class Cut:
    """Where bytes of a dump are missing or damaged."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Piece:
    data: bytes
    is_own: bool
    """Whether it begins in the range, or lies behind it and only ends its last page."""


def pages(part: FileRange) -> Iterator[bytes | Cut]:
    """The XML of each page that begins in a range, and a Cut for each place where something is lost."""
    buffer = b""
    own_bytes: int | None = None  # of the buffer; None while all are
    was_cut, has_pages = False, part.start == 0
    for piece in _pieces(part):
        if isinstance(piece, Cut):
            yield piece
            buffer, was_cut = b"", True
            continue
        if not piece.is_own and own_bytes is None:
            own_bytes = len(buffer)
        buffer += piece.data
        place = 0
        while (start := buffer.find(_PAGE_START, place)) >= 0:
            if own_bytes is not None and start >= own_bytes:
                return
            end = buffer.find(_PAGE_END, start)
            if end < 0:
                break
            place = end + len(_PAGE_END)
            yield buffer[start:place]
            has_pages = True
        if start >= 0 and len(buffer) - start > MAX_PAGE_BYTES:
            yield Cut("too_large")
            start = -1
        kept_from = start if start >= 0 else max(place, len(buffer) - _KEPT_TAIL)
        buffer = buffer[kept_from:]
        if own_bytes is not None:
            own_bytes -= kept_from
            if own_bytes <= 0:
                return
    if not was_cut and (_PAGE_START in buffer or (has_pages and _DUMP_END not in buffer)):
        yield Cut("truncated")


def head(path: Path) -> bytes:
    """The first 64 KiB of a dump's XML, as far as they are whole."""
    with open(path, "rb") as file:
        packed = file.read(READ_BYTES)
    try:
        if packed.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(packed, HEAD_BYTES)
        if packed.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(31).decompress(packed, HEAD_BYTES)
    except (OSError, zlib.error):
        return b""
    return packed[:HEAD_BYTES]


def _pieces(part: FileRange) -> Iterator[_Piece | Cut]:
    with open(part.path, "rb") as file:
        magic = file.read(3)
        if magic == b"BZh":
            yield from _bzip2_pieces(file, part)
        elif magic[:2] == b"\x1f\x8b":
            yield from _gzip_pieces(file)
        else:
            file.seek(part.start)
            while data := file.read(min(READ_BYTES, max(part.end - file.tell(), 0)) or READ_BYTES):
                yield _Piece(data, is_own=file.tell() <= part.end)


def _bzip2_pieces(file: IO[bytes], part: FileRange) -> Iterator[_Piece | Cut]:
    place = ranges.find(file, _BZIP2_STREAM, part.start, part.end)
    while place is not None and place < part.size:
        unpacker = bz2.BZ2Decompressor()
        file.seek(place)
        try:
            while not unpacker.eof:
                data = file.read(READ_BYTES) if unpacker.needs_input else b""
                if unpacker.needs_input and not data:
                    yield Cut("truncated")
                    return
                yield _Piece(unpacker.decompress(data, READ_BYTES), is_own=place < part.end)
            place = file.tell() - len(unpacker.unused_data)
        except (OSError, EOFError):
            yield Cut("damaged")
            place = ranges.find(file, _BZIP2_STREAM, place + 1, part.end)


def _gzip_pieces(file: IO[bytes]) -> Iterator[_Piece | Cut]:
    file.seek(0)
    unpacker = zlib.decompressobj(31)
    waiting = b""
    try:
        while waiting or (waiting := file.read(READ_BYTES)):
            data = unpacker.decompress(waiting, READ_BYTES)
            waiting = unpacker.unconsumed_tail
            if unpacker.eof:
                waiting, unpacker = unpacker.unused_data, zlib.decompressobj(31)
            yield _Piece(data, is_own=True)
    except zlib.error:
        yield Cut("damaged")
