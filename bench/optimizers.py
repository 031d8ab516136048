"""What is learnt under each optimizer: Adagrad (with which the project's first models were trained), AdamW,
AdamW with moments of 8 bits, and Muon, each at its best of three learning rates.

    python bench/optimizers.py [--build DIR] [--size quickstart] [--steps 100] [--seeds 3] [--device cpu|cuda]

DIR is a build whose `tokens/` are read, made from Wikipedia where it is absent, as for `learn.py`. All train
the same first weights on the same rows, under the schedule of our defaults; the score is bits per character
of every held-out document. The learning rate is chosen by the first seed, at equal tokens; a best one at the
edge of those tried is said to be so. Then the other seeds follow, and at last every kind trains for as many
steps as fit into the time of the default optimizer's: step times are medians of a race in turns.

Every finished run is a file in `--results`, so the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from _report import Comparison, emit, machine
from learn import Setting, Side, prepare, race
from tsuzuri.core.config import parse_config
from tsuzuri.core.files import write_json
from tsuzuri.data.box import TokenBox
from tsuzuri.model.gpt import GPT
from tsuzuri.model.ladder import model_config
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.devices import DEVICES, probe_precision
from tsuzuri.training.memory import OPTIMIZERS
from tsuzuri.training.step import Trainer

RATES = {
    "muon": (0.003, 0.006, 0.012),
    "adamw": (0.002, 0.004, 0.008),
    "adamw-8bit": (0.002, 0.004, 0.008),
    "adagrad": (0.01, 0.02, 0.04),
}
"""The first one is ours, which the others are compared with."""
RACE_STEPS = 12


@dataclass(frozen=True)
class Bench:
    """What all runs share, and where their results are kept."""

    setting: Setting
    size: str
    results: Path

    def side(self, kind: str, rate: float, seed: int, steps: int) -> Side:
        """A new model with its trainer."""
        setting = self.setting
        values = setting.train.as_mapping()
        values["steps"] = steps
        values["optimizer"] |= {"kind": kind, "learning_rate": rate}
        train = parse_config(TrainConfig, values, where="bench")
        model = GPT(setting.shape, torch.Generator().manual_seed(seed)).to(setting.device.kind)
        trainer = Trainer(model, train, setting.device, dtype=setting.dtype, compiled=False)
        return Side(
            lambda step, rows: trainer.step(step, rows, setting.data.eos_id)["loss"].item(), lambda: model
        )

    def bits(self, kind: str, rate: float, seed: int, steps: int) -> float:
        """Held-out bits per character of one run, made now or before."""
        path = self.results / f"{self.size}-{steps}-{kind}-{rate:g}-{seed}.json"
        if not path.exists():
            side = self.side(kind, rate, seed, steps)
            race([side], self.setting, seed, steps)
            found = {"bits_per_character": self.setting.bits(side.model()), "train_s": sum(side.seconds)}
            write_json(path, found)
            print(f"  {path.stem}: {found['bits_per_character']:.4f}, {found['train_s']:.0f} s", flush=True)
        return float(json.loads(path.read_text(encoding="utf-8"))["bits_per_character"])

    def step_seconds(self, kinds: list[str]) -> dict[str, float]:
        """The median time of a step of each kind, which all make in turns."""
        path = self.results / f"{self.size}-step-seconds.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if not known.keys() >= set(kinds):
            sides = [self.side(kind, RATES[kind][0], 1, self.setting.train.steps) for kind in kinds]
            race(sides, self.setting, 1, RACE_STEPS)
            known |= {
                kind: statistics.median(side.seconds[2:]) for kind, side in zip(kinds, sides, strict=True)
            }
            write_json(path, known)
        return {kind: known[kind] for kind in kinds}


def compare(bench: Bench, kinds: list[str], seeds: range) -> Iterator[Comparison]:
    """The table of all kinds, and each against ours."""
    steps = bench.setting.train.steps
    best = {}
    for kind in kinds:
        tried = {rate: bench.bits(kind, rate, seeds[0], steps) for rate in RATES[kind]}
        best[kind] = min(tried, key=lambda rate: tried[rate])
        if best[kind] in (RATES[kind][0], RATES[kind][-1]):
            print(f"the best learning rate of {kind}, {best[kind]:g}, is at the edge of those tried")
    step_s = bench.step_seconds(kinds)
    as_long = {kind: max(25, round(steps * step_s[kinds[0]] / step_s[kind])) for kind in kinds}
    equal = {kind: [bench.bits(kind, best[kind], seed, steps) for seed in seeds] for kind in kinds}
    timed = {kind: [bench.bits(kind, best[kind], seed, as_long[kind]) for seed in seeds] for kind in kinds}
    heads = ("rate", "equal tokens", "equal time", "steps", "s/step", "bytes")
    print("\n{:12} {:>7} {:>13} {:>11} {:>6} {:>7} {:>6}".format("", *heads))
    for kind in kinds:
        print(
            f"{kind:12} {best[kind]:7g} {statistics.mean(equal[kind]):13.4f} "
            f"{statistics.mean(timed[kind]):11.4f} {as_long[kind]:6} {step_s[kind]:7.3f} "
            f"{8 + OPTIMIZERS[kind].matrices:6.2f}   "
            + " ".join(f"{bits:.4f}" for bits in (*equal[kind], *timed[kind]))
        )
    own, *others = kinds
    for kind in others:
        for name, found in (("equal tokens", equal), ("equal time", timed)):
            mean, peer = statistics.mean(found[own]), statistics.mean(found[kind])
            yield Comparison(f"{own} against {kind} at {name}", peer / mean, mean, peer, "bits/character")


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", type=Path, default=Path("out/learn"))
    parser.add_argument("--size", default="quickstart", help="a row of the ladder")
    parser.add_argument("--steps", type=int, default=TrainConfig().steps)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", default=list(RATES), choices=list(RATES))
    parser.add_argument("--device", default="cpu", choices=list(DEVICES))
    parser.add_argument("--precision", choices=["float32", "bfloat16"], help="unset: the faster one here")
    parser.add_argument("--results", type=Path, default=Path("out/optimizers"))
    options = parser.parse_args()
    if not (options.build / "tokens" / "manifest.json").exists():
        prepare(options.build)
    device, data = DEVICES[options.device], TokenBox.open(options.build / "tokens")
    setting = Setting(
        data,
        model_config(options.size, vocab_size=data.vocab_size),
        parse_config(TrainConfig, {"steps": options.steps}, where="--steps"),
        device,
        getattr(torch, options.precision or probe_precision(device)),
    )
    print(machine(("torch", "tsuzuri")), device.name(), setting.dtype)
    options.results.mkdir(parents=True, exist_ok=True)
    bench = Bench(setting, options.size, options.results)
    emit(list(compare(bench, options.kinds, range(1, options.seeds + 1))))


if __name__ == "__main__":
    main()
