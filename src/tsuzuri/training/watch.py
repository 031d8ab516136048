"""How a run stands, for people: a live view on a terminal, a line now and then in a log. Imports no torch.

The process that trains shows it (`watching`); `tsuzuri watch RUN` shows the same in another terminal, from
the logs of the run alone.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tsuzuri.core.boxes import METRICS
from tsuzuri.core.errors import InputError
from tsuzuri.core.files import readable_json_lines
from tsuzuri.core.manifest import MANIFEST, TIMINGS
from tsuzuri.core.progress import LOG_EVERY_S, say
from tsuzuri.core.ranks import is_first
from tsuzuri.model.config import ModelConfig
from tsuzuri.training.config import TrainConfig

Item = TypeVar("Item")
FullSpeed = Callable[[ModelConfig, int, str, str], float | None]
"""(model, tokens a row, the device's name, precision) → tokens a second at the device's peak, if it is known.
"""

PredictedMemory = Callable[[ModelConfig, TrainConfig, str, Any, bool, int], float | None]
"""(model, run, kind of device, precision, compiled, processes) → bytes that each comes to hold, if known."""

SHOWN_LOSSES = 60
"""Steps whose losses the view draws."""
BARS = "▁▂▃▄▅▆▇█"
TAIL_BYTES = 1 << 16
"""Of a log, read at its end: enough for the losses shown and for the last reading of the clock."""
LOOK_EVERY_S = 2.0


def unknown_speed(model: ModelConfig, length: int, device: str, precision: str) -> None:
    """Of a run whose caller knows no devices."""


def unknown_memory(
    model: ModelConfig, train: TrainConfig, kind: str, precision: Any, compiled: bool, processes: int
) -> None:
    """Of a run whose caller makes no plans."""


@dataclass(frozen=True)
class Watch:
    """What a run shows of itself beside its logs, and changes nothing in it."""

    full_speed: FullSpeed = unknown_speed
    predicted_memory: PredictedMemory = unknown_memory
    report: Callable[[], object] | None = None
    """Makes a page of the run as it stands."""
    profile_steps: int = 0
    """Steps to look into with torch's profiler."""


@dataclass(frozen=True)
class Standing:
    """How a run stands after a step; what is not known, or not yet, is None."""

    step: int
    steps: int
    loss: float | None = None
    """Nats a token."""
    bits_per_character: float | None = None
    """Of the training text, by its tokens' mean number of characters."""
    tokens_per_s: float | None = None
    mfu: float | None = None
    """Share of the devices' peak that the model's own operations make."""
    memory_bytes: int | None = None
    """Peak of this process on its device."""
    left_s: float | None = None
    """At the speed now, without evaluations and checkpoints."""
    losses: tuple[float, ...] = ()
    """Of the last steps."""

    def figures(self) -> list[tuple[str, str]]:
        """Name and value of each figure that is known."""
        known = (
            ("loss", self.loss, "{:.3f}"),
            ("bits/character", self.bits_per_character, "{:.3f}"),
            ("tokens/s", self.tokens_per_s, "{:,.0f}"),
            ("MFU", self.mfu, "{:.1%}"),
            ("memory", self.memory_bytes and self.memory_bytes / 2**30, "{:.2f} GiB"),
        )
        figures = [(name, form.format(value)) for name, value, form in known if value is not None]
        return figures + ([("left", clock(self.left_s))] if self.left_s is not None else [])

    def line(self) -> str:
        """All of it in one line."""
        figures = ", ".join(f"{name} {value}" for name, value in self.figures())
        return f"step {self.step:,} of {self.steps:,}" + (f": {figures}" if figures else "")

    def panel(self) -> RenderableType:
        """The view of a terminal: a bar, the figures, and the last losses."""
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            Text(f"step {self.step:,} of {self.steps:,}"), ProgressBar(self.steps, self.step, width=40)
        )
        table = Table.grid(padding=(0, 3))
        names, values = [], []
        for name, value in self.figures():
            names.append(Text(name, style="dim"))
            values.append(Text(value, style="bold"))
        table.add_row(*names)
        table.add_row(*values)
        return Group(bar, table, Text(drawn(self.losses), style="cyan"))


def standing(
    machine: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]], reading: Mapping[str, Any], step: int
) -> Standing:
    """How a run stands after `step`: of what its process wrote of itself at its start, the last lines of its
    log, and its last reading of the clock."""
    losses = [line["loss"] for line in metrics if isinstance(line.get("loss"), float)][-SHOWN_LOSSES:]
    speed = reading.get("tokens_per_s")
    steps, characters = int(machine["steps"]), machine.get("characters_per_token")
    loss = losses[-1] if losses else None
    return Standing(
        step=step,
        steps=steps,
        loss=loss,
        bits_per_character=loss / math.log(2) / characters if loss is not None and characters else None,
        tokens_per_s=speed,
        mfu=reading.get("mfu"),
        memory_bytes=reading.get("peak_memory_bytes"),
        left_s=(steps - step) * machine["tokens_per_step"] / speed if speed else None,
        losses=tuple(losses),
    )


def watching(items: Iterable[Item], look: Callable[[], Standing]) -> Generator[Item, None, None]:
    """The items, while `look` is shown: live on a terminal, otherwise as a line now and then."""
    if sys.stderr.isatty() and is_first():
        console = Console(stderr=True)
        with Live(get_renderable=lambda: look().panel(), console=console, transient=True):
            yield from items
        return
    reported = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - reported >= LOG_EVERY_S:
            reported = time.monotonic()
            say(look().line())


def watch(run: Path) -> Iterator[str]:
    """Show on a terminal how the run in a folder stands, until it is complete; or the one line of now.

    `run` may be the folder of a build. InputError when no run was begun there.
    """
    box = run / "run" if (run / "run" / TIMINGS).exists() else run
    if not sys.stdout.isatty():
        yield read_standing(box).line()
        return
    read_standing(box)
    with Live(get_renderable=lambda: _seen(box), console=Console(), refresh_per_second=1 / LOOK_EVERY_S):
        try:
            while not (box / MANIFEST).exists():
                time.sleep(LOOK_EVERY_S)
        except KeyboardInterrupt:  # of who looks on, not of the run
            return


def read_standing(box: Path) -> Standing:
    """How the run in a box stands by its logs. InputError when no run was begun there."""
    metrics, timings = _last_lines(box / METRICS), _last_lines(box / TIMINGS)
    machine: Mapping[str, Any] = next((line for line in reversed(timings) if "steps" in line), {})
    if timings and not machine:
        raise InputError(
            f"the run in {box} was begun by an older tsuzuri, which did not say how long it is to be",
            hint=f"tsuzuri report {box.parent}",
        )
    if not machine:
        raise InputError(
            f"{box} holds no run that was begun", hint="give the folder of a run, or of a build that trains"
        )
    metrics = [line for line in metrics if "loss" in line]
    reading: Mapping[str, Any] = next((line for line in reversed(timings) if "tokens_per_s" in line), {})
    return standing(machine, metrics, reading, metrics[-1]["step"] if metrics else 0)


def clock(seconds: float) -> str:
    """A time as days and hours, or as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02} h" if days else f"{hours}:{minutes:02}:{rest:02}"


def drawn(values: Sequence[float]) -> str:
    """The values as a row of bars, from the lowest to the highest of them."""
    if not values:
        return ""
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in values)


def _seen(box: Path) -> RenderableType:
    metrics = box / METRICS
    age_s = time.time() - metrics.stat().st_mtime if metrics.exists() else 0.0
    note = Text(f"last heard of {clock(age_s)} ago", style="dim")
    return Group(read_standing(box).panel(), note)


def _last_lines(path: Path) -> list[dict[str, Any]]:
    """The last values of a log that may grow meanwhile; torn lines are left out."""
    if not path.exists():
        return []
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return readable_json_lines(file.read())
