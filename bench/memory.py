"""How much memory training takes, beside what a plan says of it: the bar is 15 % either way.

    python bench/memory.py [--size gpt3-125m] [--device cpu|cuda] [--only NAME…]

First the bytes of a parameter that each optimizer keeps, declared and counted. Then each rung of the memory
ladder, and a few other ways to make a step, in a process of its own: four real steps, and the most memory
that it came to hold above what it held with torch loaded (on a CPU resident memory, on a GPU what torch's
allocator gave out). A ratio is the bar over the error: above 1 the prediction is within it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import torch

from _report import Comparison, emit, machine
from tsuzuri.lab.devices import DEVICES as PLANNED
from tsuzuri.lab.devices import GIB
from tsuzuri.lab.measure import run_steps
from tsuzuri.lab.memory import predict
from tsuzuri.lab.step import Step
from tsuzuri.model.gpt import GPT
from tsuzuri.model.ladder import model_config
from tsuzuri.training.config import OptimizerConfig
from tsuzuri.training.devices import DEVICES, probe_precision
from tsuzuri.training.memory import OPTIMIZERS, RECIPES
from tsuzuri.training.optimizers import build_optimizers, state_tensors
from tsuzuri.training.optimizers.rounding import Rounding

BAR = 0.15
GIVEN_BACK = {
    "MALLOC_MMAP_THRESHOLD_": "262144",
    "MALLOC_TRIM_THRESHOLD_": "262144",
    "MALLOC_TOP_PAD_": "0",
}
"""For glibc: what is freed goes back at once. By default it keeps about as much as activations took."""
WAYS: dict[str, dict[str, object]] = {
    "adamw, 4 rows": {"recipe": RECIPES["adamw"], "rows": 4},
    "adamw, 4 rows recomputed": {"recipe": RECIPES["adamw"], "rows": 4, "recompute": True},
    "muon, 2 micro-batches": {"recipe": RECIPES["muon"], "micro_batches": 2},
}


def steps(size: str, device: str, precision: str, length: int) -> dict[str, Step]:
    """What is measured, by name."""
    base = Step(
        model=model_config(size, vocab_size=32_000),
        recipe=RECIPES["adamw"],
        device=PLANNED["h100" if device == "cuda" else "cpu"],
        precision=precision,  # type: ignore[arg-type]
        batch_tokens=length,
        length=length,
        graph="eager",
    )
    ways: dict[str, dict[str, object]] = {name: {"recipe": recipe} for name, recipe in RECIPES.items()} | WAYS
    found = {}
    for name, changes in ways.items():
        count = changes.pop("micro_batches", 1)
        step = replace(base, **changes)  # type: ignore[arg-type]
        found[name] = replace(step, batch_tokens=step.rows * length * int(str(count)))
    return found


def bytes_a_parameter(kind: str) -> tuple[float, float]:
    """(declared, counted) bytes of states that an optimizer keeps for a parameter of a matrix of a block."""
    model = GPT(model_config("gpt3-125m", vocab_size=32_000, overrides={"num_hidden_layers": 1}))
    parameters = dict(model.named_parameters())
    config = OptimizerConfig.model_validate({"kind": kind})
    optimizers = build_optimizers(parameters, config, torch.float32, Rounding(1, parameters.values()))
    name, matrix = next((n, p) for n, p in parameters.items() if n.endswith("gate_proj.weight"))
    states = [
        s for k, s in state_tensors(parameters, optimizers).items() if k.startswith(f"optimizer.{name}.")
    ]
    row = OPTIMIZERS[kind]
    declared = 4 * sum(matrix.shape) / matrix.numel() if row.factored else row.matrices
    return declared, sum(
        state.numel() * state.element_size() for state in states if state.dim()
    ) / matrix.numel()


def measured(name: str, options: argparse.Namespace) -> dict[str, float]:
    """What a process of its own measures of one way."""
    command = [sys.executable, __file__, "--child", name, "--size", options.size, "--device", options.device]
    command += ["--length", str(options.length), "--precision", options.precision]
    environment = {**os.environ, **GIVEN_BACK}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compare(options: argparse.Namespace) -> Iterator[Comparison]:
    """Measured and predicted peaks, as a table and as comparisons."""
    print(f"\n{'':30} {'measured':>9} {'predicted':>9} {'ratio':>6}  {'tokens/s':>9}")
    for name, step in steps(options.size, options.device, options.precision, options.length).items():
        if options.only and name not in options.only:
            continue
        found, predicted = measured(name, options), predict(step)
        ratio = found["held_bytes"] / predicted.held_bytes
        print(
            f"{name:30} {found['held_bytes'] / GIB:9.3f} {predicted.held_bytes / GIB:9.3f} {ratio:6.3f}  "
            f"{found['tokens_per_s']:9,.0f}  {predicted.describe()}",
            flush=True,
        )
        error = max(abs(ratio - 1), 1e-3)
        yield Comparison(
            f"memory of {name}", BAR / error, predicted.held_bytes / GIB, found["held_bytes"] / GIB, "GiB"
        )


def main() -> None:
    """Run the bench, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", default="gpt3-125m", help="a row of the ladder")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--length", type=int, default=512, help="tokens a row")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], help="unset: the faster one here")
    parser.add_argument("--only", nargs="+", default=[], help="names of the table")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        step = steps(options.size, options.device, options.precision, options.length)[options.child]
        tokens_per_s, held_bytes = run_steps(step)
        print(json.dumps({"held_bytes": held_bytes, "tokens_per_s": tokens_per_s}))
        return
    options.precision = options.precision or probe_precision(DEVICES[options.device])
    print(machine(("torch", "tsuzuri")), DEVICES[options.device].name(), options.precision)
    print(f"\n{'bytes of state a parameter':30} {'declared':>9} {'counted':>9}")
    for kind in OPTIMIZERS:
        declared, counted = bytes_a_parameter(kind)
        print(f"{kind:30} {declared:9.3f} {counted:9.3f}")
    emit(list(compare(options)))


if __name__ == "__main__":
    main()
