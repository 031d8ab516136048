from __future__ import annotations

from pathlib import Path

import pytest

import builds
from tsuzuri.core.errors import IntegrityError
from tsuzuri.core.files import append_json_line, write_json, write_text
from tsuzuri.report.boxes import boxes_of, read_build


def test_a_whole_build_is_read(tmp_path: Path) -> None:
    build = read_build(boxes_of(builds.make_all(tmp_path)))
    assert build.finished == {"documents", "tokenizer", "tokens", "run", "evaluation"}
    assert build.counts("documents")["documents"] == 14_620
    assert build.counts("release") == {}
    assert build.model["num_hidden_layers"] == 8
    assert build.resolved["precision"] == "float32"
    assert build.machines == ["AMD EPYC 7B13"]
    assert len(build.training_lines) == 600
    assert [line["step"] for line in build.heldout_lines] == list(range(75, 601, 75))
    assert len(build.samples) == 2 * len(builds.STORIES)
    assert build.elapsed_s == pytest.approx(600 * 16_384 / 1684)
    assert build.tokens_per_s == pytest.approx(1684, rel=0.02)


def test_an_unfinished_run_has_its_configuration_and_what_it_wrote(tmp_path: Path) -> None:
    run = tmp_path / "run"
    builds.write_run(run, steps=30)
    write_json(run / "pending.json", {"kind": "run", "config": builds.run_config(), "inputs": {}})
    append_json_line(run / "metrics.jsonl", {"step": 31, "loss": 5.0})
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 32, "lo')  # the line that was being written when its process died
    build = read_build(boxes_of(tmp_path))
    assert build.finished == frozenset()
    assert build.config("run") == builds.run_config()
    assert len(build.training_lines) == 31


def test_the_later_line_of_a_step_stands(tmp_path: Path) -> None:
    lines = [(1, 9.0), (2, 8.0), (3, 7.0), (2, 8.5)]
    for step, loss in lines:
        append_json_line(tmp_path / "run" / "metrics.jsonl", {"step": step, "loss": loss})
    append_json_line(tmp_path / "run" / "metrics.jsonl", {"step": 2, "heldout": {}})
    build = read_build(boxes_of(tmp_path))
    assert [(line["step"], line["loss"]) for line in build.training_lines] == [(1, 9.0), (2, 8.5), (3, 7.0)]
    assert len(build.heldout_lines) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run/metrics.jsonl", '{"step": 1\n{"step": 2}\n'),
        ("documents/manifest.json", "{"),
        ("documents/pending.json", "[]"),
        ("evaluation/eval.json", "{"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    if name.startswith("evaluation"):
        builds.make_all(tmp_path)
    write_text(tmp_path / name, text)
    with pytest.raises(IntegrityError, match=name.split("/")[1]):
        read_build(boxes_of(tmp_path))


def test_a_damaged_clock_reading_is_passed_over(tmp_path: Path) -> None:
    timings = tmp_path / "run" / "timings.jsonl"
    append_json_line(timings, {"step": 1, "tokens_per_s": 10.0, "elapsed_s": 2.0})
    with open(timings, "ab") as file:
        file.write(b"\xff\x00garbage\n[1]\n")
    append_json_line(timings, {"step": 2, "tokens_per_s": 10.0, "elapsed_s": 3.0})
    assert read_build(boxes_of(tmp_path)).elapsed_s == 5.0
