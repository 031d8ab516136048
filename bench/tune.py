"""A search of the default recipe: which settings leave the fewest held-out bits per character at equal
tokens.

    python bench/tune.py [--build DIR] [--size quickstart] [--tokens 409600] [--device cuda] [--workers 6]

DIR is a build whose `tokens/` are read. The search goes along one axis after another, keeps the best value
found on each, and goes round again until nothing changes or the time is over. A point is the mean over the
seeds. Every result is a line of `--results`, so the same command goes on where it stopped. At the end, the
table of all points, the best first.

A setting is what `--set` takes. Those beginning with `trial.` are ideas that the recipe does not have:
`embedding_scale`, of the first embeddings; `silent_writers`, zeros as the first weights of what writes
into the residual stream.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context
from pathlib import Path

import torch

from learn import Setting, Side, race
from tsuzuri.core.config import apply_overrides, parse_config
from tsuzuri.core.errors import TsuzuriError
from tsuzuri.core.files import read_json_lines
from tsuzuri.data.box import TokenBox
from tsuzuri.model.gpt import GPT
from tsuzuri.model.ladder import model_config
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.devices import DEVICES
from tsuzuri.training.step import Trainer

RATE = "train.optimizer.learning_rate"
AXES: dict[str, tuple[str, ...]] = {
    RATE: ("0.002", "0.003", "0.004", "0.006", "0.008", "0.012", "0.016", "0.024"),
    "train.optimizer.adamw_rate_factor": ("0.5", "1", "2", "8", "16"),
    "train.schedule.decay_fraction": ("0.2", "0.5", "0.7", "1.0"),
    "train.schedule.warmup_steps": ("1", "5", "10", "40"),
    "train.schedule.final_fraction": ("0.05", "0.1"),
    "train.optimizer.momentum": ("0.8", "0.9", "0.98"),
    "train.optimizer.weight_decay": ("0", "0.03", "0.3", "1.0"),
    "train.optimizer.beta1": ("0.8", "0.95"),
    "train.optimizer.beta2": ("0.9", "0.98", "0.99"),
    "trial.embedding_scale": ("0.25", "0.5", "2", "4", "8"),
    "trial.silent_writers": ("true",),
    "model.initializer_range": ("0.005", "0.01", "0.04", "0.06"),
    "model.tie_word_embeddings": ("false",),
    "model.model_type": ("llama",),
    "model.rope_theta": ("1000", "100000"),
    "train.document_mask": ("false",),
    "train.gradient_clip": ("0.3", "100"),
    "train.batch_rows": ("4", "8", "32"),
}

Point = dict[str, str]
"""What differs from the defaults."""


def train_once(point: Point, seed: int, options: argparse.Namespace) -> float:
    """Held-out bits per character of one run."""
    torch.set_num_threads(1 if options.device == "cuda" else torch.get_num_threads())
    values = apply_overrides({"train": {}, "model": {}, "trial": {}}, [f"{k}={v}" for k, v in point.items()])
    rows = values["train"].get("batch_rows", TrainConfig().batch_rows)
    data = TokenBox.open(options.build / "tokens", verify=False)
    shape = model_config(options.size, vocab_size=data.vocab_size, overrides=values["model"])
    length = min(TrainConfig().sequence_length, shape.max_position_embeddings)
    values["train"] |= {"micro_batch_rows": rows, "sequence_length": length}
    values["train"]["steps"] = options.tokens // (rows * length)
    train = parse_config(TrainConfig, values["train"], where="train")
    setting = Setting(data, shape, train, DEVICES[options.device], torch.float32)
    model = GPT(shape, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        model.embed_tokens.weight *= values["trial"].get("embedding_scale", 1)
        for name, parameter in model.named_parameters():
            if values["trial"].get("silent_writers") and name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
    trainer = Trainer(model.to(options.device), train, setting.device, dtype=torch.float32, compiled=False)
    side = Side(lambda step, rows: trainer.step(step, rows, data.eos_id), lambda: model)
    race([side], setting, seed, train.steps)
    bits = setting.bits(model)
    return bits if math.isfinite(bits) else math.inf


class Search:
    """The points tried so far, kept in a file, and workers that try more."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.ends_at = time.monotonic() + options.limit_s
        self.found: dict[str, list[float]] = {}
        for line in read_json_lines(options.results):
            if (line["size"], line["tokens"]) == (options.size, options.tokens):
                self.found[name_of(line["point"])] = line["bits"]
        self.workers = ProcessPoolExecutor(options.workers, mp_context=get_context("spawn"))

    def try_all(self, points: Sequence[Point]) -> None:
        """Train what is not known yet; TimeoutError when the time is over."""
        new = [point for point in points if name_of(point) not in self.found]
        seeds = range(1, self.options.seeds + 1)
        runs = [
            [self.workers.submit(train_once, point, seed, self.options) for seed in seeds] for point in new
        ]
        for point, futures in zip(new, runs, strict=True):
            try:
                bits = [future.result(timeout=self.left_s()) for future in futures]
            except TsuzuriError as error:
                print(f"{name_of(point)}: {error}")
                bits = [math.inf]
            self.found[name_of(point)] = bits
            facts = {"size": self.options.size, "tokens": self.options.tokens, "point": point, "bits": bits}
            with open(self.options.results, "a", encoding="utf-8") as file:
                file.write(json.dumps(facts) + "\n")
            print(f"{statistics.mean(bits):.4f}  {name_of(point)}", flush=True)

    def left_s(self) -> float:
        """Until the time is over."""
        return max(0.0, self.ends_at - time.monotonic())

    def bits(self, point: Point) -> float:
        """The mean of a point that was tried."""
        return statistics.mean(self.found[name_of(point)])

    def rounds(self) -> Iterator[Point]:
        """The best point after each axis, until a whole round changes nothing."""
        best: Point = {}
        self.try_all([best])
        while True:
            before = best
            for axis, values in AXES.items():
                default = {key: value for key, value in best.items() if key != axis}
                points = [default, *({**default, axis: value} for value in values)]
                self.try_all(points)
                best = min(points, key=self.bits)
                yield best
            if best == before:
                return


def name_of(point: Point) -> str:
    """A point as its `--set` arguments."""
    return " ".join(f"{key}={value}" for key, value in sorted(point.items())) or "defaults"


def main() -> None:
    """Search until nothing changes or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, default=Path("out/learn"))
    parser.add_argument("--size", default="quickstart", help="a row of the ladder")
    parser.add_argument("--tokens", type=int, default=TrainConfig().steps * TrainConfig().tokens_per_step)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=list(DEVICES))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=3600)
    parser.add_argument("--results", type=Path, default=Path("out/tune.jsonl"))
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    search = Search(options)
    try:
        for best in search.rounds():
            print(f"{search.bits(best):.4f}  best so far: {name_of(best)}", flush=True)
    except TimeoutError:
        print("the time is over: the same command goes on")
    search.workers.shutdown(wait=False, cancel_futures=True)
    for process in active_children():
        process.terminate()
    print("\nbits per character")
    for name, bits in sorted(search.found.items(), key=lambda item: statistics.mean(item[1])):
        print(f"{statistics.mean(bits):.4f}  {name}")


if __name__ == "__main__":
    main()
