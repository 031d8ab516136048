"""The table of devices."""

from __future__ import annotations

import re

import pytest

from tsuzuri.core.errors import RecipeError
from tsuzuri.lab.devices import DEVICES, TERA, device_row, peak_of

WANTED = (
    *("rtx3090", "rtx4090", "a100-40", "a100-80", "h100", "h200", "h100x8", "p4d.24xlarge", "v100"),
    *("tpu-v3-8", "tpu-v4-8", "tpu-v5e-8", "tpu-v5p-8", "tpu-v6e-8", "cpu"),
)


@pytest.mark.parametrize("name", WANTED)
def test_every_row_has_sources_and_dates(name: str) -> None:
    device = device_row(name)
    assert device.source
    assert device.efficiency_source
    assert re.fullmatch(r"20\d\d(-\d\d){0,2}", device.date)
    for price in (device.on_demand, device.preemptible):
        assert price.source
        if price.usd_per_hour is not None:
            assert price.usd_per_hour > 0
            assert re.fullmatch(r"20\d\d(-\d\d){0,2}", price.date)


def test_what_can_be_rented_has_a_price() -> None:
    unpriced = {name for name in WANTED if device_row(name).on_demand.usd_per_hour is None}
    assert unpriced == {"a100-40", "cpu"}
    for name in WANTED:
        row = device_row(name)
        if row.on_demand.usd_per_hour and row.preemptible.usd_per_hour:
            assert row.preemptible.usd_per_hour < row.on_demand.usd_per_hour


def test_a_device_counts_in_the_fastest_precision_that_we_train_in() -> None:
    assert device_row("h100").precision == "bfloat16"
    assert device_row("v100").precision == "float32", "float16 is not trained in"
    assert device_row("cpu").precision == "float32"


def test_a_node_is_eight_cards() -> None:
    card, node = device_row("h100"), device_row("h100x8")
    assert node.count == 8
    assert (node.peaks, node.memory_bytes, node.efficiency) == (
        card.peaks,
        card.memory_bytes,
        card.efficiency,
    )
    assert node.on_demand != card.on_demand


def test_an_unknown_device_is_answered_with_the_closest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'rtx3090'"):
        device_row("rtx-3090")
    assert set(WANTED) <= set(DEVICES)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA GeForce RTX 3090", 71),
        ("NVIDIA GeForce RTX 4090", 165),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H200", 989),
    ],
)
def test_a_card_is_known_by_its_name(name: str, peak: float) -> None:
    assert peak_of(name, "bfloat16") == peak * TERA


@pytest.mark.parametrize(
    "name", ["NVIDIA GeForce RTX 3090 Ti", "NVIDIA H100 PCIe", "NVIDIA H200 NVL", "AMD EPYC"]
)
def test_a_card_with_another_peak_is_not_taken_for_it(name: str) -> None:
    assert peak_of(name, "bfloat16") is None


def test_a_precision_that_a_card_does_not_have_has_no_peak() -> None:
    assert peak_of("Tesla V100-SXM2-32GB", "float16") == 125 * TERA
    assert peak_of("Tesla V100-SXM2-32GB", "bfloat16") is None


def test_a_topology_of_tpus_is_a_row_of_as_many() -> None:
    assert device_row("v3:2x2") == DEVICES["tpu-v3-8"]  # four chips of two cores, with their price
    larger = device_row("v5p:2x2x4")
    assert (larger.count, larger.memory_bytes) == (16, DEVICES["tpu-v5p-8"].memory_bytes)
    assert larger.on_demand.usd_per_hour is None


@pytest.mark.parametrize("name", ["v2:2x2", "v5e:0x4", "v9:1x1"])
def test_unknown_tpus_are_answered_with_the_generations(name: str) -> None:
    with pytest.raises(RecipeError, match=f"no TPUs '{name}'") as error:
        device_row(name)
    assert "v3, v4, v5e, v5p, v6e" in error.value.hint
