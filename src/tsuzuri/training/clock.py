"""How fast a run goes and what it takes: read now and then, for `timings.jsonl` and all that shows a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tsuzuri.core.manifest import record_timing
from tsuzuri.core.progress import say
from tsuzuri.core.ranks import is_first, world
from tsuzuri.data.box import TokenBox
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.devices import Device
from tsuzuri.training.run import RunLog, Unlogged
from tsuzuri.training.watch import SHOWN_LOSSES, Standing, standing

READ_EVERY_S = 10.0
REPORT_EVERY_S = 60.0
REPORT_SHARE = 0.01
"""Of the time of a run, at most, that its page may take."""


class Clock:
    """The clock of a run. What is done while it is `paused` takes no time of the steps."""

    def __init__(
        self,
        box: Path,
        log: RunLog | Unlogged,
        device: Device,
        machine: Mapping[str, Any],
        full_speed: float | None,
        report: Callable[[], object] | None,
    ) -> None:
        """`machine` is what this process says of itself at its start, `full_speed` the tokens a second at the
        peak of one device, if it is known. `report` makes a page of the run."""
        self.box, self.log, self.device, self.machine, self.report = box, log, device, machine, report
        self.full_speed = full_speed * world() if full_speed else None
        self.step = int(machine["step"])
        self.reading: dict[str, Any] = {}
        self._lines: tuple[Mapping[str, Any], ...] = ()
        self._timed_step, self._timed_at, self._report_at = 0, 0.0, 0.0
        if is_first():
            record_timing(box, "machine", **machine)

    def standing(self) -> Standing:
        """How the run stands."""
        return standing(self.machine, self._lines, self.reading, self.step)

    def note(self, step: int, line: Mapping[str, Any]) -> None:
        """A step has ended, with that line in the log. The first one, which warms up, has no time; the last
        but one is timed with the last, since both are noted at once when the run ends."""
        self.step = step
        self._lines = (*self._lines, line)[-SHOWN_LOSSES:]
        elapsed_s = time.perf_counter() - self._timed_at
        left = self.machine["steps"] - step
        if self._timed_step and left and (elapsed_s < READ_EVERY_S or left == 1):
            return
        if self._timed_step:
            self._read(step, elapsed_s)
        self._timed_step, self._timed_at = step, time.perf_counter()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time that is none of the steps."""
        paused_at = time.perf_counter()
        yield
        self._timed_at += time.perf_counter() - paused_at

    def show(self) -> None:
        """Make the page of the run anew, if it is time. That it cannot be made is said, and stops nothing."""
        if self.report is None or not is_first() or time.monotonic() < self._report_at:
            return
        began_at = time.monotonic()
        with self.paused():
            self.log.publish()
            try:
                self.report()
            except Exception as error:  # whatever it is, the run is worth more
                say(f"the page of the run was not made: {error!r}")
        took_s = time.monotonic() - began_at
        self._report_at = time.monotonic() + max(REPORT_EVERY_S, took_s / REPORT_SHARE)

    def _read(self, step: int, elapsed_s: float) -> None:
        speed = (step - self._timed_step) * self.machine["tokens_per_step"] / elapsed_s
        self.reading = {
            "tokens_per_s": speed,
            "peak_memory_bytes": self.device.peak_memory_bytes(),
            **({"mfu": speed / self.full_speed} if self.full_speed else {}),
        }
        if is_first():
            record_timing(self.box, "train", step=step, elapsed_s=elapsed_s, **self.reading)
            self.log.draw({"step": step, **self.reading})
            self.log.publish()


def machine_facts(
    config: TrainConfig, device: Device, data: TokenBox, shares: Mapping[str, float], step: int
) -> dict[str, Any]:
    """What a process says of itself at its start, after `step`: all that another needs to show the run."""
    facts = {
        "device": device.name(),
        "torch": torch.__version__,
        "ranks": world(),
        "step": step,
        "steps": config.steps,
        "tokens_per_step": config.tokens_per_step,
    }
    characters = characters_per_token(data, shares)
    return {**facts, "characters_per_token": characters} if characters else facts


def characters_per_token(data: TokenBox, shares: Mapping[str, float]) -> float | None:
    """The mean over the rows of a run, `shares` of them from each source; None where a box does not say."""
    counts = {source: data.counts[source] for source in shares}
    if not all(count.get("train_tokens") and "train_characters" in count for count in counts.values()):
        return None
    return sum(
        share * counts[source]["train_characters"] / counts[source]["train_tokens"]
        for source, share in shares.items()
    )
