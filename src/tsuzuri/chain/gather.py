"""The end of `tsuzuri specialists train`: what makes one model of the releases that were trained apart.

Held-out texts of each domain, the router, what `tsuzuri specialists up` reads, and who is best where.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml

from tsuzuri.chain.domains import CENTROIDS, describe_clusters
from tsuzuri.core.files import read_json_lines, write_text
from tsuzuri.core.manifest import make_box, read_manifest
from tsuzuri.core.markdown import table
from tsuzuri.core.progress import say
from tsuzuri.data.box import TokenBox
from tsuzuri.data.domains import texts_of
from tsuzuri.recipe import Recipe
from tsuzuri.specialists.recipe import GENERALIST
from tsuzuri.tokenizer.codec import Tokenizer

PASSAGE_CHARACTERS = 1000
"""Of a held-out text: a domain's few long books are many passages, and the gate wants many."""
TEXTS, ROUTER, CLUSTERS = "texts", "router", "clusters"
CONFIG = "specialists.yaml"
REPORT = "report.md"

Bits: TypeAlias = Mapping[str, Sequence[float]]
"""model → bits per character on each domain, in the order of the domains."""


def gather(
    recipe: Recipe,
    names: Sequence[str],
    out: Path,
    models: Mapping[str, Mapping[str, Path]],
    domains: Path,
) -> Iterator[str]:
    """Make what joins the releases in `out` of `models` (name → stage → folder); yields who is best where."""
    tokenizer = models[GENERALIST]["tokenizer"]
    write_texts(recipe, domains, tokenizer, out / TEXTS)
    bits = read_bits(names, {name: boxes["evaluation"] for name, boxes in models.items()})
    write_router(recipe, names, out, domains, tokenizer, bits)
    write_config(recipe, names, out, models)
    report = describe(names, bits)
    if recipe.specialists.clusters:
        report += "\n\n" + "\n".join(f"- {line}" for line in describe_clusters(out / CLUSTERS))
    write_text(out / REPORT, f"# {recipe.release.name}\n\n{report}\n")
    yield report
    yield f"\nreport  {out / REPORT}\nnext    tsuzuri specialists up {out / CONFIG}"


def write_texts(recipe: Recipe, domains: Path, tokenizer: Path, box: Path) -> None:
    """Write a box of each domain's held-out text in passages, JSON lines, beginnings of documents first."""
    most = recipe.specialists.heldout_characters

    def work() -> Mapping[str, Any]:
        data, codec = TokenBox.open(domains), Tokenizer.load(tokenizer)
        counts = {}
        for domain in data.sources:
            texts = list(texts_of(data, "heldout", domain, codec, most))
            chosen = list(passages(texts, most))
            lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in chosen)
            write_text(box / f"{domain}.jsonl", "".join(lines))
            counts[domain] = len(chosen)
        return {"passages": counts}

    say(f"held-out texts → {box}")
    config = {"heldout_characters": most, "passage_characters": PASSAGE_CHARACTERS}
    make_box(box, kind="texts", config=config, inputs={"tokens": domains, "tokenizer": tokenizer}, work=work)


def passages(texts: Sequence[str], most_characters: int) -> Iterator[str]:
    """The texts cut into passages: first the first of each, then the second, and so on, up to a size."""
    left, start = most_characters, 0
    while left > 0 and any(len(text) > start for text in texts):
        for text in texts:
            passage = text[start : start + min(PASSAGE_CHARACTERS, max(left, 0))]
            if passage.strip():
                left -= len(passage)
                yield passage
        start += PASSAGE_CHARACTERS


def write_router(
    recipe: Recipe, names: Sequence[str], out: Path, domains: Path, tokenizer: Path, bits: Bits
) -> None:
    """Teach the router the domains, by their training documents, and calibrate it on held-out passages."""
    from tsuzuri.specialists.routing.clusters import Clusters
    from tsuzuri.specialists.routing.trained import train_router

    config, method, box = recipe.specialists, router_method(recipe), out / ROUTER
    if method is None:
        return
    say(f"router → {box}")
    data, codec = TokenBox.open(domains, verify=False), Tokenizer.load(tokenizer)
    inputs = {"tokens": domains, "texts": out / "texts"}
    found = None
    if config.clusters:
        inputs["clusters"] = out / CLUSTERS
        found = (Clusters.load(out / CLUSTERS / CENTROIDS), names)
    train_router(
        box,
        {name: partial(texts_of, data, "train", name, codec, config.router_characters) for name in names},
        {name: [line["text"] for line in read_json_lines(texts_path(out, name))] for name in names},
        method=method,
        clusters=found,
        gains={name: _gains(bits, name, names) for name in names},
        most_characters=config.router_characters,
        inputs=inputs,
        seed=recipe.train.seed,
    )


def router_method(recipe: Recipe) -> Literal["ngrams", "clusters"] | None:
    """By which of those that learn the router decides, if by any."""
    method = recipe.specialists.router.method or ("clusters" if recipe.specialists.clusters else "ngrams")
    return method if method in ("ngrams", "clusters") else None


def texts_path(out: Path, name: str) -> Path:
    """Where a domain's held-out texts lie."""
    return out / TEXTS / f"{name}.jsonl"


def write_config(
    recipe: Recipe, names: Sequence[str], out: Path, models: Mapping[str, Mapping[str, Path]]
) -> None:
    """Write what `tsuzuri specialists up` reads, unless it is there: it may have been changed by hand."""
    path = out / CONFIG
    if path.exists():
        say(f"{path} is there and left as it is")
        return

    def entry(name: str) -> dict[str, Any]:
        own = {"name": name, "release": os.path.relpath(models[name]["release"], out)}
        return own if name == GENERALIST else {**own, "texts": os.path.relpath(texts_path(out, name), out)}

    router = recipe.specialists.router.model_dump(mode="json", exclude_defaults=True)
    if router_method(recipe):
        router["path"] = ROUTER
    values = {
        "alias": recipe.release.name,
        "generalist": GENERALIST,
        "specialists": [entry(name) for name in (*names, GENERALIST)],
        "router": router,
    }
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    write_text(path, f"# tsuzuri specialists up {CONFIG}\n{text}")


def read_bits(names: Sequence[str], evaluations: Mapping[str, Path]) -> Bits:
    """Held-out bits per character of each model on each domain."""
    found = {name: read_manifest(box, "evaluation").counts["bits"] for name, box in evaluations.items()}
    return {name: [own[domain]["bits_per_character"] for domain in names] for name, own in found.items()}


def describe(names: Sequence[str], bits: Bits) -> str:
    """Each model's bits per character on each domain, the best marked, and what the specialist gains."""
    best = [min(column) for column in zip(*bits.values(), strict=True)]
    lines = [
        [name, *(f"{value:.3f}{' ◎' * (value == low)}" for value, low in zip(row, best, strict=True))]
        for name, row in bits.items()
    ]
    gains = [f"{1 - bits[name][place] / bits[GENERALIST][place]:+.1%}" for place, name in enumerate(names)]
    matrix = table(("ビット/文字 Bits per character", *names), lines)
    won = table(("", *names), [["専門家の得 Gain of its specialist over the generalist", *gains]])
    return f"{matrix}\n\n{won}"


def _gains(bits: Bits, name: str, names: Sequence[str]) -> dict[str, float]:
    """domain → bits per character that a specialist saves on it."""
    pairs = zip(names, bits[name], bits[GENERALIST], strict=True)
    return {domain: theirs - own for domain, own, theirs in pairs}
