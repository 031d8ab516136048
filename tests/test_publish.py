from __future__ import annotations

from pathlib import Path

import pytest

import builds
from tsuzuri.chain.publish import milestone_boxes, rate_of, release
from tsuzuri.core.errors import InputError
from tsuzuri.lab.devices import DEVICES


def test_a_device_that_the_table_knows_has_a_rate_of_its_own() -> None:
    rate = rate_of("NVIDIA H100 80GB HBM3")
    row = DEVICES["h100"]
    assert rate is not None
    assert (rate.device, rate.power_w, rate.usd_per_hour) == ("h100", row.power_w, row.on_demand.usd_per_hour)
    assert row.on_demand.source in rate.source
    assert rate_of("AMD EPYC 7B13") is None


def test_a_milestone_shares_the_data_and_has_its_own_run() -> None:
    boxes = milestone_boxes(Path("out"), 400)
    assert boxes["tokens"] == Path("out/tokens")
    assert boxes["whole_run"] == Path("out/run")
    assert boxes["release"] == Path("out/milestones/step-00000400/release")


def test_a_run_without_milestones_says_how_to_have_some(tmp_path: Path) -> None:
    builds.make_all(tmp_path)
    (tmp_path / "recipe.yaml").write_text("release: {name: some}\n")
    with pytest.raises(InputError, match="keeps no milestones") as caught:
        list(release(tmp_path / "recipe.yaml", tmp_path, milestones=["all"]))
    assert "train.milestones" in caught.value.hint
