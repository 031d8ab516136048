"""Records out of whole, cut and damaged WARC files."""

from __future__ import annotations

import gzip
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import pytest
from tests.corpus.warcs import archive, record

from tsuzuri.corpus.sources.ranges import FileRange
from tsuzuri.corpus.sources.warc import Damage, WarcRecord, read_range

pytest.importorskip("fastwarc")

RECORDS = [record(number, bytes([number]) * 900 * number) for number in range(1, 6)]
MEMBERS = [gzip.compress(data, mtime=0) for data in RECORDS]


def read(
    data: bytes, folder: Path, range_bytes: int = 10**9, limit: int = 10**6
) -> list[WarcRecord | Damage]:
    path = folder / "x.warc.gz"
    path.write_bytes(data)
    found = []
    for start in range(0, max(len(data), 1), range_bytes):
        part = FileRange("x", path, start, min(start + range_bytes, len(data)), len(data))
        found += list(read_range(part, limit))
    return found


def numbers(items: list[WarcRecord | Damage]) -> list[int | str]:
    """The payload's first byte of each record, the reason of each damage."""
    return [item.payload[0] if isinstance(item, WarcRecord) else item.reason for item in items]


@pytest.mark.parametrize("range_bytes", [100, 1_000, 10**9])
@pytest.mark.parametrize(
    "data",
    [b"".join(MEMBERS), b"".join(RECORDS), gzip.compress(b"".join(RECORDS))],
    ids=["gz", "plain", "one"],
)
def test_every_record_is_in_one_range(tmp_path: Path, data: bytes, range_bytes: int) -> None:
    assert numbers(read(data, tmp_path, range_bytes)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("parts", "step"), [(MEMBERS, 3), (RECORDS, 97)], ids=["gz", "plain"])
def test_wherever_a_file_is_cut_it_is_counted_and_nothing_before_is_lost(
    tmp_path: Path, parts: list[bytes], step: int
) -> None:
    data = b"".join(parts)
    ends = list(accumulate(map(len, parts)))
    for cut in range(1, len(data), step):
        found = read(data[:cut], tmp_path)
        whole = [item for item in numbers(found) if isinstance(item, int)]
        assert whole == list(range(1, len(whole) + 1))
        assert len(whole) >= bisect_right(ends, cut)
        assert len(found) - len(whole) == (cut not in ends), cut
        assert len({item.offset for item in found}) == len(found)


@pytest.mark.parametrize("start", [0, 100])
def test_a_damaged_record_loses_only_itself(tmp_path: Path, start: int) -> None:
    data = bytearray(b"".join(MEMBERS))
    place = len(MEMBERS[0]) + len(MEMBERS[1])
    data[place + start : place + 110] = bytes(110 - start)
    assert numbers(read(bytes(data), tmp_path)) == [1, 2, "damaged", 4, 5]


@pytest.mark.parametrize("is_packed", [True, False])
def test_a_length_that_lies_costs_one_record(tmp_path: Path, is_packed: bool) -> None:
    records = [*RECORDS[:2], record(9, b"liar", length=10**12), *RECORDS[3:]]
    data = archive(records) if is_packed else b"".join(records)
    assert numbers(read(data, tmp_path)) == [1, 2, "too_large", 4, 5]


def test_a_bomb_is_not_unpacked_into_memory(tmp_path: Path) -> None:
    bomb = record(2, bytes(200_000_000))
    assert numbers(read(archive([RECORDS[0], bomb, RECORDS[2]]), tmp_path)) == [1, "too_large", 3]


@pytest.mark.parametrize("data", [b"", b"no archive", gzip.compress(b"no archive", mtime=0)])
def test_what_is_no_archive_is_counted(tmp_path: Path, data: bytes) -> None:
    assert read(data, tmp_path) == [Damage(0, "damaged")]
