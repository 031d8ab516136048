"""The domains of a recipe for specialists: given by the sources' names, or found among the documents.

Found ones are clusters of documents (`specialists.routing.clusters`), of training documents alone; what is
held out then belongs to the nearest. They are numbered: what they are about is for people to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.core.errors import RecipeError
from tsuzuri.core.files import atomic_file
from tsuzuri.core.manifest import make_box, read_manifest
from tsuzuri.core.progress import say
from tsuzuri.corpus.build import open_source
from tsuzuri.corpus.document import Document, read_documents
from tsuzuri.data.box import SPLITS, TokenBox
from tsuzuri.data.domains import DomainOf, by_source, divide, require_text
from tsuzuri.recipe import Recipe
from tsuzuri.specialists.recipe import check_name
from tsuzuri.specialists.routing.clusters import Clusters, train_clusters

CENTROIDS = "clusters.npz"
MEMBERS = "members.parquet"
"""Of a box of clusters: what tells them apart, and which document is of which."""
BATCH_DOCUMENTS = 1024
TITLES = 5
"""Of a cluster, shown to people."""


def domain_names(recipe: Recipe) -> list[str]:
    """The names of a recipe's domains, of which nothing is read; RecipeError where there can't be such."""
    config = recipe.specialists
    if config.clusters:
        width = len(str(config.clusters))
        return [f"cluster-{number:0{width}}" for number in range(1, config.clusters + 1)]
    sources = [open_source(item, recipe.corpus.root).name for item in recipe.corpus.source]
    if config.domains is not None:
        by_source(config.domains, sources)
        return list(config.domains)
    hint = "specialists.domains gives domains names: {NAME: [SOURCE, …]}; specialists.clusters discovers them"
    if len(sources) < 2:
        raise RecipeError("one source is no two domains", hint=hint)
    for name in sources:
        try:
            check_name(name)
        except ValueError as error:
            raise RecipeError(str(error), hint=hint) from error
    return sources


def make_domains(
    recipe: Recipe, names: Sequence[str], data: Mapping[str, Path], box: Path, clusters: Path
) -> None:
    """Make the box of tokens by domain, and that of `clusters` before it where they are to be found.

    InputError where a domain holds too little to learn from, or nothing to be judged by.
    """
    say(f"tokens by domain → {box}")
    domain_of, config, inputs = _by_label(recipe, names)
    if recipe.specialists.clusters:
        domain_of, config, inputs = _by_cluster(recipe, names, data["documents"], clusters)
    divide(data["tokens"], names, domain_of, box, config=config, inputs=inputs)
    require_text(TokenBox.open(box, verify=False), recipe.specialists.least_characters)


def _by_label(recipe: Recipe, names: Sequence[str]) -> tuple[DomainOf, dict[str, Any], dict[str, Path]]:
    given = recipe.specialists.domains or {name: (name,) for name in names}
    of = {source: domain for domain, sources in given.items() for source in sources}
    config = {"domains": {domain: list(sources) for domain, sources in given.items()}}
    return lambda source, id_: of.get(source), config, {}


def _by_cluster(
    recipe: Recipe, names: Sequence[str], documents: Path, box: Path
) -> tuple[DomainOf, dict[str, Any], dict[str, Path]]:
    def work() -> Mapping[str, Any]:
        found = train_clusters(_texts(documents), len(names), seed=recipe.train.seed)
        found.save(box / CENTROIDS)
        return {"domains": dict(zip(names, _write_members(found, documents, box / MEMBERS), strict=True))}

    config = {"clusters": len(names), "seed": recipe.train.seed}
    make_box(box, kind="clusters", config=config, inputs={"documents": documents}, work=work)
    table = pq.read_table(box / MEMBERS)
    places = dict(zip(table["id"].to_pylist(), table["cluster"].to_pylist(), strict=True))
    return lambda source, id_: names[places[id_]], {}, {"clusters": box}


def _texts(documents: Path) -> Callable[[], Iterator[str]]:
    return lambda: (document.text for document in read_documents(documents, "train"))


def _write_members(clusters: Clusters, documents: Path, path: Path) -> list[dict[str, Any]]:
    """Write which document is of which cluster; of each how many there are, and titles of the first few."""
    ids: list[str] = []
    places: list[int] = []
    found: list[dict[str, Any]] = [{"documents": 0, "titles": []} for _ in clusters.centroids]
    for split in SPLITS:
        for batch in _batches(read_documents(documents, split)):
            ids += [document.id for document in batch]
            places += (own := clusters.assign([document.text for document in batch]))
            for place, document in zip(own, batch, strict=True):
                found[place]["documents"] += 1
                if document.title and len(found[place]["titles"]) < TITLES:
                    found[place]["titles"].append(document.title)
    with atomic_file(path) as file:
        pq.write_table(pa.table({"id": ids, "cluster": pa.array(places, pa.int32())}), file)
    return found


def describe_clusters(box: Path) -> Iterator[str]:
    """A line on each cluster, by which people can say what it is about."""
    for name, found in read_manifest(box, "clusters").counts["domains"].items():
        titles = ", ".join(found["titles"]) or "without titles"
        yield f"{name}: {found['documents']:,} documents, {titles}"


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    iterator = iter(documents)
    while batch := list(islice(iterator, BATCH_DOCUMENTS)):
        yield batch
