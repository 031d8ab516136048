"""Runs of a tiny model on made-up tokens, small enough to be made dozens of times in a test."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from token_boxes import write_token_box
from tsuzuri.core.boxes import SAMPLES
from tsuzuri.core.config import apply_overrides, parse_config
from tsuzuri.core.files import sha256_file, write_text
from tsuzuri.core.manifest import UNHASHED, Manifest, make_box
from tsuzuri.data.box import TokenBox
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.training.branch import Branch
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.hooks import Hook
from tsuzuri.training.loop import train
from tsuzuri.training.watch import Watch

VOCABULARY = 64
MODEL = ModelConfig(
    vocab_size=VOCABULARY,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=8,
    max_position_embeddings=32,
)
TRAIN = {
    "steps": 6,
    "batch_rows": 4,
    "micro_batch_rows": 2,
    "sequence_length": 16,
    "schedule": {"warmup_steps": 1},
    "device": "cpu",
    "precision": "float32",
    "compile": "never",
    "checkpoint_every": 2,
}
ODD = [[*((7 * place * place + 3 * place + 11) % 63 + 1 for place in range(48)), 0]]
"""A document unlike the others, which say a few words again and again: a loss that is a spike."""
GUARDED = (
    "steps=40",
    "optimizer.learning_rate=0.02",
    "checkpoint_every=5",
    "guard.window=8",
    "guard.deviations=4",
)
"""Of a run that compares its steps closely with those before: of the odd document, two are spikes."""


def at_step(number: int, action: Callable[[GPT], object]) -> Hook:
    """A hook that does something with the model after one step, the first time it comes there."""
    calls = 0

    def hook(model: GPT, dtype: torch.dtype) -> int:
        nonlocal calls
        calls += 1
        if calls == number:
            action(model)
        return 1

    return Hook("action", 1, hook)


def train_config(*overrides: str) -> TrainConfig:
    """The configuration of a tiny run with some "key=value" changed."""
    return parse_config(TrainConfig, apply_overrides(TRAIN, overrides), where="test")


def write_inputs(
    folder: Path, *, seed: int = 1, vocab_size: int = VOCABULARY, odd: Sequence[Sequence[int]] = ()
) -> Path:
    """`folder`, holding a tokens box of random documents that repeat themselves, and a tokenizer box.

    The source `b` ends with the documents that are `odd`.
    """

    def write_tokenizer() -> dict[str, Any]:
        write_text(folder / "tokenizer" / "tokenizer.json", json.dumps({"seed": seed}))
        write_text(folder / "tokenizer" / "tokenizer_config.json", "{}")
        return {}

    make_box(folder / "tokenizer", kind="tokenizer", config={"seed": seed}, inputs={}, work=write_tokenizer)
    write_token_box(
        folder / "tokens",
        {"a": documents(seed, vocab_size), "b": [*documents(seed + 1, vocab_size), *odd]},
        vocab_size=vocab_size,
        tokenizer_sha256=sha256_file(folder / "tokenizer" / "tokenizer.json"),
    )
    return folder


def documents(seed: int, vocab_size: int) -> list[list[int]]:
    """A hundred documents of a few words said again and again: something to learn."""
    draw = random.Random(seed)
    words = [[draw.randrange(1, vocab_size) for _ in range(3)] for _ in range(8)]
    return [[*chain(*draw.choices(words, k=draw.randrange(2, 9))), 0] for _ in range(100)]


def run(
    inputs: Path,
    box: Path,
    *overrides: str,
    model: ModelConfig = MODEL,
    hooks: Sequence[Hook] | None = None,
    evaluate: Mapping[str, Any] | None = None,
    amend: Sequence[str] = (),
    watch: Watch = Watch(),  # noqa: B008 (frozen)
    branch: Branch | None = None,
) -> Manifest:
    """Train a tiny model; `overrides` are "key=value" of the train section."""
    return train(
        model=model,
        config=train_config(*overrides),
        tokens=inputs / "tokens",
        tokenizer=inputs / "tokenizer",
        box=box,
        hooks=lambda config, evaluate: HOOKS if hooks is None else hooks,
        evaluate=evaluate,
        amend=amend,
        watch=watch,
        branch=branch,
    )


def _score(model: GPT, dtype: torch.dtype) -> dict[str, float]:
    return {"sum": sum(float(parameter.detach().double().sum()) for parameter in model.parameters())}


def _write(model: GPT, dtype: torch.dtype) -> list[dict[str, str]]:
    with torch.inference_mode():
        hidden = model(torch.arange(8)[None].to(model.head.device), dtype=dtype)
        tokens = (hidden @ model.head.to(dtype).T).argmax(-1)[0].tolist()
    return [{"prompt": "い", "text": "ろは"[tokens[-1] % 2] * (tokens[0] + 1)}]


HOOKS = (Hook("heldout", 3, _score), Hook("samples", 0, _write, log=SAMPLES))


def contents(box: Path) -> dict[str, bytes]:
    """The bytes of every file of a run that is to be the same however often it was killed.

    Beside what the manifest lists, the newest checkpoint: momenta and all.
    """
    files = [path for path in box.rglob("*") if path.is_file()]
    hashed = [path for path in files if path.relative_to(box).parts[0] not in UNHASHED]
    newest = sorted((box / "checkpoints").glob("step-*"))[-1]
    return {str(path.relative_to(box)): path.read_bytes() for path in (*hashed, *newest.glob("*.distcp"))}


def lines(box: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """The lines of a log of a run."""
    return [json.loads(line) for line in (box / name).read_text(encoding="utf-8").splitlines()]


def losses(box: Path) -> list[float]:
    """The losses of a run, step by step."""
    return [line["loss"] for line in lines(box) if "loss" in line]


def open_tokens(inputs: Path) -> TokenBox:
    """The tokens box in `inputs`."""
    return TokenBox.open(inputs / "tokens", verify=False)


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    """Within it, whatever would wait for the card is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the mode itself, that it is new
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
