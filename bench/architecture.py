"""Which architecture learns most in equal time: activations, gate, QK-norm, tied embeddings, depth and width.

    python bench/architecture.py [--build DIR] [--out DIR] [--size 15m] [--minutes 20] [--seeds 1]
                                 [--learning-rates 0.005] [--only swiglu relu2 …] [--device cpu|cuda]

The build holds the `tokens/` that are read; where it does not exist, it is made of Wikipedia's articles on
Kyoto in ../shared/data, as `bench/learn.py` makes it. Every variant has about as many parameters as that row
of the ladder: an MLP without a gate is half as wide again, and depth is bought with width.

    swiglu    the default: gated SiLU, QK-norm, the head is the embedding
    geglu     gated GELU                          reglu2    gated squared ReLU
    llama     the default without QK-norm         untied    a head of its own, so many more parameters
    gelu      llama, GELU without a gate          relu2     llama, squared ReLU without a gate
    deep      twice the layers, narrower          wide      half the layers, wider

First all of them make steps in turns within one process, by which it is known how many each makes in
--minutes. Then each trains for that many, with its whole schedule, by the default recipe, and is scored: bits
per character of held-out documents. So equal time is that of undisturbed steps, whatever else the machine
does meanwhile. It takes variants × learning rates × seeds × --minutes, and a minute or two each for compiling
and scoring, which it says first. Each finished run is a file in --out, where the same command goes on; a run
that was stopped begins again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

from _report import Comparison, emit, machine
from learn import Setting, prepare
from tsuzuri.core.config import parse_config
from tsuzuri.core.files import write_json
from tsuzuri.data.box import TokenBox
from tsuzuri.evaluate.bits import heldout_bits
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.ladder import model_config, rung
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.devices import DEVICES, Device, can_compile, probe_precision
from tsuzuri.training.step import Trainer

DEFAULT = "swiglu"
WARM_STEPS, TIMED_STEPS = 2, 5
RATE = 0.005


@dataclass(frozen=True)
class Bench:
    """What all runs share."""

    data: TokenBox
    size: str
    minutes: float
    heldout_tokens: int
    device: Device
    dtype: torch.dtype
    compiled: bool
    box: Path

    def shape(self, name: str) -> ModelConfig:
        """The architecture of a variant."""
        return model_config(self.size, vocab_size=self.data.vocab_size, overrides=variants(self.size)[name])

    def trainer(self, name: str, seed: int, train: TrainConfig) -> Trainer:
        """A new model of a variant with its optimizers."""
        model = GPT(self.shape(name), torch.Generator().manual_seed(seed)).to(self.device.kind)
        return Trainer(model, train, self.device, dtype=self.dtype, compiled=self.compiled)

    def setting(self, name: str, train: TrainConfig) -> Setting:
        """The same as `learn` has it, for its rows."""
        return Setting(self.data, self.shape(name), train, self.device, self.dtype)

    def file(self, name: str, rate: float, seed: int) -> Path:
        """Where a finished run is kept."""
        return self.box / f"{name}-rate{rate:g}-seed{seed}.json"


def variants(size: str) -> dict[str, dict[str, Any]]:
    """What each variant changes of a row of the ladder."""
    row = rung(size)
    narrow = round(row.width * 3 / 4 / (2 * row.heads)) * 2 * row.heads
    wide = round(row.width * 4 / 3 / row.head_dim)
    return {
        DEFAULT: {},
        "geglu": {"hidden_act": "gelu"},
        "reglu2": {"hidden_act": "relu2"},
        "llama": {"model_type": "llama"},
        "gelu": {"model_type": "arcee", "hidden_act": "gelu"},
        "relu2": {"model_type": "arcee", "hidden_act": "relu2"},
        "untied": {"tie_word_embeddings": False},
        "deep": _form(2 * row.layers, row.heads, narrow // row.heads),
        "wide": _form(row.layers // 2, wide, row.head_dim),
    }


def _form(layers: int, heads: int, head_dim: int) -> dict[str, Any]:
    width = heads * head_dim
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "intermediate_size": -(-8 * width // 3 // 64) * 64,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": head_dim,
    }


def train_config(size: str, steps: int, rate: float) -> TrainConfig:
    """The default recipe over so many steps."""
    values = {
        "steps": steps,
        "sequence_length": min(TrainConfig().sequence_length, rung(size).context),
        "optimizer": {"learning_rate": rate},
        "schedule": {"warmup_steps": min(TrainConfig().schedule.warmup_steps, steps // 5)},
    }
    return parse_config(TrainConfig, values, where="bench")


def step_seconds(bench: Bench, names: list[str]) -> dict[str, float]:
    """The median time of a step of each variant, all made in turns; kept in a file."""
    path = bench.box / "step_s.json"
    known: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if set(names) <= known.keys():
        return known
    config = train_config(bench.size, WARM_STEPS + TIMED_STEPS, RATE)
    trainers = {name: bench.trainer(name, 1, config) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for step, rows in enumerate(bench.setting(DEFAULT, config).rows(1, config.steps)):
        for name, trainer in trainers.items():
            started = time.perf_counter()
            trainer.step(step, rows, bench.data.eos_id)
            bench.device.synchronize()
            seconds[name].append(time.perf_counter() - started)
    found = {name: statistics.median(values[WARM_STEPS:]) for name, values in seconds.items()}
    write_json(path, {**known, **found})
    return found


def run(bench: Bench, name: str, rate: float, seed: int, step_s: float) -> dict[str, Any]:
    """What became of a run, made now or before."""
    path = bench.file(name, rate, seed)
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    torch.compiler.reset()
    config = train_config(bench.size, max(2, round(60 * bench.minutes / step_s)), rate)
    trainer = bench.trainer(name, seed, config)
    started = time.perf_counter()
    for step, rows in enumerate(bench.setting(name, config).rows(seed, config.steps)):
        trainer.step(step, rows, bench.data.eos_id)
    bench.device.synchronize()
    took_s = time.perf_counter() - started
    with trainer.eager():
        bits = heldout_bits(
            trainer.model,
            bench.data,
            max_tokens=bench.heldout_tokens,
            length=config.sequence_length,
            dtype=bench.dtype,
        )
    result = {
        "variant": name,
        "parameters": bench.shape(name).num_parameters,
        "learning_rate": rate,
        "seed": seed,
        "steps": config.steps,
        "tokens": config.steps * config.tokens_per_step,
        "tokens_per_s": config.tokens_per_step / step_s,
        "took_s": took_s,
        "bits_per_character": bits["all"]["bits_per_character"],
    }
    write_json(path, result)
    return result


def table(results: list[dict[str, Any]]) -> Iterator[str]:
    """The variants at their best learning rates, the best first."""
    best = best_rates(results)
    default = (
        statistics.mean(item["bits_per_character"] for item in best[DEFAULT]) if DEFAULT in best else None
    )
    yield (
        f"{'variant':8} {'parameters':>12} {'tokens/s':>9} {'steps':>6} {'tokens':>11} {'rate':>7} "
        f"{'bits/character':>14} {'to default':>10}   by seed"
    )
    for name, runs in sorted(best.items(), key=lambda item: mean_bits(item[1])):
        first, bits = runs[0], mean_bits(runs)
        against = f"{bits / default - 1:+10.2%}" if default else f"{'':10}"
        seeds = " ".join(f"{item['bits_per_character']:.4f}" for item in runs)
        yield (
            f"{name:8} {first['parameters']:12,} {first['tokens_per_s']:9,.0f} {first['steps']:6,} "
            f"{first['tokens']:11,} {first['learning_rate']:7g} {bits:14.4f} {against}   {seeds}"
        )


def best_rates(results: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """variant → its runs, one a seed, at the learning rate that is best by their mean."""
    by_rate: dict[str, dict[float, list[dict[str, Any]]]] = {}
    for item in results:
        by_rate.setdefault(item["variant"], {}).setdefault(item["learning_rate"], []).append(item)
    return {name: min(rates.values(), key=mean_bits) for name, rates in by_rate.items()}


def mean_bits(runs: list[dict[str, Any]]) -> float:
    """Over seeds."""
    return statistics.mean(item["bits_per_character"] for item in runs)


def comparisons(results: list[dict[str, Any]]) -> list[Comparison]:
    """The default against each of the others."""
    best = best_rates(results)
    ours = mean_bits(best[DEFAULT])
    return [
        Comparison(
            f"architecture: {DEFAULT} against {name}",
            mean_bits(runs) / ours,
            ours,
            mean_bits(runs),
            "bits/character",
        )
        for name, runs in best.items()
        if name != DEFAULT
    ]


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, default=Path("out/learn"))
    parser.add_argument(
        "--out", type=Path, default=Path("out/architecture"), help="where finished runs are kept"
    )
    parser.add_argument("--size", default="15m", help="a row of the ladder")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training, each run")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[RATE])
    parser.add_argument("--only", nargs="+", choices=list(variants("15m")), help="these variants; unset: all")
    parser.add_argument("--heldout-tokens", type=int, default=50_000, help="scored at most, of each source")
    parser.add_argument("--device", default="cpu", choices=list(DEVICES))
    parser.add_argument("--precision", choices=["float32", "bfloat16"], help="unset: the faster one here")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    options = parser.parse_args()
    torch._dynamo.config.recompile_limit = 64  # every variant compiles the same function for itself
    if not (options.build / "tokens" / "manifest.json").exists():
        prepare(options.build)
    device = DEVICES[options.device]
    precision = options.precision or probe_precision(device)
    compiled = not options.eager and can_compile(device)
    mode = "compiled" if compiled else "eager"
    box = options.out / f"{options.size}-{options.minutes:g}min-{precision}-{mode}-{options.build.name}"
    box.mkdir(parents=True, exist_ok=True)
    data = TokenBox.open(options.build / "tokens")
    bench = Bench(
        data,
        options.size,
        options.minutes,
        options.heldout_tokens,
        device,
        getattr(torch, precision),
        compiled,
        box,
    )
    names = options.only or list(variants(options.size))
    runs = list(product(range(1, options.seeds + 1), options.learning_rates, names))
    left = sum(not bench.file(name, rate, seed).exists() for seed, rate, name in runs)
    print(machine(("torch", "tsuzuri")), device.name(), precision, mode, box)
    hours = left * (options.minutes + 2) / 60
    print(f"{left} runs of {options.minutes:g} minutes are left: about {hours:.1f} hours", flush=True)
    step_s = step_seconds(bench, names) if left else {}
    results = []
    for seed, rate, name in runs:
        results.append(run(bench, name, rate, seed, step_s.get(name, 0.0)))
        last = results[-1]
        print(
            f"{name:8} rate {rate:g} seed {seed}: {last['bits_per_character']:.4f} bits per character",
            flush=True,
        )
    print("\n".join(["", *table(results)]))
    if DEFAULT in names:
        emit(comparisons(results))


if __name__ == "__main__":
    main()
