"""The steps are told apart and summed without loss, and the forecast follows from what was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from _processes import Sample, Usage
from out_of_core import (
    HASHING,
    NEAR_COPIES,
    PASSAGES,
    READING,
    SITE_LINES,
    WRITING,
    Cost,
    Measured,
    by_step,
    forecast,
    limits,
    require_disk,
    step_of,
)

MEGABYTE = 10**6
DISKS = {
    HASHING: {".": 4_096},
    READING: {".": 4_096, "parts": MEGABYTE},
    NEAR_COPIES: {".": 4_096, "parts": MEGABYTE, "parts/selection": 10, "parts/selection/near": 10},
    SITE_LINES: {"parts": MEGABYTE, "parts/selection/near": 10, "parts/selection/boilerplate": 10},
    PASSAGES: {"parts": MEGABYTE, "parts/selection/near": 10, "parts/selection/passages": 2 * MEGABYTE},
    WRITING: {".": MEGABYTE, "parts": MEGABYTE, "parts/selection/passages": 10},
}
MEASURED = Measured(
    text_bytes=1e9,
    documents=100_000,
    parts=16,
    in_clusters=20_000,
    steps={READING: Cost(cpu_s=300), WRITING: Cost(cpu_s=60)},
    disk_bytes=2e9,
    memory_bytes=1e9,
    look_s=1e-4,
)


def test_a_step_is_told_by_what_lies_in_the_folder() -> None:
    assert {step: step_of(disk) for step, disk in DISKS.items()} == {step: step for step in DISKS}


def test_the_steps_together_take_what_the_build_takes() -> None:
    looks = [HASHING, READING, READING, NEAR_COPIES, WRITING, HASHING]
    samples = tuple(
        Sample(number * 0.5, number * 0.8, number * 100, 0, DISKS[step]) for number, step in enumerate(looks)
    )
    usage = Usage(0, 2.9, 4.5, 0, samples)
    found = by_step(usage)
    assert list(found) == [HASHING, READING, NEAR_COPIES, WRITING]
    assert sum(cost.cpu_s for cost in found.values()) == pytest.approx(4.5)
    assert sum(cost.elapsed_s for cost in found.values()) == pytest.approx(2.9)
    assert found[READING].cpu_s == pytest.approx(1.6)
    assert found[WRITING].memory_bytes == 400
    assert found[WRITING].disk_bytes == MEGABYTE


def test_work_grows_with_the_text_and_looks_with_its_square() -> None:
    hundred, thousand = forecast(MEASURED, 100e9), forecast(MEASURED, 1000e9)
    assert (
        thousand.serial_hours == pytest.approx(10 * hundred.serial_hours) == pytest.approx(1000 * 60 / 3600)
    )
    assert thousand.disk_bytes == pytest.approx(2e12)
    assert thousand.memory_bytes == pytest.approx(1e8 * (40 + 64 + 200 / 5))
    linear = replace(MEASURED, look_s=0)
    excess = [
        found.core_hours - forecast(linear, size).core_hours
        for found, size in ((hundred, 100e9), (thousand, 1000e9))
    ]
    assert excess[1] == pytest.approx(100 * excess[0])
    assert excess[0] > 0


def test_limits_come_in_order_and_hold_where_they_stand() -> None:
    found = limits(MEASURED)
    assert [where for where, _ in found] == sorted(where for where, _ in found)

    def where(words: str) -> float:
        return next(place for place, what in found if words in what)

    assert forecast(MEASURED, where("all processes") - 1e9).memory_bytes == pytest.approx(2e9)
    assert forecast(MEASURED, where("deciding process")).memory_bytes == pytest.approx(64e9)
    assert forecast(MEASURED, where("the disk")).disk_bytes == pytest.approx(20e12)
    assert forecast(MEASURED, where("hashing")).serial_hours == pytest.approx(30 * 24)
    assert where("fit one number") == pytest.approx(2**32 * 10_000)
    assert where("maps more files") == pytest.approx(65_530 / 16 * 1e9)
    squared = where("every part's file")
    assert forecast(MEASURED, squared).core_hours == pytest.approx(2 * MEASURED.linear_s * squared / 3600)


def test_too_small_a_disk_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="free some"):
        require_disk(tmp_path, 1e18)
    require_disk(tmp_path, 1.0)
