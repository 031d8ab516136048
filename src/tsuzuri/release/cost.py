"""What a training took: time, energy and money, from the run's own clock and what its devices are known for.

The time is that of the steps, those of killed processes too; evaluation, checkpoints and waiting are not in
it. Energy and money are estimates: the power of the boards (or what the publisher measured) times that time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tsuzuri.release.config import ReleaseConfig
from tsuzuri.report.boxes import Build


@dataclass(frozen=True)
class Rate:
    """What a device is known for."""

    device: str
    """The name of its row in the table of devices."""
    power_w: float | None
    """Of one device."""
    usd_per_hour: float | None
    """Of one device."""
    source: str
    """Where the price is from, and its date."""


Rates: TypeAlias = Callable[[str], Rate | None]
"""What is known of the device that torch calls so."""


@dataclass(frozen=True)
class Cost:
    """What a training took."""

    hours: float
    devices: int
    energy_kwh: float | None
    power_from: str
    """Whose figure the power is."""
    usd: float | None
    price_from: str
    jpy: float | None
    """For electricity."""


def no_rates(device: str) -> None:
    """Nothing is known of any device."""


def cost(build: Build, config: ReleaseConfig, rates: Rates) -> Cost | None:
    """What the run of a build took; None where no clock was read."""
    hours = build.elapsed_s / 3600
    if not hours:
        return None
    devices = max((int(line.get("ranks", 1)) for line in build.readings), default=1)
    names = build.machines or [str(build.resolved.get("device", ""))]
    rate = rates(names[0]) if len(names) == 1 else None
    power_w, power_from = config.power_w, "the publisher"
    if power_w is None and rate and rate.power_w:
        power_w, power_from = rate.power_w * devices, f"the boards of {rate.device}"
    usd_per_hour, price_from = config.usd_per_hour, "the publisher"
    if usd_per_hour is None and rate and rate.usd_per_hour:
        usd_per_hour, price_from = rate.usd_per_hour * devices, rate.source
    energy_kwh = hours * power_w / 1000 if power_w is not None else None
    paid = energy_kwh is not None and config.jpy_per_kwh is not None
    return Cost(
        hours=hours,
        devices=devices,
        energy_kwh=energy_kwh,
        power_from=power_from,
        usd=hours * usd_per_hour if usd_per_hour is not None else None,
        price_from=price_from,
        jpy=energy_kwh * config.jpy_per_kwh if paid and energy_kwh and config.jpy_per_kwh else None,
    )
