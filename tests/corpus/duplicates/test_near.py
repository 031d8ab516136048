"""Near-copies: the same decisions as a plain reference, however the documents come."""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.corpus.duplicates.documents import edited, prose, write_parts

from tsuzuri.core.errors import InputError, ResumeError
from tsuzuri.corpus.duplicates.config import NearDuplicateConfig
from tsuzuri.corpus.duplicates.exact import fold
from tsuzuri.corpus.duplicates.near import DECISIONS, near_duplicates

SURE = NearDuplicateConfig(bands=64, rows_per_band=2)
"""Compares every two documents that are at all alike, so that a plain reference must agree."""


def ngrams(text: str, length: int = 5) -> set[str]:
    folded = fold(text)
    return {folded[place : place + length] for place in range(max(1, len(folded) - length + 1))} - {""}


def plain_jaccard(one: str, other: str) -> float:
    left, right = ngrams(one), ngrams(other)
    return len(left & right) / len(left | right) if left | right else 0.0


def family(seed: int, characters: int, sizes: list[int]) -> list[str]:
    """A text and copies of it with the numbers of edits given."""
    text = prose(seed, characters)
    return [text, *(edited(text, seed + number, edits) for number, edits in enumerate(sizes, start=1))]


def corpus(seed: int) -> list[tuple[str, str]]:
    texts = [
        *family(seed, 300, [0, 1, 4, 8, 12, 30]),
        *family(seed + 100, 40, [1, 2]),
        *family(seed + 200, 12, [1]),
        *(prose(seed + 300 + number, 20 + 7 * number) for number in range(10)),
        "", "  \n", "猫", "ネコ", "ﾈｺ", "猫", "パパ", "ハハ",
    ]  # fmt: skip
    return [(f"{seed}/{number}", text) for number, text in enumerate(texts)]


def decide(
    folder: Path,
    documents: list[tuple[str, str]],
    cuts: list[int],
    config: NearDuplicateConfig,
    **options: Any,
) -> dict[str, dict[str, Any]]:
    paths = write_parts(folder / "parts", documents, cuts)
    near_duplicates(paths, folder / "near", config, **options)
    return {row["id"]: row for row in pq.read_table(folder / "near" / DECISIONS).to_pylist()}


def plain_survivors(documents: list[tuple[str, str]], found: dict[str, dict[str, Any]]) -> set[str]:
    """Who stays when documents are taken by length; found[...] only says who wins a tie."""
    order = sorted(
        documents, key=lambda item: (-len(fold(item[1])), not found.get(item[0], {"keep": 1})["keep"])
    )
    kept: list[tuple[str, str]] = []
    for name, text in order:
        if not fold(text) or all(plain_jaccard(text, other) < SURE.threshold for _, other in kept):
            kept.append((name, text))
    return {name for name, _ in kept}


@pytest.mark.parametrize("seed", range(2))
def test_the_decisions_are_those_of_a_plain_reference(seed: int, tmp_path: Path) -> None:
    documents = corpus(seed)
    texts = dict(documents)
    found = decide(tmp_path, documents, [7], SURE)
    assert {name for name in texts if found.get(name, {"keep": True})["keep"]} == plain_survivors(
        documents, found
    )
    assert any(not row["keep"] for row in found.values())
    for name, row in found.items():
        assert row["jaccard"] == pytest.approx(plain_jaccard(texts[name], texts[row["best_id"]]))
        assert row["jaccard"] >= SURE.threshold
        assert found[row["best_id"]]["keep"]
        assert documents[row["row"]][0] == name
        assert documents[row["best_row"]][0] == row["best_id"]


@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_order_and_parts_do_not_matter(data: st.DataObject) -> None:
    documents = corpus(5)
    shuffled = documents.copy()
    random.Random(data.draw(st.integers(0, 1000))).shuffle(shuffled)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(documents)), max_size=3)))
    keys = ("keep", "best_id", "jaccard")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        expected = decide(Path(one), documents, [], NearDuplicateConfig())
        found = decide(Path(other), shuffled, cuts, NearDuplicateConfig())
    assert {name: [row[key] for key in keys] for name, row in found.items()} == {
        name: [row[key] for key in keys] for name, row in expected.items()
    }


def test_workers_and_memory_do_not_matter(tmp_path: Path) -> None:
    many = [(f"short/{number}", prose(number % 16_900, 9)) for number in range(17_000)]  # two ranges of keys
    documents = [*corpus(0), *many, *corpus(1000)]
    paths = write_parts(tmp_path / "parts", documents, [10, 9_000])
    tight = NearDuplicateConfig(memory_bytes=2**20)
    near_duplicates(paths, tmp_path / "alone")
    near_duplicates(paths, tmp_path / "together", tight, workers=2)
    found = [(tmp_path / name / DECISIONS).read_bytes() for name in ("alone", "together")]
    assert found[0] == found[1]
    assert pq.read_table(tmp_path / "alone" / DECISIONS).num_rows >= 200


def test_a_better_score_wins_over_length(tmp_path: Path) -> None:
    texts = family(0, 200, [1, 2])
    table = {"id": list("abc"), "text": [texts[0] + "。", *texts[1:]], "rating": [1, 3, 2]}
    pq.write_table(pa.table(table), tmp_path / "part.parquet")
    near_duplicates(
        [tmp_path / "part.parquet"], tmp_path / "near", NearDuplicateConfig(score_column="rating")
    )
    found = pq.read_table(tmp_path / "near" / DECISIONS).to_pylist()
    assert [row["keep"] for row in found] == [False, True, False]
    assert {row["best_id"] for row in found} == {"b"}


def test_a_large_bucket_loses_all_but_its_best(tmp_path: Path) -> None:
    text = prose(1, 400)
    documents = [(str(number), edited(text, number, 2)) for number in range(60)]
    config = NearDuplicateConfig(bucket_documents=4)
    paths = write_parts(tmp_path / "parts", documents, [])
    counts = near_duplicates(paths, tmp_path / "near", config)
    assert counts["near_duplicates"] >= 55  # a copy far from the best may stay
    assert counts["pairs_uncompared"] > 0


def test_rows_that_take_no_part_have_no_copies(tmp_path: Path) -> None:
    documents = [(str(number), text) for number, text in enumerate(family(2, 100, [0, 0]))]
    np.save(tmp_path / "mask.npy", np.array([True, False, True]))
    paths = write_parts(tmp_path / "parts", documents, [1])
    near_duplicates(paths, tmp_path / "near", taking_part=tmp_path / "mask.npy")
    assert pq.read_table(tmp_path / "near" / DECISIONS)["row"].to_pylist() == [0, 2]


def test_a_corpus_without_copies_gives_an_empty_file(tmp_path: Path) -> None:
    paths = write_parts(tmp_path / "parts", [("a", ""), ("b", "ひとつ")], [1])
    counts = near_duplicates(paths, tmp_path / "near")
    assert counts == {
        "documents": 1, "clusters": 0, "in_clusters": 0, "near_duplicates": 0, "pairs_uncompared": 0
    }  # fmt: skip
    assert pq.read_table(tmp_path / "near" / DECISIONS).num_rows == 0


def test_a_finished_folder_is_not_made_again_and_not_for_others(tmp_path: Path) -> None:
    paths = write_parts(tmp_path / "parts", corpus(3), [])
    counts = near_duplicates(paths, tmp_path / "near")
    before = (tmp_path / "near" / DECISIONS).stat().st_mtime_ns
    assert near_duplicates(paths, tmp_path / "near") == counts
    assert (tmp_path / "near" / DECISIONS).stat().st_mtime_ns == before
    with pytest.raises(ResumeError, match="another configuration"):
        near_duplicates(paths, tmp_path / "near", NearDuplicateConfig(threshold=0.5))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["a"]}), tmp_path / "part.parquet")
    with pytest.raises(InputError, match="no column 'id'"):
        near_duplicates([tmp_path / "part.parquet"], tmp_path / "near")


def test_a_column_that_is_no_text_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "text": [1]}), tmp_path / "part.parquet")
    with pytest.raises(InputError, match="holds int64, not text"):
        near_duplicates([tmp_path / "part.parquet"], tmp_path / "near")


def test_a_text_that_is_null_is_an_empty_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": list("abc"), "text": [None, "猫", None]}), tmp_path / "part.parquet")
    assert near_duplicates([tmp_path / "part.parquet"], tmp_path / "near")["documents"] == 1


def test_what_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "part.parquet").write_text("no Parquet")
    with pytest.raises(InputError, match=r"part\.parquet is no readable Parquet"):
        near_duplicates([tmp_path / "part.parquet"], tmp_path / "near")


def test_a_score_that_is_no_number_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["x"], "text": ["猫"], "rating": [None]}), tmp_path / "part.parquet")
    config = NearDuplicateConfig(score_column="rating")
    with pytest.raises(InputError, match="'x' has None in 'rating'"):
        near_duplicates([tmp_path / "part.parquet"], tmp_path / "near", config)


def test_near_copies_of_real_articles_are_found_and_nothing_else(shared_data: Path, tmp_path: Path) -> None:
    with gzip.open(shared_data / "kyoto-wikipedia.jsonl.gz", "rt", encoding="utf-8") as file:
        articles = [json.loads(line)["text"] for line in islice(file, 120)]
    copies = [edited(text, number, len(text) // 60) for number, text in enumerate(articles)]
    documents = [
        (f"{kind}/{n}", text) for kind, texts in enumerate((articles, copies)) for n, text in enumerate(texts)
    ]
    found = decide(tmp_path, documents, [100], NearDuplicateConfig())
    texts = dict(documents)
    expected = {n for n, text in enumerate(articles) if plain_jaccard(text, copies[n]) >= 0.8}
    assert len(expected) > 100
    together = {
        n
        for n in expected
        if found.get(f"0/{n}", {"best_id": "none"})["best_id"]
        == found.get(f"1/{n}", {"best_id": ""})["best_id"]
    }
    assert len(together) >= 0.97 * len(expected)
    for name, row in found.items():
        assert plain_jaccard(texts[name], texts[row["best_id"]]) >= 0.8
