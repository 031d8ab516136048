from __future__ import annotations

import resource
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.core.errors import IntegrityError
from tsuzuri.data.shards import Shard, shard_writer, token_dtype

UINT16, INT32 = np.dtype("<u2"), np.dtype("<i4")


def write(stem: Path, documents: list[list[int]], dtype: np.dtype = UINT16) -> Shard:
    with shard_writer(stem, dtype) as add:
        for document in documents:
            add(np.array(document, np.int64), np.array([len(document)]))
    return Shard(stem)


def test_the_bytes_are_megatrons(tmp_path: Path) -> None:
    write(tmp_path / "golden", [[1, 2, 0], [258, 0]])
    assert (tmp_path / "golden.bin").read_bytes() == bytes([1, 0, 2, 0, 0, 0, 2, 1, 0, 0])
    assert (tmp_path / "golden.idx").read_bytes() == (
        b"MMIDIDX\x00\x00"
        + bytes([1, 0, 0, 0, 0, 0, 0, 0])  # version
        + bytes([8])  # uint16
        + bytes([2, 0, 0, 0, 0, 0, 0, 0])  # sequences
        + bytes([3, 0, 0, 0, 0, 0, 0, 0])  # document borders
        + struct.pack("<2i", 3, 2)
        + struct.pack("<2q", 0, 6)
        + struct.pack("<3q", 0, 1, 2)
    )


def test_large_vocabularies_take_four_bytes(tmp_path: Path) -> None:
    assert token_dtype(65_499) == UINT16
    assert token_dtype(65_500) == INT32
    write(tmp_path / "wide", [[70_000, 0]], INT32)
    assert (tmp_path / "wide.bin").read_bytes() == struct.pack("<2i", 70_000, 0)
    assert (tmp_path / "wide.idx").read_bytes()[17] == 4


@settings(max_examples=40, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 65_499), min_size=1, max_size=20), max_size=12),
    dtype=st.sampled_from([UINT16, INT32]),
)
def test_documents_come_back(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], dtype: np.dtype
) -> None:
    shard = write(tmp_path_factory.mktemp("shard") / "any", documents, dtype)
    assert len(shard) == len(documents)
    assert [document.tolist() for document in shard] == documents
    assert [shard[number].tolist() for number in reversed(range(len(shard)))] == documents[::-1]
    assert shard.tokens.tolist() == [token for document in documents for token in document]
    assert shard.lengths.tolist() == [len(document) for document in documents]
    assert shard.tokens.dtype == dtype


def test_many_documents_added_at_once_are_the_same_shard(tmp_path: Path) -> None:
    one_by_one = write(tmp_path / "one", [[5, 0], [6, 7, 0]])
    with shard_writer(tmp_path / "run", UINT16) as add:
        add(np.array([5, 0, 6, 7, 0]), np.array([2, 3]))
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"run{suffix}").read_bytes() == (tmp_path / f"one{suffix}").read_bytes()
    assert len(one_by_one) == 2


def test_a_source_name_with_a_dot_keeps_it(tmp_path: Path) -> None:
    write(tmp_path / "train-wiki.ja", [[1, 0]])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train-wiki.ja.bin", "train-wiki.ja.idx"]


def test_one_document_of_many_is_read_without_reading_the_others(tmp_path: Path) -> None:
    length, documents = 1 << 14, 2_000  # 64 MB
    with shard_writer(tmp_path / "large", UINT16) as add:
        for number in range(documents):
            add(np.full(length, number), np.array([length]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    shard = Shard(tmp_path / "large")
    assert shard[1_234][::4_096].tolist() == [1_234] * 4
    touched_pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert touched_pages < 1_000, "64 MB are 16,384 pages"


def test_a_killed_writer_leaves_no_shard(tmp_path: Path) -> None:
    def interrupted() -> None:
        with shard_writer(tmp_path / "half", UINT16) as add:
            add(np.array([1, 0]), np.array([2]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("whole.bin", lambda data: data[:-2]),
        ("whole.bin", lambda data: data[:-1]),
        ("whole.bin", lambda data: data + b"\0\0"),
        ("whole.bin", None),
        ("whole.idx", lambda data: b"X" + data[1:]),
        ("whole.idx", lambda data: data[:20]),
        ("whole.idx", lambda data: data[:-1]),
        ("whole.idx", lambda data: data[:9] + b"\x02" + data[10:]),
        ("whole.idx", lambda data: data[:17] + b"\x07" + data[18:]),
        ("whole.idx", lambda data: b""),
        ("whole.idx", None),
    ],
)
def test_a_damaged_pair_is_refused_by_name(tmp_path: Path, name: str, damage: object) -> None:
    write(tmp_path / "whole", [[1, 2, 0], [3, 0]])
    path = tmp_path / name
    if callable(damage):
        path.write_bytes(damage(path.read_bytes()))
    else:
        path.unlink()
    with pytest.raises(IntegrityError, match=name.replace(".", r"\.")):
        Shard(tmp_path / "whole")
