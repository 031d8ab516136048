"""What a run shows of itself beside its logs: speed, memory, page, profile. None of it changes a byte."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import runs
from token_boxes import write_token_box
from tsuzuri.training.clock import characters_per_token
from tsuzuri.training.watch import Watch, read_standing


def peak_speed(*unused: object) -> float:
    """Tokens a second at the peak of a made-up device."""
    return 1e6


def test_speed_memory_and_mfu_are_read_and_drawn(inputs: Path, finished: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    runs.run(inputs, tmp_path, watch=Watch(full_speed=peak_speed))
    reading = next(line for line in runs.lines(tmp_path, "timings.jsonl") if line["stage"] == "train")
    assert reading["mfu"] == reading["tokens_per_s"] / 1e6
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for name in ("tokens_per_s", "mfu", "peak_memory_bytes"):
        assert [event.value for event in events.Scalars(name)] == pytest.approx([reading[name]])
    assert "mfu" not in next(
        line for line in runs.lines(finished, "timings.jsonl") if line["stage"] == "train"
    ), "of a device that is not known"
    assert runs.contents(tmp_path) == runs.contents(finished)


def test_the_last_step_is_not_timed_by_itself(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noted right after the last but one, which would make it the fastest of all."""
    monkeypatch.setattr("tsuzuri.training.clock.READ_EVERY_S", 0.0)
    runs.run(inputs, tmp_path)
    timed = [line["step"] for line in runs.lines(tmp_path, "timings.jsonl") if line["stage"] == "train"]
    assert timed == [2, 3, 4, 6]


def test_another_process_can_show_the_run(finished: Path) -> None:
    standing = read_standing(finished)
    assert (standing.step, standing.steps) == (6, 6)
    assert standing.losses == tuple(runs.losses(finished))
    assert standing.left_s == 0
    assert standing.memory_bytes


def test_a_page_is_made_while_the_run_goes_on(inputs: Path, finished: Path, tmp_path: Path) -> None:
    seen: list[list[dict[str, Any]]] = []
    runs.run(inputs, tmp_path, watch=Watch(report=lambda: seen.append(runs.lines(tmp_path))))
    assert len(seen) == 1, "once at the beginning, and then not before a minute is over"
    assert runs.contents(tmp_path) == runs.contents(finished)


def test_a_page_that_cannot_be_made_stops_nothing(
    inputs: Path, finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("no page")

    runs.run(inputs, tmp_path, watch=Watch(report=fail))
    assert "the page of the run was not made: ZeroDivisionError('no page')" in capfd.readouterr().err
    assert runs.contents(tmp_path) == runs.contents(finished)


def test_steps_are_looked_into(
    inputs: Path, finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs.run(inputs, tmp_path, watch=Watch(profile_steps=2))
    (trace,) = (tmp_path / "profile").iterdir()
    assert trace.name == "steps-4-5.json.gz"
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert sum(event["name"].startswith("ProfilerStep") for event in events) == 2
    said = capfd.readouterr().err
    assert "aten::mm" in said
    assert f"traced into {trace}" in said
    assert runs.contents(tmp_path) == runs.contents(finished)


def test_too_few_steps_to_look_into_are_said(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs.run(inputs, tmp_path / "few", watch=Watch(profile_steps=4))
    (trace,) = (tmp_path / "few" / "profile").iterdir()
    assert trace.name == "steps-4-6.json.gz", "as many as there are"
    runs.run(inputs, tmp_path / "none", "steps=3", watch=Watch(profile_steps=4))
    assert "nothing was looked into: only 3 steps or fewer were left" in capfd.readouterr().err
    assert not (tmp_path / "none" / "profile").exists()


def test_characters_of_a_token_are_a_mean_over_what_is_drawn(tmp_path: Path) -> None:
    box = write_token_box(tmp_path, {"a": [[1, 0]], "b": [[2, 0]]})
    assert characters_per_token(box, {"a": 0.5, "b": 0.5}) is None, "a box that counts nothing"
    box.counts = {
        "a": {"train_tokens": 10, "train_characters": 15},
        "b": {"train_tokens": 10, "train_characters": 30},
    }
    assert characters_per_token(box, {"a": 0.8, "b": 0.2}) == pytest.approx(0.8 * 1.5 + 0.2 * 3.0)
    assert characters_per_token(box, {"b": 1.0}) == 3.0
