"""A look into a few steps: a trace for a browser, and a table of the operations that take longest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import profiler

from tsuzuri.core.files import disk_errors
from tsuzuri.core.progress import say

FOLDER = "profile"
WARM_UP_STEPS = 3
"""Steps that are passed over first: compilation, first allocations and the profiler's own beginning."""
TABLE_ROWS = 15


@contextmanager
def profiled(box: Path, steps: int, kind: str) -> Iterator[Callable[[], None]]:
    """A function to call after each step. `steps` of them, after a few, are traced into the box's `profile/`.

    `kind` is the device's. The trace opens in chrome://tracing or ui.perfetto.dev. With 0 steps nothing is.
    """
    if steps < 1:
        yield lambda: None
        return
    activities = {profiler.ProfilerActivity.CPU}
    if kind == "cuda":
        activities.add(profiler.ProfilerActivity.CUDA)

    traced: list[Path] = []

    def finish(trace: profiler.profile) -> None:
        if trace.step_num == WARM_UP_STEPS:  # the run ended as the first step to be traced would have begun
            return
        path = box / FOLDER / f"steps-{WARM_UP_STEPS + 1}-{trace.step_num}.json.gz"
        with disk_errors(path):
            path.parent.mkdir(exist_ok=True)
            trace.export_chrome_trace(str(path))
        traced.append(path)
        order = "self_cuda_time_total" if kind == "cuda" else "self_cpu_time_total"
        table = trace.key_averages().table(
            sort_by=order,
            row_limit=TABLE_ROWS,
            max_name_column_width=40,
            header=f"{trace.step_num - WARM_UP_STEPS} steps",
        )
        say(f"{table}\ntraced into {path}")

    with profiler.profile(
        activities=activities,
        schedule=profiler.schedule(wait=WARM_UP_STEPS - 1, warmup=1, active=steps, repeat=1),
        on_trace_ready=finish,
    ) as running:
        yield running.step
    if not traced:
        say(f"nothing was looked into: only {WARM_UP_STEPS} steps or fewer were left")
