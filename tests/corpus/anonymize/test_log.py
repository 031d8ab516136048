"""The log says where and by which rule, never what."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from _personal_data import examples
from tsuzuri.corpus.anonymize.anonymizer import Anonymizer
from tsuzuri.corpus.anonymize.config import TOKENS, AnonymizeConfig
from tsuzuri.corpus.anonymize.log import LOG_SCHEMA, AnonymizeCounts, findings_of

TEXT = "電話03-1234-5678、フリーダイヤル0120-123-456"


def test_rows_hold_place_rule_and_score_and_go_through_parquet(tmp_path: Path) -> None:
    found = findings_of(Anonymizer(AnonymizeConfig())(TEXT), "text")
    rows = [{"id": "web/1", **finding} for finding in found]
    pq.write_table(pa.Table.from_pylist(rows, schema=LOG_SCHEMA), tmp_path / "log.parquet")
    read = pq.read_table(tmp_path / "log.parquet").to_pylist()
    assert [(row["kind"], row["offset"], row["length"], row["masked"]) for row in read] == [
        ("landline", 2, 12, True),
        ("service_phone", 22, 12, False),
    ]


def test_no_row_holds_a_value_or_depends_on_it() -> None:
    anonymizer = Anonymizer(AnonymizeConfig(level="strict"))
    for example in examples(seed=3, count=10):
        rows = list(findings_of(anonymizer(example.text), "text"))
        for row in rows:
            assert row["kind"] in TOKENS
            assert row["rule"].replace(".", "").replace("_", "").replace("4", "").replace("6", "").isalpha()
            value = example.text[row["offset"] : row["offset"] + row["length"]]
            assert value not in json.dumps(row, ensure_ascii=False)


def test_two_values_of_one_shape_leave_the_same_rows() -> None:
    generator = random.Random(0)
    numbers = [f"03-3{generator.randint(0, 999):03}-{generator.randint(0, 9999):04}" for _ in range(20)]
    anonymizer = Anonymizer(AnonymizeConfig())
    logs = {json.dumps(list(findings_of(anonymizer(f"電話は{number}です"), "text"))) for number in numbers}
    assert len(logs) == 1


def test_counts_add_up_over_documents() -> None:
    counts = AnonymizeCounts()
    for mode in ("token", "drop"):
        anonymizer = Anonymizer(AnonymizeConfig.model_validate({"mode": mode}))
        for text in (TEXT, "何もない"):
            result = anonymizer(text)
            counts.add(list(findings_of(result, "text")), dropped=result.dropped)
    assert counts.as_mapping() == {
        "documents": 4,
        "documents_masked": 1,
        "documents_dropped": 1,
        "masked": {"landline": 2},
        "kept": {"service_phone": 2},
    }
