"""A router's folder: what learns from the domains' texts, and opens it again. Imports no torch.

    FOLDER/ngrams/<specialist>.npz     a model of characters for each domain, or
    FOLDER/clusters.npz                clusters
    FOLDER/router.json                 the method, whose each cluster is, the calibration
    FOLDER/manifest.json

Which method: of beginnings of, and passages in, held-out texts of five kinds of Japanese text (Aozora Bunko,
Wikipedia, news, dialogue, manuals), those that come to their domain's specialist, before calibration:

    characters    16     32     64    128    256    256, time
    ngrams      0.951  0.977  0.984  0.992  0.996    0.9 ms
    clusters    0.824  0.910  0.950  0.970  0.986    0.3 ms

N-grams also learn each domain without the others. They are the default; clusters are for domains that nobody
named.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tsuzuri.core.errors import InputError, IntegrityError, RecipeError
from tsuzuri.core.files import write_json
from tsuzuri.core.manifest import Manifest, make_box
from tsuzuri.serving.config import ModelConfig
from tsuzuri.serving.loading import load
from tsuzuri.specialists.routing.base import Router, RouterConfig
from tsuzuri.specialists.routing.calibration import LENGTHS, Calibration, Evidence, calibrate
from tsuzuri.specialists.routing.choosing import EvidenceRouter
from tsuzuri.specialists.routing.clusters import Clusters, mean_clusters
from tsuzuri.specialists.routing.ngrams import MOST_CHARACTERS, NGramModel, train_ngrams
from tsuzuri.specialists.routing.prefix import Asked, Judge, Likelihoods, Nearest, NGrams, SmallModels

ROUTER = "router.json"
CLUSTERS = "clusters.npz"
NGRAMS = "ngrams"
PASSAGES = 4096
"""That centroids of known domains are the mean of."""
PASSAGE_CHARACTERS = 256


def train_router(
    folder: Path,
    domains: Mapping[str, Callable[[], Iterable[str]]],
    heldout: Mapping[str, Iterable[str]],
    *,
    method: Literal["ngrams", "clusters"] = "ngrams",
    clusters: tuple[Clusters, Sequence[str]] | None = None,
    gains: Mapping[str, Mapping[str, float]] | None = None,
    most_characters: int = MOST_CHARACTERS,
    inputs: Mapping[str, Path] | None = None,
    seed: int = 0,
) -> Manifest:
    """Learn who answers what, by domain (the name of its specialist) → texts, into a folder.

    `heldout` are other texts of the same domains, at best a few hundred each, on which it is calibrated.
    `clusters`, where domains were found by them, with the specialist of each. `gains`: see `Calibration`.
    `inputs`: the boxes that the texts come from, for the manifest. What is complete is not done again.
    """
    config = {
        "method": method,
        "domains": sorted(domains),
        "characters": most_characters,
        "gains": {name: dict(values) for name, values in (gains or {}).items()},
        "seed": seed,
    }

    def work() -> dict[str, Any]:
        names: list[str] = []
        judge: Judge
        if method == "ngrams":
            models = {}
            for name, texts in sorted(domains.items()):
                models[name] = train_ngrams(texts(), most_characters=most_characters)
                models[name].save(folder / NGRAMS / f"{name}.npz")
            judge = NGrams(models)
        else:
            made, of_cluster = clusters or _means(domains, seed)
            names = list(of_cluster)
            made.save(folder / CLUSTERS)
            judge = Nearest(made, names)
        seen = asyncio.run(evidence_of(judge, heldout, seed=seed))
        calibration = calibrate(seen, gains=gains)
        right = sum(_best(evidence) == domain for domain, evidence in seen)
        write_json(
            folder / ROUTER,
            {"method": method, "clusters": names, "calibration": calibration.as_mapping()},
        )
        return {"beginnings": len(seen), "right": right}

    return make_box(folder, kind="router", config=config, inputs=inputs or {}, work=work)


async def evidence_of(
    judge: Judge, texts: Mapping[str, Iterable[str]], *, lengths: Sequence[int] = LENGTHS, seed: int = 0
) -> list[tuple[str, Evidence]]:
    """(domain, evidence) of each text's beginning and of a passage from anywhere in it, of every length."""
    chance = random.Random(seed)
    seen = []
    for domain, of_domain in sorted(texts.items()):
        for text in of_domain:
            for length in lengths:
                start = chance.randrange(max(1, len(text) - length + 1))
                for part in (text[:length], text[start : start + length]):
                    if part.strip():
                        seen.append((domain, await judge.evidence(part, texts.keys())))
    return seen


def load_router(config: RouterConfig, asked: Asked) -> Router:
    """The router of a configuration. RecipeError, InputError and IntegrityError where there is none; `asked`
    reaches the specialists, for the method that needs them."""
    values = _read(config)
    method = config.method or str(values.get("method", "table"))
    calibration = Calibration.of(values["calibration"]) if values else None
    if method == "table":
        return EvidenceRouter(config)
    if method == "specialists":
        judge = Likelihoods(asked, generalist=config.generalist, trip_s=config.trip_s)
        return EvidenceRouter(config, judge, calibration)
    if config.path is None:
        raise RecipeError(
            f"router: the method {method} needs a path", hint="tsuzuri specialists train RECIPE"
        )
    if method == "models":
        return EvidenceRouter(config, _small_models(config.path), calibration)
    if values.get("method") != method:
        raise InputError(
            f"{config.path} holds no router by {method}", hint="tsuzuri specialists train RECIPE, or `table`"
        )
    if method == "clusters":
        clusters, names = Clusters.load(config.path / CLUSTERS), values["clusters"]
        if len(clusters.centroids) != len(names):
            raise IntegrityError(
                f"{config.path}: {len(names)} names for {len(clusters.centroids)} clusters",
                hint="train the router again",
            )
        return EvidenceRouter(config, Nearest(clusters, names), calibration)
    paths = sorted((config.path / NGRAMS).glob("*.npz"))
    if not paths:
        raise InputError(f"{config.path} holds no models of domains", hint="train the router again")
    return EvidenceRouter(config, NGrams({path.stem: NGramModel.load(path) for path in paths}), calibration)


def _read(config: RouterConfig) -> dict[str, Any]:
    """What a router's folder says of itself; nothing where the configuration names none."""
    if config.path is None:
        return {}
    path = config.path / ROUTER
    if not path.exists():
        if config.method in ("models", "specialists", "table"):
            return {}
        raise InputError(f"{config.path} is no router: it has no {ROUTER}", hint="tsuzuri specialists train")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        Calibration.of(values["calibration"])
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path} is damaged", hint="train the router again") from error
    return dict(values)


def _small_models(path: Path) -> SmallModels:
    releases = sorted(part for part in path.iterdir() if (part / "config.json").exists())
    if not releases:
        raise InputError(f"{path} holds no releases", hint="a folder with one for each specialist")
    return SmallModels({part.name: load(ModelConfig(path=part)) for part in releases})


def _means(domains: Mapping[str, Callable[[], Iterable[str]]], seed: int) -> tuple[Clusters, Sequence[str]]:
    """A cluster for each domain: the mean of passages from anywhere in its texts."""
    chance = random.Random(seed)

    def passages(texts: Iterable[str]) -> Iterable[str]:
        for _, text in zip(range(PASSAGES), texts, strict=False):
            start = chance.randrange(max(1, len(text) - PASSAGE_CHARACTERS + 1))
            yield text[start : start + PASSAGE_CHARACTERS]

    names = sorted(domains)
    return mean_clusters([passages(domains[name]()) for name in names]), names


def _best(evidence: Evidence) -> str:
    return max(evidence.values, key=lambda name: evidence.values[name])
