"""How a run stands, by its logs and on a terminal."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from tsuzuri.core.errors import InputError
from tsuzuri.core.files import append_json_line
from tsuzuri.training.watch import TAIL_BYTES, Standing, clock, drawn, read_standing, watch, watching

MACHINE = {"stage": "machine", "steps": 200, "tokens_per_step": 1000, "characters_per_token": 1.5}
READING = {"stage": "train", "step": 40, "tokens_per_s": 500.0, "peak_memory_bytes": 3 << 30, "mfu": 0.412}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The logs of a run after 50 of 200 steps."""
    append_json_line(tmp_path / "timings.jsonl", MACHINE)
    append_json_line(tmp_path / "timings.jsonl", READING)
    for step in range(1, 51):
        append_json_line(tmp_path / "metrics.jsonl", {"step": step, "loss": 6.0 - step / 20})
    append_json_line(tmp_path / "metrics.jsonl", {"step": 50, "heldout": {}})
    return tmp_path


def test_a_run_is_known_by_its_logs(run: Path) -> None:
    standing = read_standing(run)
    assert (standing.step, standing.steps, standing.loss) == (50, 200, 3.5)
    assert standing.bits_per_character == pytest.approx(3.5 / math.log(2) / 1.5)
    assert standing.left_s == 150 * 1000 / 500
    assert standing.losses == tuple(6.0 - step / 20 for step in range(1, 51))
    assert standing.line() == (
        "step 50 of 200: loss 3.500, bits/character 3.366, tokens/s 500, MFU 41.2%, "
        "memory 3.00 GiB, left 0:05:00"
    )


def test_the_line_of_a_run_is_printed_where_there_is_no_terminal(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(watch(run)) == [read_standing(run).line()]
    (run / "run").mkdir()
    for name in ("timings.jsonl", "metrics.jsonl"):
        (run / name).rename(run / "run" / name)
    assert list(watch(run)) == [read_standing(run / "run").line()], "of a build, its run"


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    append_json_line(tmp_path / "timings.jsonl", {"stage": "machine", "steps": 9, "tokens_per_step": 4})
    assert read_standing(tmp_path).line() == "step 0 of 9"
    append_json_line(tmp_path / "metrics.jsonl", {"step": 3, "loss": 2.0})
    assert read_standing(tmp_path).line() == "step 3 of 9: loss 2.000"


def test_a_step_that_was_left_out_does_not_hide_the_loss(run: Path) -> None:
    append_json_line(run / "metrics.jsonl", {"step": 51, "loss": None, "grad_norm": None, "skipped": True})
    standing = read_standing(run)
    assert (standing.step, standing.loss) == (51, 3.5)


def test_a_long_log_is_read_at_its_end_and_torn_lines_are_none(run: Path) -> None:
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as file:
        for step in range(51, 4000):
            file.write(json.dumps({"step": step, "loss": 2.0}) + "\n")
        file.write('{"step": 4000, "lo')
    assert (run / "metrics.jsonl").stat().st_size > TAIL_BYTES
    assert read_standing(run).step == 3999


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run that was begun"):
        list(watch(tmp_path))


def test_a_run_of_an_older_version_is_named_as_such(tmp_path: Path) -> None:
    append_json_line(tmp_path / "timings.jsonl", {"stage": "machine", "device": "AMD EPYC"})
    with pytest.raises(InputError, match="begun by an older tsuzuri"):
        list(watch(tmp_path))


def test_the_view_holds_every_figure_within_eighty_columns(run: Path) -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    console.print(read_standing(run).panel())
    said = console.file.getvalue()  # type: ignore[attr-defined]
    for name, value in read_standing(run).figures():
        assert name in said
        assert value in said
    assert "█" in said
    assert "▁" in said


def test_a_log_gets_a_line_only_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    looked = 0

    def look() -> Standing:
        nonlocal looked
        looked += 1
        return Standing(1, 2)

    assert list(watching(range(1000), look)) == list(range(1000))
    assert looked == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00:00"), (59.6, "0:01:00"), (3725, "1:02:05"), (90_000, "1 d 01 h")]
)
def test_times_are_short(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_losses_are_drawn_from_the_lowest_to_the_highest() -> None:
    assert drawn([8.0, 1.0, 4.0]) == "█▁▄"
    assert drawn([2.0, 2.0]) == "▁▁"
    assert drawn([]) == ""
