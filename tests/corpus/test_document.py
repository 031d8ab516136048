"""Documents in Parquet: in order, whole, the same bytes, in bounded files."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tsuzuri.corpus import document
from tsuzuri.corpus.document import (
    COLUMNS,
    DOCUMENT_SCHEMA,
    Document,
    RowWriter,
    SplitWriter,
    as_row,
    read_documents,
    split_files,
)


def make(number: int, text: str = "本文") -> Document:
    return Document(id=f"甲/{number}", text=text, source="甲", license="CC0-1.0", group=str(number % 3))


def test_what_is_written_is_read_in_order(tmp_path: Path) -> None:
    documents = [make(number, "文" * number) for number in range(600)]
    with SplitWriter(tmp_path, "train", DOCUMENT_SCHEMA) as writer:
        for item in documents:
            writer.add(as_row(item))
    assert list(read_documents(tmp_path, "train")) == documents
    assert list(read_documents(tmp_path, "heldout")) == []
    assert pq.read_schema(split_files(tmp_path, "train")[0]).names == list(COLUMNS)


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with RowWriter(tmp_path / name, DOCUMENT_SCHEMA) as writer:
            for number in range(50):
                writer.add(as_row(make(number)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_much_text_goes_to_several_files_of_several_row_groups(tmp_path: Path) -> None:
    text = "長" * (document.CHARACTERS_PER_FILE // 4)
    with SplitWriter(tmp_path, "train", DOCUMENT_SCHEMA) as writer:
        for number in range(6):
            writer.add(as_row(make(number, text)))
    files = split_files(tmp_path, "train")
    assert [file.name for file in files] == ["train-00000.parquet", "train-00001.parquet"]
    assert pq.ParquetFile(files[0]).num_row_groups == 4
    assert [item.id for item in read_documents(tmp_path, "train")] == [f"甲/{number}" for number in range(6)]


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    def write_and_stop() -> None:
        with SplitWriter(tmp_path, "train", DOCUMENT_SCHEMA) as writer:
            writer.add(as_row(make(1)))
            raise ValueError("halt")

    with pytest.raises(ValueError, match="halt"):
        write_and_stop()
    assert list(tmp_path.iterdir()) == []


def test_no_row_gives_no_file(tmp_path: Path) -> None:
    with SplitWriter(tmp_path, "rejected", DOCUMENT_SCHEMA):
        pass
    assert list(tmp_path.iterdir()) == []
