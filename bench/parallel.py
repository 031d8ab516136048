"""One process against ranks that share its work: the same losses, and the same run after a resume.

    python bench/parallel.py [--modes FSDP2 "FSDP2 × tensor"] [--settings "qwen3, AdamW"] [--compile]
                             [--device cuda]

Real ranks in float32, over gloo on the CPU or on a GPU each. Each makes five steps of a small model on
packed documents, with rows of unequal numbers of targets and two micro-batches a rank, then evaluates. Prints
a table of the largest differences of a loss (nats a token) from those of one process, and whether steps four
and five are bitwise the same after a checkpoint was read back; then JSON lines, whose ratio is the bound of
1e-6 over the difference, or 1 for an equal resume. The worst come last.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from _ranks import in_ranks
from _report import Comparison, emit, machine
from tsuzuri.core.config import apply_overrides, parse_config
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.loss import IGNORE, token_losses
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.devices import DEVICES
from tsuzuri.training.layout import Layout, layout
from tsuzuri.training.parallelize import new_model
from tsuzuri.training.ranks import ranks
from tsuzuri.training.saving import Checkpoints
from tsuzuri.training.step import Trainer
from tsuzuri.training.whole import readable

STEPS, SAVED = 5, 3
BOUND = 1e-6
ROWS, LENGTH, VOCABULARY, EOS = 8, 16, 64, 0

QWEN3 = ModelConfig(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=LENGTH,
)
GPT2 = QWEN3.model_copy(update={"model_type": "gpt2", "num_key_value_heads": 4, "tie_word_embeddings": False})
CONFIG = {
    "steps": 10,
    "batch_rows": ROWS,
    "micro_batch_rows": ROWS,
    "sequence_length": LENGTH,
    "schedule": {"warmup_steps": 1},
    "precision": "float32",
}
SETTINGS: dict[str, tuple[ModelConfig, tuple[str, ...]]] = {
    "qwen3, AdamW": (QWEN3, ("optimizer.kind=adamw",)),
    "qwen3, Muon": (QWEN3, ()),
    "gpt2, Muon": (GPT2, ()),
    "qwen3, Muon, recompute": (QWEN3, ("parallel.recompute=blocks",)),
}
MODES: dict[str, tuple[int, tuple[str, ...]]] = {
    "DDP": (2, ()),
    "FSDP2": (2, ("parallel.shard=2",)),
    "tensor": (2, ("parallel.tensor=2",)),
    "FSDP2 × tensor": (4, ("parallel.shard=2", "parallel.tensor=2")),
    "replicas × FSDP2": (4, ("parallel.shard=2",)),
    "replicas × tensor": (4, ("parallel.tensor=2",)),
    "FSDP2 of 4": (4, ("parallel.shard=4",)),
}
"""name → ranks, and what differs in the recipe."""


@dataclass(frozen=True)
class Found:
    """What one rank found in one setting."""

    losses: tuple[float, ...]
    """Of the steps, then that of an evaluation."""
    resumed: tuple[float, ...]
    """Of the steps after the checkpoint, made once more."""

    @property
    def is_resumed(self) -> bool:
        """Whether the steps after a checkpoint were bitwise the same again."""
        return self.resumed == self.losses[SAVED:STEPS]


def batch(step: int) -> Tensor:
    """(ROWS, LENGTH + 1) tokens of a step: short documents, and rows of which the end is padding."""
    generator = torch.Generator().manual_seed(step)
    rows = torch.randint(0, VOCABULARY // 8, (ROWS, LENGTH + 1), generator=generator)
    rows[0, 9:] = rows[ROWS - 1, 4:] = IGNORE
    return rows


def found(options: argparse.Namespace, overrides: tuple[str, ...], folder: Path) -> list[Found]:
    """What this rank finds in every setting that is asked for."""
    with ranks() as all_ranks:
        all_ranks.join(DEVICES[options.device])
        results = []
        for place, name in enumerate(options.settings):
            shape, own = SETTINGS[name]
            compiled = f"compile={'always' if options.compile else 'never'}"
            values = apply_overrides(CONFIG, (*own, *overrides, compiled, f"device={options.device}"))
            config = parse_config(TrainConfig, values, where="bench")
            stands = layout(config, shape, options.device, rank=all_ranks.rank, world=all_ranks.world)
            results.append(_found(shape, config, stands, folder / str(place)))
        return results


def _found(shape: ModelConfig, config: TrainConfig, place: Layout, folder: Path) -> Found:
    config = config.model_copy(update={"micro_batch_rows": ROWS // place.data_ranks // 2})  # two a rank
    trainer, checkpoints = _made(shape, config, place, folder)
    losses = list(_losses(trainer, range(SAVED)))
    checkpoints.save(SAVED)
    checkpoints.wait()
    losses += _losses(trainer, range(SAVED, STEPS))
    with readable(trainer.model, torch.float32) as model, torch.no_grad():
        rows = batch(STEPS).clamp(min=0).to(config.device)
        hidden = model(rows[:, :-1]).flatten(0, 1)
        losses.append(token_losses(hidden, model.head, rows[:, 1:].flatten()).mean().item())
    trainer, checkpoints = _made(shape, config, place, folder)
    assert checkpoints.load_newest() == SAVED
    return Found(tuple(losses), tuple(_losses(trainer, range(SAVED, STEPS))))


def _made(
    shape: ModelConfig, config: TrainConfig, place: Layout, folder: Path
) -> tuple[Trainer, Checkpoints]:
    model = new_model(shape, place, config.device, config.seed)
    trainer = Trainer(
        model,
        config,
        DEVICES[config.device],
        dtype=torch.float32,
        compiled=config.compile == "always",
        layout=place,
    )
    return trainer, Checkpoints(folder, trainer.update.state(), keep=1)


def _losses(trainer: Trainer, steps: range) -> Iterator[float]:
    own = ROWS // trainer.layout.data_ranks
    first = trainer.layout.data_rank * own
    for step in steps:
        yield trainer.step(step, batch(step)[first : first + own], EOS)["loss"].item()


def largest_difference(results: list[Found], alone: Found) -> float:
    """Of a loss on any rank from that of one process."""
    return max(
        abs(loss - expected)
        for result in results
        for loss, expected in zip(result.losses, alone.losses, strict=True)
    )


def compare(options: argparse.Namespace) -> Iterator[Comparison]:
    """A line of the table for each mode and setting, and what of it goes into the report."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (alone,) = in_ranks(1, partial(found, options, (), path / "alone"))
        print(f"{'mode':20}{'ranks':>6}  {'setting':24}{'largest difference':>20}  resumed")
        for name in options.modes:
            world, overrides = MODES[name]
            every_rank = in_ranks(world, partial(found, options, overrides, path / name), timeout_s=600)
            if any(isinstance(of_rank, int) for of_rank in every_rank):
                raise SystemExit(f"{name}: ranks ended with {every_rank}")
            for place, setting in enumerate(options.settings):
                results = [of_rank[place] for of_rank in every_rank]
                difference = largest_difference(results, alone[place])
                resumed = all(result.is_resumed for result in results)
                way = "equal" if resumed else "DIFFERENT"
                print(f"{name:20}{world:6}  {setting:24}{difference:20.1e}  {way}", flush=True)
                what = f"{name}, {world} ranks, {setting}"
                bound = BOUND / max(difference, 1e-9)
                yield Comparison(f"losses: {what}", bound, difference, BOUND, "nats a token")
                yield Comparison(f"resume: {what}", float(resumed), float(resumed), 1.0, "bitwise equal")


def main() -> None:
    """Print the table, then the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--compile", action="store_true", help="compile the blocks, alone and in ranks")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine(["torch"]))
    emit(list(compare(options)))


if __name__ == "__main__":
    main()
