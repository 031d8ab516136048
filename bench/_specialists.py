"""What the benches of specialists share: how they are made, and how likely held-out passages are to each.

A passage is the beginning of a held-out document, in two parts: `before`, of which a router may see the
first characters, and `rest`, which alone is scored. Every model reads the same ids (they share one
tokenizer), `before` and `rest` encoded apart, as a prompt and its answer are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tsuzuri.chain.specialize import Folders
from tsuzuri.chain.stages import make_run, watch_of
from tsuzuri.core.manifest import read_manifest
from tsuzuri.data.box import TokenBox
from tsuzuri.generation.language_model import LanguageModel
from tsuzuri.generation.score import token_log_probabilities
from tsuzuri.recipe import Recipe
from tsuzuri.specialists.recipe import GENERALIST, SEED
from tsuzuri.tokenizer.codec import Tokenizer

DENSE = "dense"
Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Passage:
    """A part of a held-out document."""

    domain: str
    before: str
    rest: str


@dataclass(frozen=True)
class Read:
    """What models make of a passage: log p (nats) of each token, (models, tokens), of both parts."""

    before: Array
    rest: Array


def passages(
    box: TokenBox, tokenizer: Tokenizer, *, before: int, rest: int, most: int, half: int
) -> list[Passage]:
    """Of each domain's held-out documents every second one (`half` is 0 or 1), long enough, cut in passages.

    The first of each document come first; documents of one half are never in the other.
    """
    found = []
    for domain in box.sources:
        documents = [tokenizer.decode(one[:-1].tolist()) for one in box.shard("heldout", domain)][half::2]
        own = list(_cut(domain, documents, before, rest))
        found += own[:most]
    return found


def _cut(domain: str, documents: Sequence[str], before: int, rest: int) -> Iterator[Passage]:
    size = before + rest
    for start in range(0, max(map(len, documents), default=0), size):
        for text in documents:
            part = text[start : start + size]
            if len(part) >= before + rest // 2 and part[:before].strip():
                yield Passage(domain, part[:before], part[before:])


def read_passages(models: Sequence[Path], texts: Sequence[Passage]) -> list[Read]:
    """What each model makes of each passage; the opening piece is read first."""
    tokenizer = Tokenizer.load(models[0])
    befores = tokenizer.encode_batch([text.before for text in texts])
    rests = tokenizer.encode_batch([text.rest for text in texts])
    ids = [[tokenizer.eos_id, *one, *other] for one, other in zip(befores, rests, strict=True)]
    found = []
    for path in models:
        model = LanguageModel.load(path)
        found.append(token_log_probabilities(model.model, ids, dtype=model.dtype))
    columns = [np.array(values) for values in zip(*found, strict=True)]
    cuts = [len(part) for part in befores]
    return [Read(one[:, :cut], one[:, cut:]) for one, cut in zip(columns, cuts, strict=True)]


def make_dense(recipe: Recipe, out: Path) -> Path:
    """The run of one model of the same shape on the same data, of as many steps as all others together.

    Its checkpoints after each twelfth of them are kept.
    """
    folders, box = Folders(out), out / DENSE
    data = folders.data
    steps = total_steps(out)
    train = recipe.train.model_copy(update={"steps": steps, "milestone_every": max(1, steps // 12)})
    changed = recipe.model_copy(update={"train": train})
    make_run(changed, data["tokens"], data["tokenizer"], box, (), watch_of(lambda: box, 0))
    return box


def total_steps(out: Path) -> int:
    """Steps of the seed and of all its branches."""
    runs = [out / SEED, *(path / "run" for path in sorted((out / "models").iterdir()))]
    return sum(int(read_manifest(run, "run").counts["steps"]) for run in runs)


def model_paths(names: Sequence[str], out: Path) -> dict[str, Path]:
    """name → folder of weights, of every specialist, the generalist, the seed and the dense model."""
    folders = Folders(out)
    own = {name: folders.boxes(name)["run"] / "model" for name in (*names, GENERALIST)}
    return {**own, SEED: folders.seed / "model", DENSE: out / DENSE / "model"}


def mixed(read: Read, members: Sequence[int], prior: Array, *, temperature: float = 1.0) -> float:
    """Bits of a passage's rest by a mixture of `members` (ELMforest, F1): each weighs as much as it has
    foreseen what came before.

        w_j ∝ prior_j · Π p_j(before)^(1 / temperature);  p(x) = Σ w_j p_j(x)
    """
    rest = read.rest[list(members)]
    gone = np.cumsum(rest, axis=1) - rest  # of each token what its own text before it adds
    weights = np.log(prior)[:, None] + (read.before[list(members)].sum(1)[:, None] + gone) / temperature
    weights -= np.logaddexp.reduce(weights, axis=0)
    return float(-np.logaddexp.reduce(weights + rest, axis=0).sum() / np.log(2))
