"""However a large file is cut, the same documents come of it in the same order."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tsuzuri.corpus.document import Document
from tsuzuri.corpus.sources import base
from tsuzuri.corpus.sources.base import Unreadable
from tsuzuri.corpus.sources.config import FilesSource
from tsuzuri.corpus.sources.files import FilesOnDisk
from tsuzuri.corpus.sources.members import Member
from tsuzuri.corpus.sources.spans import in_batches, split_member

ROWS = [(row, "猫" * (row * 7 % 50 + 1) + str(row)) for row in range(120)]


def json_lines(path: Path) -> None:
    lines = [json.dumps({"text": text}, ensure_ascii=False) for _, text in ROWS]
    lines[10] = "{torn"
    lines[20] = ""
    lines[30] = "長" * 2_000
    path.write_text("\n".join(lines), newline="\n")


def table(path: Path) -> None:
    lines = ["text\tid", *(f"{text}\tn{row}" for row, text in ROWS), "", "narrow", f"{'長' * 2_000}\tx"]
    path.write_text("\r\n".join([*lines, "末\t\r\n"]), newline="")


def parquet(path: Path) -> None:
    rows = [{"text": text} for _, text in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7, compression="none")


KINDS = {"a.jsonl": json_lines, "a.json": json_lines, "a.tsv": table, "a.parquet": parquet}
DOCUMENTS = {"a.jsonl": 117, "a.json": 117, "a.tsv": 121, "a.parquet": 120}


def read(source: FilesOnDisk, members: list[Member]) -> list[Document | Unreadable]:
    return [item for member in members for item in base.read(source, (member,))]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("span_bytes", [1, 100, 300, 1_000, 4_000, 10**6])
def test_spans_together_are_the_file(tmp_path: Path, name: str, span_bytes: int) -> None:
    KINDS[name](tmp_path / name)
    source = FilesOnDisk(FilesSource(path=tmp_path, max_file_bytes=5_000), Path())
    (whole,) = source.members()
    members = split_member(whole, span_bytes)
    assert (len(members) > 1) == (span_bytes < whole.size)
    assert sum(member.size for member in members) == whole.size or name == "a.parquet"
    assert max(member.size for member in members) < span_bytes + 8_000
    spans = [member.span for member in members if member.span]
    assert all(one.stop_row == other.first_row for one, other in pairwise(spans))
    found = read(source, members)
    assert found == read(source, [whole])
    assert sum(isinstance(item, Document) for item in found) == DOCUMENTS[name]
    assert len({item.id for item in found}) == len(found)
    assert len({member.place for member in members}) == len(members)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv", "a.arrow"])
def test_what_can_only_be_read_from_its_start_is_not_cut(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b'{"text": "x"}\n' * 100))
    (member,) = FilesOnDisk(FilesSource(path=tmp_path), Path()).members()
    assert split_member(member, 10) == [member]


def test_one_json_value_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"text": text} for _, text in ROWS], indent=1))
    source = FilesOnDisk(FilesSource(path=tmp_path), Path())
    (member,) = source.members()
    assert split_member(member, 10) == [member]
    assert len(read(source, [member])) == len(ROWS)


def test_a_large_file_is_several_batches(tmp_path: Path) -> None:
    with open(tmp_path / "a.jsonl", "w") as file:
        for row in range(70):
            file.write(json.dumps({"text": f"{row}" + "x" * 2**20}) + "\n")
    source = FilesOnDisk(FilesSource(path=tmp_path), Path())
    batches = source.batches()
    assert batches == in_batches(source.members())
    assert [len(list(base.read(source, batch))) for batch in batches] == [32, 32, 6]


def test_a_file_that_cannot_be_cut_is_counted_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(1_000) + b"PAR1")
    source = FilesOnDisk(FilesSource(path=tmp_path), Path())
    members = split_member(source.members()[0], 10)
    assert [item.reason for item in read(source, members) if isinstance(item, Unreadable)] == ["damaged"]
