"""Datasets as `save_to_disk` and the Hub leave them on a disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.sources import base
from tsuzuri.corpus.sources.base import Unreadable
from tsuzuri.corpus.sources.config import HuggingFaceSource, RecordFields
from tsuzuri.corpus.sources.hugging_face import HuggingFaceDataset, license_of_card

ROWS = [
    {"text": f"吾輩は猫である。第{number}話。", "title": f"題{number}", "n": number} for number in range(600)
]
CARD = "---\nlicense: cc-by-sa-4.0\nlanguage:\n- ja\n---\n# データ\nlicense: mit\n"


def source(path: Path, **settings: Any) -> HuggingFaceDataset:
    return HuggingFaceDataset(HuggingFaceSource(path=path, name="集", **settings), Path("."))


def read(path: Path, **settings: Any) -> list[Document | Unreadable]:
    dataset = source(path, **settings)
    return [item for batch in dataset.batches() for item in base.read(dataset, batch)]


def texts(items: list[Document | Unreadable]) -> list[str]:
    return [item.text if isinstance(item, Document) else item.reason for item in items]


def save_to_disk(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """A folder as `Dataset.save_to_disk` makes it."""
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(rows)
    path = folder / "data-00000-of-00001.arrow"
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    (folder / "dataset_info.json").write_text(json.dumps({"license": "cc0-1.0", "description": ""}))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": path.name}]}))
    return path


def test_an_arrow_folder(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "d", ROWS)
    (tmp_path / "d" / "cache-0123.arrow").write_bytes(b"left behind")
    found = read(tmp_path / "d")
    assert texts(found) == [row["text"] for row in ROWS]
    first = found[0]
    assert isinstance(first, Document)
    assert (first.title, first.license, first.charset) == ("題0", "CC0-1.0", "utf-8")
    assert first.id == "集/data-00000-of-00001.arrow#0"


def test_an_arrow_file_that_was_cut_gives_what_is_whole(tmp_path: Path) -> None:
    path = save_to_disk(tmp_path / "d", ROWS)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    *whole, last = texts(read(tmp_path / "d"))
    assert last == "damaged"
    assert whole == [row["text"] for row in ROWS][: len(whole)]
    assert len(whole) >= 200


def test_a_damaged_parquet_file_loses_what_is_behind_the_damage_in_its_row_group(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=100, compression="gzip")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(bytes(data))
    found = texts(read(tmp_path))
    damage = [number for number, text in enumerate(found) if text == "damaged"]
    assert len(damage) in (1, 2)
    good = {row["text"] for row in ROWS} & set(found)
    assert len(good) == len(found) - len(damage) >= 400
    assert (found[0], found[-1]) == (ROWS[0]["text"], ROWS[-1]["text"])


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", ["data/{}-00000-of-00001.parquet", "{}/0000.parquet", "{}.jsonl", "{}.json"])
def test_a_snapshot_gives_one_split_under_its_cards_license(tmp_path: Path, name: str, split: str) -> None:
    (tmp_path / "dataset_infos.json").write_text("{}")
    (tmp_path / "README.md").write_text(CARD)
    for number, word in enumerate(("train", "test")):
        path = tmp_path / name.format(word)
        path.parent.mkdir(exist_ok=True)
        if path.suffix in (".jsonl", ".json"):
            path.write_text(json.dumps(ROWS[number]) + "\n")
        else:
            pq.write_table(pa.Table.from_pylist([ROWS[number]]), path)
    (found,) = read(tmp_path, split=split)
    assert isinstance(found, Document)
    assert (found.text, found.license) == (ROWS[split == "test"]["text"], "CC-BY-SA-4.0")


def test_a_split_that_is_not_there_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "validation.parquet")
    with pytest.raises(InputError, match="one of: validation"):
        read(tmp_path)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_the_wrong_columns_are_an_error_that_names_those_found(tmp_path: Path, form: str) -> None:
    rows = [{"texts": "猫", "label": 1}]
    if form == "arrow":
        save_to_disk(tmp_path / "d", rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert "no column 'text'; it has: texts, label" in str(caught.value)
    assert "did you mean 'texts'?" in str(caught.value)
    assert texts(read(tmp_path, fields=RecordFields(text="texts"))) == ["猫"]


def test_the_fingerprint_holds_the_license(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    before = source(tmp_path).fingerprint()
    (tmp_path / "README.md").write_text(CARD)
    assert source(tmp_path).fingerprint() != before
    assert source(tmp_path, license="MIT").license == "MIT"


@pytest.mark.parametrize(
    ("card", "license_name"),
    [
        (CARD, "CC-BY-SA-4.0"),
        ("---\nlicense:\n- mit\n- cc-by-4.0\n---\n", "MIT AND CC-BY-4.0"),
        ("---\nlicense: cc-by-nc-sa-3.0\n---\n", "CC-BY-NC-SA-3.0"),
        ("---\nlicense: [gemma, odc-by]\n---\n", "gemma AND ODC-By-1.0"),
        ("---\nlicense: other\n---\n", "LicenseRef-unknown"),
        ("---\nlicense: [\n---\n", "LicenseRef-unknown"),
        ("# no front matter\n", "LicenseRef-unknown"),
    ],
)
def test_licenses_of_cards(tmp_path: Path, card: str, license_name: str) -> None:
    (tmp_path / "README.md").write_text(card)
    assert license_of_card(tmp_path) == license_name
