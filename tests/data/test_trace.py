from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.data.sampler import Sampler
from tsuzuri.data.trace import samples_of

from .conftest import MakeTokenBox

LENGTHS = (3, 9, 1, 30, 5, 14)


def documents(first: int) -> list[list[int]]:
    """Documents in which every token tells which one it is of."""
    return [[first + number] * length for number, length in enumerate(LENGTHS)]


def test_the_documents_of_a_row_are_those_of_its_predicted_tokens(make_token_box: MakeTokenBox) -> None:
    box = make_token_box({"a": documents(1), "b": documents(100)})
    table = pa.table({"id": [f"work:{number}" for number in range(len(LENGTHS))]})
    pq.write_table(table, box.path / "train-b.parquet")
    sampler, indices = Sampler(box, length=12, seed=4), np.arange(30)
    samples = samples_of(box, sampler, indices)
    assert [sample["row"] for sample in samples] == indices.tolist()
    assert {sample["source"] for sample in samples} == {"a", "b"}
    for row, sample in zip(sampler.rows(indices), samples, strict=True):
        first = {"a": 1, "b": 100}[sample["source"]]
        expected = [token - first for token in dict.fromkeys(row[1:].tolist())]
        name = {"a": "a {}", "b": "work:{}"}[sample["source"]]
        assert sample["documents"] == [name.format(number) for number in expected]


def test_a_row_longer_than_its_source_names_each_document_once(make_token_box: MakeTokenBox) -> None:
    box = make_token_box({"a": [[5, 0], [6, 0]]})
    (sample,) = samples_of(box, Sampler(box, length=11, seed=1), np.array([3]))
    assert sorted(sample["documents"]) == ["a 0", "a 1"]
