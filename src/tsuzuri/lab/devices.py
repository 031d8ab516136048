"""One table of devices to plan for: adding one is a row.

Figures are of one device of a row: the card of a GPU server, the core of a TPU v3, the chip of a later TPU.
Peaks are dense products with float32 sums. Links between cards are NVLink's and PCIe's one way; networks are
those of NVIDIA's DGX servers, of p4d.24xlarge, and for V100 of p3dn.24xlarge. `efficiency` is the share of
the peak that training reaches with compiled code, recomputation counted as work. A price is of the whole row,
in USD an hour; one that no source gives is unset. Those of TPUs are of us-central1 (v4: us-central2). Power
is the board's (a TPU's measured mean), without host and cooling.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from tsuzuri.core.errors import RecipeError, closest

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]

UNTRAINED: Precision = "float16"
"""It needs a scaled loss, which our training does not make; of what others train in it a plan is made on
request."""

TERA, GIGA, GIB = 10**12, 10**9, 2**30


@dataclass(frozen=True)
class Price:
    """USD an hour for all devices of a row, where a source gives one."""

    usd_per_hour: float | None = None
    source: str = "no source at hand"
    date: str = ""
    """ISO date of the source, or as much of one as it has, or when it was read where it has none."""


@dataclass(frozen=True)
class Device:
    """A row of the table."""

    kind: Literal["cuda", "tpu", "cpu"]
    peaks: Mapping[Precision, float]
    """FLOP/s by the precision of products."""
    memory_bytes: int
    """0: as much as the machine has that plans."""
    bandwidth: float
    """Of its memory, bytes a second."""
    efficiency: float
    efficiency_source: str
    source: str
    date: str
    """Of the source, or when it was read where it has none."""
    power_w: float | None = None
    count: int = 1
    """Devices that are rented together."""
    link: float = 0.0
    """To the other devices of the row, bytes a second each way."""
    network: float = 0.0
    """From a row to the next, bytes a second each way; 0: unknown, so rows are not joined."""
    on_demand: Price = field(default_factory=Price)
    preemptible: Price = field(default_factory=Price)
    names: str = ""
    """What torch calls a card of it, as a regular expression; others of its family have other peaks."""
    untrained: str = ""
    """Why our training cannot run on it, though that of others may."""
    tried: bool = False
    """Whether our training has run on one of it."""

    @property
    def precision(self) -> Precision:
        """The fastest of its precisions in which we train."""
        ours = [precision for precision in self.peaks if precision != UNTRAINED]
        return max(ours, key=lambda precision: self.peaks[precision])

    def is_called(self, torch_name: str) -> bool:
        """Whether a card of that name, as torch gives it, is one of these."""
        return bool(self.names) and re.search(self.names, torch_name) is not None

    @property
    def overhead_bytes(self) -> int:
        """What torch and the driver take: about a CUDA context, or an interpreter with torch."""
        return {"cuda": GIB, "tpu": GIB // 4, "cpu": 2 * GIB // 5}[self.kind]

    @property
    def usable_bytes(self) -> float:
        """What a plan may fill: pieces that fit nowhere and errors of the prediction take the rest."""
        return USABLE * (self.memory_bytes or _machine_memory_bytes())


USABLE = 0.95

READ = "2026-11-23"
CATALOG = "Google Cloud, by SkyPilot's catalog v8 (commit 006059e)"
RUNPOD = ("RunPod, by deploybase.ai", "2026-03-10")
SPHERON = ("Spheron, its blog", "2026-06-03")
PALM = "PaLM (arXiv 2204.02311), table 3"
NVIDIA_A100 = ("NVIDIA A100 data sheet", "2021-06")
NVIDIA_H100 = ("NVIDIA H100 data sheet, SXM", "2023")
NVIDIA_H200 = ("NVIDIA H200 data sheet, SXM", "2024")
PCIE_4 = 32 * GIGA

A100_40 = Device(
    "cuda",
    {"bfloat16": 312 * TERA, "float16": 312 * TERA, "float32": 19.5 * TERA},
    40 * GIB,
    1555 * GIGA,
    0.56,
    "TinyLlama 1.1B: 24,000 tokens/s a card without recomputation (its README)",
    *NVIDIA_A100,
    power_w=400,
    names="A100",
)
A100_80 = Device(
    "cuda",
    A100_40.peaks,
    80 * GIB,
    2039 * GIGA,
    0.59,
    "2.8B under DDP with recomputation and compile, 8 cards: 44 % of the peak, 59 % with what is recomputed "
    "(gpt-simple)",
    *NVIDIA_A100,
    power_w=400,
    on_demand=Price(1.69, *SPHERON),
    preemptible=Price(0.82, *SPHERON),
    names="A100",
)
H100 = Device(
    "cuda",
    {"bfloat16": 989 * TERA, "float16": 989 * TERA, "float32": 67 * TERA},
    80 * GIB,
    3350 * GIGA,
    0.45,
    "nanochat d12 to d32: 41 to 51 %; Megatron 2B to 462B: 41 to 48 % (their logs)",
    *NVIDIA_H100,
    power_w=700,
    on_demand=Price(2.69, "RunPod Secure Cloud, by spheron.network", "2026-05-22"),
    names="H100 80GB HBM3$",
    tried=True,
)
H200 = Device(
    "cuda",
    H100.peaks,
    141 * GIGA,
    4800 * GIGA,
    0.52,
    "nanoGPT 1.5B, compiled: about 50,000 tokens/s (lzwjava.github.io)",
    *NVIDIA_H200,
    power_w=700,
    on_demand=Price(5.55, *SPHERON),
    preemptible=Price(3.31, *SPHERON),
    names="H200$",
)
V100 = Device(
    "cuda",
    {"float16": 125 * TERA, "float32": 15.7 * TERA},
    32 * GIB,
    900 * GIGA,
    0.213,
    f"GPT-3 175B: {PALM}",
    "NVIDIA V100 data sheet, SXM2",
    "2020-01",
    power_w=300,
    on_demand=Price(3.06, "AWS p3.2xlarge, of 16 GB, by deploybase.ai", "2025-06-03"),
    preemptible=Price(1.09, "AWS p3.2xlarge, of 16 GB, by deploybase.ai", "2025-06-03"),
    names="V100-SXM2",
)


def _node(device: Device, *, link: float, network: float, on_demand: Price | None = None) -> Device:
    """Eight cards in one server."""
    prices = {"on_demand": on_demand or Price(), "preemptible": Price()}
    return Device(**{**vars(device), "count": 8, "link": link, "network": network, **prices})


def _tpu(
    generation: str,
    tera: float,
    memory_bytes: int,
    bandwidth: float,
    on_demand: float,
    preemptible: float,
    **values: object,
) -> Device:
    """A slice of TPUs; its efficiency, where nothing else is known, is that of PaLM's run on v4.

    Links one way: v3 and v4 by Jouppi et al. (2020, CACM 63:7; 2023, arXiv 2304.01433), later ones half of
    what the documentation gives for both ways.
    """
    known = {
        "efficiency": 0.462,
        "efficiency_source": f"PaLM 540B on v4, for want of a figure of its own: {PALM}",
        "source": f"Google Cloud TPU documentation, {generation}",
        "date": READ,
        "on_demand": Price(on_demand, CATALOG, READ),
        "preemptible": Price(preemptible, CATALOG, READ),
        **values,
    }
    return Device("tpu", {"bfloat16": tera * TERA}, memory_bytes, bandwidth, **known)  # type: ignore[arg-type]


DEVICES: dict[str, Device] = {
    "rtx3090": Device(
        "cuda",
        {"bfloat16": 71 * TERA, "float16": 71 * TERA, "float32": 35.6 * TERA},
        24 * GIB,
        936 * GIGA,
        0.45,
        "a careful share: 74 % was reached by a 7B-shaped model of 4 layers (modula, PR 1)",
        "NVIDIA GA102 whitepaper",
        "2020-09",
        power_w=350,
        link=PCIE_4,
        on_demand=Price(0.39, *RUNPOD),
        preemptible=Price(0.22, *RUNPOD),
        names="RTX 3090$",
    ),
    "rtx4090": Device(
        "cuda",
        {"bfloat16": 165 * TERA, "float16": 165 * TERA, "float32": 82.6 * TERA},
        24 * GIB,
        1008 * GIGA,
        0.50,
        "modded-nanogpt 124M: 110,000 to 140,000 tokens/s (PR 38)",
        "NVIDIA Ada whitepaper",
        "2022-10",
        power_w=450,
        link=PCIE_4,
        on_demand=Price(0.60, *RUNPOD),
        preemptible=Price(0.34, *RUNPOD),
        names="RTX 4090$",
    ),
    "a100-40": A100_40,
    "a100-80": A100_80,
    "h100": H100,
    "h200": H200,
    "a100-80x8": _node(A100_80, link=300 * GIGA, network=200 * GIGA),
    "h100x8": _node(
        H100,
        link=450 * GIGA,
        network=400 * GIGA,
        on_demand=Price(98.32, "AWS p5.48xlarge, by disintermediate.global", "2026-03"),
    ),
    "h200x8": _node(
        H200,
        link=450 * GIGA,
        network=400 * GIGA,
        on_demand=Price(43.26, "AWS p5e.48xlarge in a capacity block, its price list", "2024-12"),
    ),
    "p4d.24xlarge": _node(
        A100_40,
        link=300 * GIGA,
        network=50 * GIGA,
        on_demand=Price(32.77, "AWS, US East, by xither.com", "2024-06"),
    ),
    "v100": V100,
    "v100x8": _node(V100, link=150 * GIGA, network=12.5 * GIGA),
    "tpu-v3-8": _tpu(
        "v3",
        123 / 2,
        16 * GIB,
        450 * GIGA,
        8.00,
        2.04,
        count=8,
        efficiency=0.325,
        efficiency_source=f"Gopher 280B: {PALM}",
        power_w=110.0,
        link=82 * GIGA,
        untrained="torch_tpu takes TPU v4 and later",
    ),
    "tpu-v4-8": _tpu("v4", 275, 32 * GIB, 1200 * GIGA, 12.88, 3.69, count=4, power_w=170.0, link=150 * GIGA),
    "tpu-v5e-8": _tpu("v5e", 197, 16 * GIGA, 819 * GIGA, 9.60, 1.96, count=8, link=200 * GIGA),
    "tpu-v5p-8": _tpu("v5p", 459, 95 * GIGA, 2765 * GIGA, 16.80, 3.34, count=4, link=300 * GIGA),
    "tpu-v6e-8": _tpu("v6e", 918, 32 * GIGA, 1638 * GIGA, 21.60, 4.35, count=8, link=400 * GIGA),
    "cpu": Device(
        "cpu",
        {"float32": 106 * GIGA, "bfloat16": 17 * GIGA},
        0,
        30 * GIGA,
        0.92,
        "15M to 110M, compiled: 98 to 103 of 106 GFLOP/s",
        "two cores of an AMD EPYC with AVX2, measured",
        "2026-11-22",
        tried=True,
    ),
}


TOPOLOGY = re.compile(r"(v\d\w*):(\d+(?:x\d+)+)")
"""A slice of TPUs as libtpu names it: the chips of a generation in two or three dimensions."""


def device_row(name: str) -> Device:
    """The row of that name, or of the TPUs of a topology; RecipeError names the closest one."""
    if topology := TOPOLOGY.fullmatch(name):
        return _slice(name, topology[1], math.prod(map(int, topology[2].split("x"))))
    if name not in DEVICES:
        raise RecipeError(
            f"no device {name!r}{closest(name, DEVICES)}", hint=f"devices: {', '.join(DEVICES)}"
        )
    return DEVICES[name]


def _slice(name: str, generation: str, chips: int) -> Device:
    row = DEVICES.get(f"tpu-{generation}-8")
    if row is None or not chips:
        known = ", ".join(key.split("-")[1] for key in DEVICES if key.startswith("tpu-"))
        raise RecipeError(f"no TPUs {name!r}", hint=f"generations: {known}; for example v5e:2x4 or v4:2x2x1")
    count = chips * (2 if generation == "v3" else 1)  # of a v3 chip each core counts, of others the chip
    return row if count == row.count else replace(row, count=count, on_demand=Price(), preemptible=Price())


def peak_of(torch_name: str, precision: str) -> float | None:
    """FLOP/s of the card that torch calls so, at a precision of products; None where no row is of it."""
    rows = (row for row in DEVICES.values() if row.is_called(torch_name))
    return next((peak for row in rows for kind, peak in row.peaks.items() if kind == precision), None)


def row_of(torch_name: str) -> tuple[str, Device] | None:
    """The row, and its name, of one card that torch calls so; None where no row is of it."""
    return next(
        ((key, row) for key, row in DEVICES.items() if row.names and re.search(row.names, torch_name)), None
    )


def _machine_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
