"""The deciding row of the tokenizer bench: which form and boundary leave a model the fewest bits.

Every option has the same vocabulary size, so every model has the same shape, and equal training FLOPs (6 ·
`num_matrix_parameters` · tokens, the head's among them) are equal tokens: what packs better reads more text
for them. That row decides. A second one gives every model the same characters, which are those that the
option that packs worst reads in the first. A row of tokens is as long for all, in training and in scoring, so
what packs better also sees more text at once: that is part of its worth.

Every model is trained by `TrainConfig`'s default recipe, whose learning rate was found on a vocabulary of
8,192 pieces of `character, none`, and once for each seed. Bits per character are exact and of the same
held-out documents for all; the bits of a document's end count among them.

Each finished model is a line of the results file, so the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from _report import Comparison, emit, machine
from learn import Setting, ours, race
from tsuzuri.core.files import append_json_line, read_json_lines
from tsuzuri.core.manifest import box_sha256, read_manifest
from tsuzuri.data.box import TokenBox
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.ladder import model_config
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.devices import DEVICES, probe_precision

FLOPS, CHARACTERS = "equal FLOPs", "equal characters"
Bits = Mapping[str, float]
"""source, or `all` → held-out bits per character."""


@dataclass(frozen=True)
class Run:
    """One model: all that its score depends on, machines aside."""

    option: str
    """The name of its token box."""
    shards_sha256: str
    """Of that box."""
    size: str
    precision: str
    steps: int
    seed: int


@dataclass(frozen=True)
class Score:
    """An option's line in one of the two tables."""

    option: str
    box: TokenBox
    tokens: int
    bits: Sequence[Bits]
    """By seed."""

    def mean(self, source: str = "all") -> float:
        """Bits per character, the mean over the seeds."""
        return statistics.mean(bits[source] for bits in self.bits)

    @property
    def characters(self) -> float:
        """About how many characters its models read."""
        return self.tokens * characters_per_token(self.box)

    @property
    def epochs(self) -> float:
        """How often they read the training text."""
        return self.tokens / training_tokens(self.box)


def decide(options: argparse.Namespace, folder: Path, default: str) -> None:
    """Train on every token box of the folder, print both tables and the comparisons."""
    boxes = open_boxes(folder)
    shape, train = recipe(options.size, next(iter(boxes.values())))
    tokens = options.tokens or min(map(training_tokens, boxes.values()))
    steps = {
        equal: counts
        for equal, counts in plan(boxes, tokens // train.tokens_per_step).items()
        if options.characters_too or equal == FLOPS
    }
    fewest = min(min(counts.values()) for counts in steps.values())
    if fewest <= train.schedule.warmup_steps:
        raise SystemExit(
            f"{fewest} steps are too few: {train.schedule.warmup_steps} are warm-up; more --tokens"
        )
    device = DEVICES[options.device]
    precision = probe_precision(device)
    print(machine(["torch", "numpy", "tsuzuri"]), device.name(), precision, flush=True)
    sums = {option: box_sha256(folder / option) for option in boxes}
    runs = {
        (equal, option, seed): Run(option, sums[option], options.size, precision, count, seed)
        for seed in options.seeds
        for equal, counts in steps.items()
        for option, count in counts.items()
    }
    results = options.results or folder.parent / "decide.jsonl"
    bits = train_all(runs.values(), results, partial(train_once, folder, options.device), options.workers)
    lines: list[Comparison] = []
    for equal, counts in steps.items():
        scores = [
            Score(
                option,
                boxes[option],
                count * train.tokens_per_step,
                [bits[runs[equal, option, seed]] for seed in options.seeds],
            )
            for option, count in counts.items()
        ]
        scores.sort(key=Score.mean)
        show(equal, scores, shape)
        lines += comparisons(equal, scores, default)
    emit(lines)


def open_boxes(folder: Path) -> dict[str, TokenBox]:
    """option → token box; stops where they do not hold the same text in vocabularies of one size."""
    boxes = {path.parent.name: TokenBox.open(path.parent) for path in sorted(folder.glob("*/manifest.json"))}
    if len(boxes) < 2:
        raise SystemExit(f"{folder} holds no token boxes to compare: make them with --pack")
    contents = {
        (box.vocab_size, read_manifest(box.path, "tokens").inputs["documents"]["sha256"])
        for box in boxes.values()
    }
    if len(contents) > 1:
        raise SystemExit(f"the token boxes of {folder} differ in their text or in the size of the vocabulary")
    return boxes


def training_tokens(box: TokenBox) -> int:
    """Of all sources."""
    return sum(counts["train_tokens"] for counts in box.counts.values())


def characters_per_token(box: TokenBox) -> float:
    """Of the training text, the tokens that close documents counted."""
    return sum(counts["train_characters"] for counts in box.counts.values()) / training_tokens(box)


def recipe(size: str, box: TokenBox, steps: int = TrainConfig().steps) -> tuple[ModelConfig, TrainConfig]:
    """The shape of a model of the box's vocabulary, and how it is trained."""
    shape = model_config(size, vocab_size=box.vocab_size)
    length = min(TrainConfig().sequence_length, shape.max_position_embeddings)
    return shape, TrainConfig(steps=steps, sequence_length=length)


def plan(boxes: Mapping[str, TokenBox], steps: int) -> dict[str, dict[str, int]]:
    """What is equal → option → steps, where `steps` are those of equal FLOPs."""
    worth = {option: characters_per_token(box) for option, box in boxes.items()}
    least = min(worth.values())
    return {
        FLOPS: dict.fromkeys(boxes, steps),
        CHARACTERS: {option: round(steps * least / worth[option]) for option in boxes},
    }


def train_all(
    runs: Iterable[Run], results: Path, train: Callable[[Run], Bits], workers: int
) -> dict[Run, Bits]:
    """The scores of all runs: those in the results file, and the others trained, a new line for each."""
    found = {Run(**line["run"]): line["bits"] for line in read_json_lines(results)}
    waiting = [run for run in dict.fromkeys(runs) if run not in found]
    for run, bits in zip(waiting, in_order(train, waiting, workers), strict=True):
        found[run] = bits
        append_json_line(results, {"run": asdict(run), "bits": bits})
        print(f"{bits['all']:.4f}  {run.option}, seed {run.seed}, {run.steps} steps", flush=True)
    return found


def in_order(train: Callable[[Run], Bits], runs: Sequence[Run], workers: int) -> Iterator[Bits]:
    """The scores of the runs, as many trained at once as there are workers."""
    if workers == 1:
        yield from map(train, runs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=use_one_thread) as pool:
        yield from pool.map(train, runs)


def use_one_thread() -> None:
    """Leave the other cores to the other workers."""
    torch.set_num_threads(1)


def train_once(folder: Path, device: str, run: Run) -> Bits:
    """Held-out bits per character of one model."""
    box = TokenBox.open(folder / run.option, verify=False)  # `open_boxes` has verified it
    shape, train = recipe(run.size, box, run.steps)
    setting = Setting(box, shape, train, DEVICES[device], getattr(torch, run.precision))
    side = ours(setting, run.seed)
    race([side], setting, run.seed, run.steps)
    return setting.bits_by_source(side.model())


def show(equal: str, scores: Sequence[Score], shape: ModelConfig) -> None:
    """Print the table of what is equal, the best option first."""
    flops = 6 * shape.num_matrix_parameters
    table = Table(title=f"{equal}: held-out bits per character, mean of {len(scores[0].bits)} seeds")
    table.add_column("option")
    for name in ("chars/token", "tokens", "FLOPs", "characters", "times", *scores[0].bits[0]):
        table.add_column(name, justify="right")
    table.add_column("by seed")
    for score in scores:
        table.add_row(
            score.option,
            f"{characters_per_token(score.box):.3f}",
            f"{score.tokens:,}",
            f"{flops * score.tokens:.2e}",
            f"{score.characters:,.0f}",
            f"{score.epochs:.2f}",
            *(f"{score.mean(source):.4f}" for source in score.bits[0]),
            " ".join(f"{bits['all']:.4f}" for bits in score.bits),
        )
    Console(width=140).print(table)


def comparisons(equal: str, scores: Sequence[Score], default: str) -> Iterator[Comparison]:
    """The best option against each other one, and the default against the best other one by source.

    `scores` has the best first.
    """
    best, *others = scores
    for other in others:
        yield compare(equal, best, other, "all")
    rival = others[0] if best.option == default else best
    for own in scores:
        if own.option == default:
            for source in own.bits[0]:
                yield compare(f"{equal}, the default", own, rival, source)


def compare(name: str, own: Score, peer: Score, source: str) -> Comparison:
    """A line that is above 1 where `own` needs fewer bits than `peer`."""
    return Comparison(
        f"tokenizer deciding row, {name}: {own.option} against {peer.option}, {source}",
        round(peer.mean(source) / own.mean(source), 4),
        round(own.mean(source), 4),
        round(peer.mean(source), 4),
        "bits/character",
    )
