"""What many small specialists gain over one model: bits per character at equal computation.

    python bench/specialists_quality.py --set corpus.root=../shared/data [--out out/specialists-quality]
        [--recipe recipes/specialists-general.yaml] [--steps 600] [--data DIR] [--set KEY=VALUE]

Trained are, from one recipe: a seed, a specialist of each domain and a generalist that branch from it, and
one dense model of the same shape, on the same data, for as many steps as all of those together. So training
costs the same on both sides; and so does an answer, where one specialist writes it: the active parameters are
the same, and the router's n-grams cost microseconds. Runs are boxes: what was trained is not trained again,
and the same command goes on where it was stopped.

Scored are passages from every second held-out document of each domain: `--before` characters are given (the
router sees the first `--prefix` of them and nothing else), then comes the rest, whose bits per character
count. The router learns from training documents; it is calibrated, and told what each specialist saves on
each domain, by the other held-out documents. Modes:

    route          the router's choice alone (by n-grams of characters)
    likelihood     whoever finds what is given likeliest (SmallTalk LM with specialists as routers: N reads)
    mix of N, of 2 every token from all, or from the two likeliest, by what they foresaw (ELMforest): N, or
                   2 times the computation of an answer
    domain         whoever was trained on the domain that the passage is of: a perfect classifier
    oracle         the best for each passage, known afterwards: no router does better
    generalist, best single, random, shuffled: what routers that know nothing have

`rerank` chooses among written answers and has no bits. Intervals: 95 %, paired bootstrap over passages.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from _report import Comparison, emit, machine
from _specialists import (
    DENSE,
    Array,
    Passage,
    Read,
    make_dense,
    mixed,
    model_paths,
    passages,
    read_passages,
    total_steps,
)
from tsuzuri.chain.build import link_boxes
from tsuzuri.chain.domains import domain_names
from tsuzuri.chain.specialize import Folders, train_specialists
from tsuzuri.data.box import TokenBox
from tsuzuri.data.domains import texts_of
from tsuzuri.recipe import Recipe, load_recipe
from tsuzuri.report.boxes import boxes_of
from tsuzuri.specialists.messages import Scored
from tsuzuri.specialists.recipe import GENERALIST, SEED
from tsuzuri.specialists.routing.base import RouterConfig
from tsuzuri.specialists.routing.calibration import prior_of
from tsuzuri.specialists.routing.measures import Routed, worth
from tsuzuri.specialists.routing.trained import load_router, train_router
from tsuzuri.tokenizer.codec import Tokenizer

RESAMPLES = 2000


@dataclass(frozen=True)
class Bench:
    """Models, and what they make of the passages."""

    names: list[str]
    """Of domains and their specialists."""
    models: list[str]
    """Rows of what was read: specialists, generalist, seed, dense."""
    texts: list[Passage]
    reads: list[Read]

    @property
    def pool(self) -> list[int]:
        """Places of those that a router has: specialists and the generalist."""
        return [self.models.index(name) for name in (*self.names, GENERALIST)]

    def bits(self, choose: Callable[[int], int]) -> Array:
        """(passages,) of the rest, each by the model at the place that is chosen for it."""
        return np.array([-read.rest[choose(n)].sum() / np.log(2) for n, read in enumerate(self.reads)])

    @property
    def characters(self) -> Array:
        """(passages,) of the rest."""
        return np.array([len(text.rest) for text in self.texts], np.float64)


def route(bench: Bench, folder: Path, prefix: int) -> tuple[list[str], list[dict[str, float]]]:
    """The router's choice for each passage by its first characters, and its posterior."""
    router = load_router(RouterConfig(path=folder, prefix_characters=prefix), Nobody())
    pool = (*bench.names, GENERALIST)

    async def choose() -> list[tuple[str, dict[str, float]]]:
        found = [await router.choose(text.before[:prefix], pool) for text in bench.texts]
        return [(choice.specialist, dict(choice.posterior)) for choice in found]

    chosen = asyncio.run(choose())
    return [name for name, _ in chosen], [shares for _, shares in chosen]


class Nobody:
    """Specialists, whom n-grams do not ask."""

    async def score(self, specialist: str, texts: Sequence[str], befores: Sequence[str] = ()) -> Scored:
        """Never called."""
        raise AssertionError(specialist)


def teach(recipe: Recipe, names: Sequence[str], out: Path, options: argparse.Namespace) -> Path:
    """The folder of a router that has seen nothing of the documents that are scored."""
    folders = Folders(out)
    box, codec = TokenBox.open(folders.domains, verify=False), Tokenizer.load(folders.data["tokenizer"])
    others = passages(box, codec, before=options.before, rest=options.rest, most=options.passages, half=1)
    paths = [folders.boxes(name)["run"] / "model" for name in (*names, GENERALIST)]
    reads = Bench(list(names), [*names, GENERALIST], others, read_passages(paths, others))
    own = np.array([text.domain for text in others])

    def bits(model: int, domain: str) -> float:
        rows = own == domain
        return float(reads.bits(lambda n: model)[rows].sum() / reads.characters[rows].sum())

    gains = {
        name: {domain: bits(len(names), domain) - bits(number, domain) for domain in names}
        for number, name in enumerate(names)
    }
    most, folder = recipe.specialists.router_characters, out / "bench-router"
    shutil.rmtree(folder, ignore_errors=True)  # it takes seconds, and other options make another
    train_router(
        folder,
        {name: partial(texts_of, box, "train", name, codec, most) for name in names},
        {name: [text.before + text.rest for text in others if text.domain == name] for name in names},
        gains=gains,
        inputs={"tokens": folders.domains},
    )
    return folder


def measure(bench: Bench, folder: Path, options: argparse.Namespace) -> dict[str, Array]:
    """(passages,) bits of every way to answer, by its name."""
    place = {name: number for number, name in enumerate(bench.models)}
    found = {"dense, equal training": bench.bits(lambda n: place[DENSE])}
    for prefix in options.prefix:
        chosen, posteriors = route(bench, folder, prefix)
        own = bench.bits(lambda n, chosen=chosen: place[chosen[n]])  # type: ignore[misc]
        found[f"route, {prefix} characters"] = own
        show_worth(bench, chosen, prefix)
    pool = bench.pool
    counted = [read.before[pool].sum(1) for read in bench.reads]
    found["likelihood of all before"] = bench.bits(lambda n: pool[int(counted[n].argmax())])
    prior = prior_of(posteriors)
    weights = np.array([prior.get(name, 0.02) for name in (*bench.names, GENERALIST)])
    weights /= weights.sum()
    found[f"mix of {len(pool)}"] = np.array([mixed(read, pool, weights) for read in bench.reads])
    found["mix of 2"] = np.array([mixed(read, *best_two(read, pool, weights)) for read in bench.reads])
    domain = [place[text.domain] for text in bench.texts]
    found["domain known"] = bench.bits(lambda n: domain[n])
    found["oracle"] = np.min([bench.bits(lambda n, m=m: m) for m in pool], axis=0)  # type: ignore[misc]
    found["generalist"] = bench.bits(lambda n: place[GENERALIST])
    found["seed"] = bench.bits(lambda n: place[SEED])
    return found


def best_two(read: Read, pool: Sequence[int], prior: Array) -> tuple[list[int], Array]:
    """The two of the pool that have foreseen best what came before, with their prior."""
    order = np.argsort(-(np.log(prior) + read.before[list(pool)].sum(1)))[:2]
    return [pool[int(number)] for number in order], prior[order] / prior[order].sum()


def show_worth(bench: Bench, chosen: Sequence[str], prefix: int) -> None:
    """A line on the router: where it stands between knowing nothing and all."""
    pool = (*bench.names, GENERALIST)
    rows = [bench.models.index(name) for name in pool]
    routed = [
        Routed(
            text.domain,
            name,
            {one: float(-read.rest[row].sum() / np.log(2)) for one, row in zip(pool, rows, strict=True)},
            len(text.rest),
        )
        for text, name, read in zip(bench.texts, chosen, bench.reads, strict=True)
    ]
    found = worth(routed, GENERALIST)
    print(
        f"router by {prefix:3} characters: {found.router:.3f}; generalist {found.generalist:.3f}, best of "
        f"one {found.best_single:.3f}, random {found.random:.3f}, shuffled {found.shuffled:.3f}, oracle "
        f"{found.oracle:.3f}; accuracy {found.accuracy:.1%}, PGR {found.gap_recovered:.2f}"
    )


def show(bench: Bench, found: Mapping[str, Array]) -> None:
    """The table: bits per character by domain and over all, and the ratio to the dense model."""
    table = Table("bits per character", *bench.names, "all", "dense / it (95 %)")
    own = np.array([text.domain for text in bench.texts])
    baseline = found["dense, equal training"]
    for name, bits in found.items():
        columns = [*(own == domain for domain in bench.names), np.ones(len(own), bool)]
        values = [bits[rows].sum() / bench.characters[rows].sum() for rows in columns]
        low, high = interval(baseline, bits, own)
        ratio = f"{baseline.sum() / bits.sum():.4f} ({low:.4f} to {high:.4f})"
        table.add_row(name, *(f"{value:.3f}" for value in values), ratio)
    Console(width=200).print(table)


def interval(baseline: Array, bits: Array, domains: Sequence[str] | np.ndarray) -> tuple[float, float]:
    """95 % of the ratio of sums, passages drawn again within each domain."""
    generator = np.random.default_rng(0)
    sums = np.zeros((2, RESAMPLES))
    for domain in sorted(set(domains)):
        rows = np.flatnonzero(np.asarray(domains) == domain)
        drawn = rows[generator.integers(len(rows), size=(RESAMPLES, len(rows)))]
        sums += np.array([baseline[drawn].sum(1), bits[drawn].sum(1)])
    low, high = np.quantile(sums[0] / sums[1], [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Train what is missing, score, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    recipes = Path(__file__).parents[1] / "recipes"
    parser.add_argument("--recipe", type=Path, default=recipes / "specialists-general.yaml")
    parser.add_argument("--out", type=Path, default=Path("out/specialists-quality"))
    parser.add_argument("--data", type=Path, help="documents, tokenizer and tokens of another such folder")
    parser.add_argument("--steps", type=int, default=600, help="of all models of a side together")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--before", type=int, default=128, help="characters given before what is scored")
    parser.add_argument("--rest", type=int, default=256, help="characters scored of a passage")
    parser.add_argument("--passages", type=int, default=100, help="of each domain")
    parser.add_argument("--prefix", type=int, nargs="+", default=[32, 64, 128])
    options = parser.parse_args()
    if max(options.prefix) > options.before:
        parser.error("--prefix: a router sees nothing of what is scored, so at most --before characters")
    overrides = [f"train.steps={options.steps}", *options.overrides]
    recipe, out = load_recipe(options.recipe, overrides), options.out
    print(machine(("torch", "numpy", "tsuzuri")), f"{torch.get_num_threads()} threads", flush=True)
    if options.data:
        link_boxes(boxes_of(options.data), boxes_of(out))
    for line in train_specialists(options.recipe, out, overrides):
        print(line, flush=True)
    make_dense(recipe, out)
    names, paths = domain_names(recipe), model_paths(domain_names(recipe), out)
    box = TokenBox.open(Folders(out).domains, verify=False)
    codec = Tokenizer.load(Folders(out).data["tokenizer"])
    texts = passages(box, codec, before=options.before, rest=options.rest, most=options.passages, half=0)
    bench = Bench(names, list(paths), texts, read_passages(list(paths.values()), texts))
    tokens = total_steps(out) * recipe.train.tokens_per_step
    print(f"{tokens:,} tokens of training on each side; {len(texts)} passages", flush=True)
    found = measure(bench, teach(recipe, names, out, options), options)
    show(bench, found)
    means = {name: bits.sum() / bench.characters.sum() for name, bits in found.items()}
    dense = means["dense, equal training"]
    emit(
        Comparison(f"specialists: {name}", dense / mean, mean, dense, "bits/character")
        for name, mean in means.items()
        if not name.startswith("dense")
    )


if __name__ == "__main__":
    main()
