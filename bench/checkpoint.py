"""How long a save holds training up: written in the background, at once, and by torch's own `async_save`.

    python bench/checkpoint.py [--size 30m] [--steps 6] [--rounds 3] [--folder FOLDER]

In each round each way saves once and makes `steps` steps: the seconds until the first of them begins, and the
seconds that all of it, the writing too, takes longer than the same steps without a save. Ours writes sums and
waits for the disk; torch's `async_save` does neither.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed.checkpoint as torch_checkpoint

from _report import Comparison, emit, machine
from tsuzuri.model.gpt import GPT
from tsuzuri.model.ladder import model_config
from tsuzuri.training import checkpoint
from tsuzuri.training.config import OptimizerConfig, ScheduleConfig, TrainConfig
from tsuzuri.training.devices import choose_device
from tsuzuri.training.saving import Checkpoints
from tsuzuri.training.step import Trainer

Save = Callable[[int], Callable[[], object]]
"""Saves after a step; what it returns waits until all is written."""


def trainer(size: str, rows: int) -> Trainer:
    """A model with its optimizer on the device of this machine."""
    device = choose_device("auto")
    shape = model_config(size, vocab_size=32_000)
    config = TrainConfig(
        batch_rows=rows,
        micro_batch_rows=rows,
        sequence_length=min(256, shape.max_position_embeddings),
        schedule=ScheduleConfig(warmup_steps=1),
        optimizer=OptimizerConfig(kind="adamw"),
    )
    model = GPT(shape, torch.Generator().manual_seed(1)).to(device.kind)
    dtype = torch.float32 if device.kind == "cpu" else torch.bfloat16
    return Trainer(model, config, device, dtype=dtype, compiled=False)


def ways(state: dict[str, torch.Tensor], folder: Path) -> tuple[dict[str, Save], Checkpoints]:
    """Each way of saving, and what is to be closed at the end."""
    background = Checkpoints(folder / "background", state, keep=1)

    def in_background(step: int) -> Callable[[], object]:
        background.save(step)
        return background.wait

    def at_once(step: int) -> Callable[[], object]:
        checkpoint.save(folder / "at once", step, state, keep=1)
        return lambda: None

    def by_torch(step: int) -> Callable[[], object]:
        future = torch_checkpoint.async_save(state, checkpoint_id=folder / "torch" / str(step), no_dist=True)
        return future.result

    return {
        "nothing": lambda step: lambda: None,
        "ours": in_background,
        "at once": at_once,
        "torch": by_torch,
    }, background


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", default="30m")
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)  # torch's, of the absent process group
    run = trainer(arguments.size, arguments.rows)
    state = run.update.state()
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    print(machine(["torch"]))
    print(f"{run.model.config.num_parameters:,} parameters, {size / 2**20:,.0f} MiB of weights and states")
    rows = torch.randint(1, 32_000, (arguments.rows, run.config.sequence_length + 1))
    run.step(0, rows, 0)
    held: dict[str, list[float]] = {}
    total: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        saves, background = ways(state, Path(folder))
        with background:
            for round_ in range(arguments.rounds + 1):  # the first one warms up
                for name, save in saves.items():
                    started = time.perf_counter()
                    wait = save(round_ + 1)
                    begun = time.perf_counter()
                    for _ in range(arguments.steps):
                        run.step(0, rows, 0)
                    run.device.synchronize()
                    wait()
                    if round_:
                        held.setdefault(name, []).append(begun - started)
                        total.setdefault(name, []).append(time.perf_counter() - started)
    alone = statistics.median(total["nothing"])
    print(f"{arguments.steps} steps without a save: {alone:.2f} s")
    until_next = {name: statistics.median(values) for name, values in held.items()}
    in_all = {name: statistics.median(values) - alone for name, values in total.items()}
    comparisons = []
    for peer in ("at once", "torch"):
        for what, seconds in (("until the next step", until_next), ("in all", in_all)):
            name = f"a save, {what}, against {peer}"
            ratio = seconds[peer] / seconds["ours"]
            comparisons.append(Comparison(name, ratio, seconds["ours"], seconds[peer], "s"))
    emit(comparisons)


if __name__ == "__main__":
    main()
