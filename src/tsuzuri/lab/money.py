"""What a plan costs: a bill in the currencies that its lines have.

A month is 730 hours (8,760 / 12), as clouds count it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tsuzuri.training.config import TrainConfig

HOURS_A_MONTH = 730
DAYS_A_MONTH = HOURS_A_MONTH / 24
KEPT = TrainConfig().keep_checkpoints + 1
"""Checkpoints of a run: the newest, and the milestone before the learning rate falls."""


@dataclass(frozen=True)
class Line:
    """A line of a bill, in one currency; in none where its price is unknown."""

    name: str
    usd: float | None = None
    jpy: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Total:
    """The sum of a bill: each currency for itself, or both in both where there is an exchange rate."""

    usd: float
    jpy: float
    converted: bool

    def __str__(self) -> str:
        if self.converted:
            return f"${self.usd:,.2f} = ¥{self.jpy:,.0f}"
        return (
            " + ".join(
                text
                for value, text in ((self.usd, f"${self.usd:,.2f}"), (self.jpy, f"¥{self.jpy:,.0f}"))
                if value
            )
            or "$0.00"
        )


def rent(days: float, servers: int, usd_per_hour: float | None, note: str = "") -> Line:
    """The line for devices by the hour."""
    usd = None if usd_per_hour is None else days * 24 * servers * usd_per_hour
    return Line("devices", usd=usd, note=note)


def electricity(kwh: float | None, jpy_per_kwh: float) -> Line:
    """The line for power of one's own devices."""
    if kwh is None:
        return Line("electricity", note="power of these devices unknown")
    return Line("electricity", jpy=kwh * jpy_per_kwh, note=f"{kwh:,.0f} kWh at ¥{jpy_per_kwh:g}")


def storage(token_bytes: float, checkpoint_bytes: float, days: float, usd_per_gb_month: float | None) -> Line:
    """The line for what lies on disks meanwhile: tokens, and checkpoints, one more than a run keeps."""
    gigabytes = (token_bytes + (KEPT + 1) * checkpoint_bytes) / 1e9
    months = days / DAYS_A_MONTH
    usd = None if usd_per_gb_month is None else gigabytes * months * usd_per_gb_month
    checkpoints = (
        f"{KEPT + 1} checkpoints of {checkpoint_bytes / 1e9:,.1f} GB: {KEPT} kept, one being written"
    )
    return Line("storage", usd=usd, note=f"{gigabytes:,.1f} GB: tokens, and {checkpoints}")


def total(lines: Sequence[Line], jpy_per_usd: float | None) -> Total:
    """The sum of all lines that have a price."""
    usd = sum(line.usd or 0.0 for line in lines)
    jpy = sum(line.jpy or 0.0 for line in lines)
    if jpy_per_usd is None:
        return Total(usd, jpy, converted=False)
    return Total(usd + jpy / jpy_per_usd, jpy + usd * jpy_per_usd, converted=True)


def describe(lines: Sequence[Line], jpy_per_usd: float | None) -> Iterator[str]:
    """The bill as lines of text."""
    for line in lines:
        amount = "price unset"
        if line.usd is not None:
            amount = f"${line.usd:,.2f}"
        elif line.jpy is not None:
            amount = f"¥{line.jpy:,.0f}"
        yield f"  {line.name:16} {amount:>16}  {line.note}".rstrip()
    yield f"  {'all':16} {summed(lines, jpy_per_usd)}"


def summed(lines: Sequence[Line], jpy_per_usd: float | None) -> str:
    """The total in words, with what it leaves out: the lines without a price."""
    unpriced = [line.name for line in lines if line.usd is None and line.jpy is None]
    if unpriced and len(unpriced) == len(lines):
        return "price unset"
    left_out = f" without {' and '.join(dict.fromkeys(unpriced))}" if unpriced else ""
    return f"{total(lines, jpy_per_usd)}{left_out}"
