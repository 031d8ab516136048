"""The stage from sources to documents: read, treat, deduplicate, split, write.

Three steps: every batch of every source becomes one part file, on all cores (`parts`); documents are compared
with each other (`selection`); what stays is written (`writing`). Memory holds one row group of text and a few
dozen bytes for each document. The parts are removed when the manifest is there: a killed build goes on where
it was, however late, and ends with the same bytes.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from tsuzuri.core.errors import InputError, MissingExtraError, RecipeError
from tsuzuri.core.manifest import MANIFEST, Manifest, make_box, read_manifest
from tsuzuri.core.progress import say
from tsuzuri.corpus.config import CorpusConfig
from tsuzuri.corpus.datasheet import write_datasheet
from tsuzuri.corpus.parts import PART_SCHEMA, PARTS, make_parts
from tsuzuri.corpus.refusals import Refusals, in_words, lists_of
from tsuzuri.corpus.selection import select
from tsuzuri.corpus.sources.aozora import AozoraWorks
from tsuzuri.corpus.sources.base import Source
from tsuzuri.corpus.sources.common_crawl import CommonCrawl
from tsuzuri.corpus.sources.config import (
    AnySource,
    AozoraSource,
    CommonCrawlSource,
    DebianDocsSource,
    HuggingFaceSource,
    WikipediaSource,
    name_fault,
)
from tsuzuri.corpus.sources.debian_archive import cached
from tsuzuri.corpus.sources.debian_docs import DebianDocs
from tsuzuri.corpus.sources.files import FilesOnDisk
from tsuzuri.corpus.sources.hugging_face import HuggingFaceDataset
from tsuzuri.corpus.sources.wikipedia import Wikipedia
from tsuzuri.corpus.treatment import Treatment
from tsuzuri.corpus.writing import FILES, write_files


def build_documents(config: CorpusConfig, box: Path) -> Manifest:
    """The manifest of the documents box at `box`, made from the configured sources or found complete
    there.

    A complete box is taken as it is, with a word to the user, where its sources are not there any more.
    """
    sources, benchmarks = _open_all(config)
    treatments: dict[str, Treatment] = {}

    def lists_and_key(source: Source[Any]) -> str:
        treatments[source.name] = Treatment(source.config, config.root, keep_rejected=config.keep_rejected)
        return treatments[source.name].fingerprint()

    def contents(source: Source[Any]) -> str:
        if is_finished(box):  # nothing is downloaded to compare it
            _require_there(source, config.root)
        return source.fingerprint()

    lists = {source.name: _hash(lists_and_key, source, box, "treatments") for source in sources}
    manifest = make_box(
        box,
        kind="documents",
        config={
            **as_recorded(config, sources),
            "fingerprints": {
                source.name: _hash(contents, source, box, "fingerprints")
                for source in (*sources, *benchmarks)
            },
            "treatments": {name: value for name, value in lists.items() if value},
        },
        inputs={},
        work=lambda: _make(config, sources, treatments, box),
    )
    shutil.rmtree(box / PARTS, ignore_errors=True)
    return manifest


def check_sources(config: CorpusConfig, box: Path) -> None:
    """Raise what can be known before anything is read: a configuration that cannot be and, unless `box` is
    complete, a path at which there is nothing."""
    for source in chain(*_open_all(config)):
        if not (is_finished(box) or isinstance(source, DebianDocs)):
            _require_there(source, config.root)


def is_finished(box: Path) -> bool:
    """Whether the documents are made."""
    return (box / MANIFEST).exists()


def _open_all(config: CorpusConfig) -> tuple[list[Source[Any]], list[FilesOnDisk]]:
    """The sources and the benchmarks, each with a name of its own, of which nothing is read yet; RecipeError
    for a configuration that cannot be."""
    sources = [open_source(item, config.root) for item in config.source]
    benchmarks = [FilesOnDisk(item, config.root) for item in config.decontaminate.benchmarks]
    names = Counter(source.name for source in (*sources, *benchmarks))
    if twice := [name for name, count in names.items() if count > 1]:
        raise RecipeError(
            f"two sources or benchmarks are named {twice[0]!r}", hint="give each its own name: {name: …}"
        )
    if fault := next(filter(None, map(name_fault, names)), ""):  # a name may come from a path
        raise RecipeError(fault, hint="give the source another name: {name: …}")
    near = config.duplicates.near
    if near and near.score_column not in ("", *PART_SCHEMA.names):
        raise RecipeError(
            f"documents have no column {near.score_column!r} to be chosen by",
            hint="leave corpus.duplicates.near.score_column unset: the longest of near-copies stays",
        )
    return sources, benchmarks


def _require_there(source: Source[Any], root: Path) -> None:
    """InputError where what a source is read from is not on this machine."""
    if isinstance(source, DebianDocs):
        lacking = [name for name in source.config.packages if cached(name, source.cache) is None]
        where = f"{', '.join(lacking)} in {source.cache}"
    else:
        paths = [getattr(source.config, key, None) for key in ("path", "index")]
        lacking = [str(root / path) for path in paths if path and not (root / path).exists()]
        where = ", ".join(lacking)
    if lacking:
        raise InputError(f"there is nothing at {where}", hint="check corpus.source and corpus.root")


def _hash(take: Callable[[Source[Any]], str], source: Source[Any], box: Path, key: str) -> str:
    """The hash that `take` makes of what a source is read from; where that has gone, the one that a complete
    box records under `key`."""
    try:
        return take(source)
    except (InputError, MissingExtraError) as error:
        if not is_finished(box):
            raise
        say(f"{source.name}: {error.message}; {box} is complete and taken as it is")
        return str(read_manifest(box).config.get(key, {}).get(source.name, ""))


def open_source(config: AnySource, root: Path) -> Source[Any]:
    """The source that a configuration describes."""
    if isinstance(config, AozoraSource):
        return AozoraWorks(config, root)
    if isinstance(config, DebianDocsSource):
        return DebianDocs(config)
    if isinstance(config, CommonCrawlSource):
        return CommonCrawl(config, root)
    if isinstance(config, WikipediaSource):
        return Wikipedia(config, root)
    if isinstance(config, HuggingFaceSource):
        return HuggingFaceDataset(config, root)
    return FilesOnDisk(config, root)


def as_recorded(config: CorpusConfig, sources: Sequence[Source[Any]]) -> dict[str, Any]:
    """The configuration as the manifest keeps it, every source named: where sources lie on this machine is no
    part of it, their hash is; nor is the number of workers, which changes no byte."""
    values = config.as_mapping()
    for item, source in zip(values["source"], sources, strict=True):
        item["name"] = source.name
    del values["root"], values["workers"], values["withdrawn"]
    for item in (*values["source"], *values["decontaminate"]["benchmarks"]):
        for key in ("path", "index"):
            if item.get(key) and Path(item[key]).is_absolute():
                item[key] = Path(item[key]).name
        del item["anonymize"]["key_file"]  # the key's id is kept
        if names := item["anonymize"]["public_names"]:
            item["anonymize"]["public_names"] = Path(names).name
        for words in item["quality"]["ng_words"]:
            words["file"] = Path(words["file"]).name
        item["quality"]["hosts"] = [Path(name).name for name in item["quality"]["hosts"]]
    return values


def _make(
    config: CorpusConfig, sources: Sequence[Source[Any]], treatments: Mapping[str, Treatment], box: Path
) -> dict[str, Any]:
    workers = config.workers or len(os.sched_getaffinity(0))
    lists = lists_of(box, config.withdrawn)
    refusals = Refusals.read(*lists)
    say(in_words(refusals, lists))
    try:
        parts = make_parts(sources, list(treatments.values()), box / PARTS, workers=workers)
        selection = select(
            parts,
            [source.name for source in sources],
            [_fraction(config, source) for source in sources],
            config,
            refusals,
            box / PARTS / "selection",
            workers,
        )
    except InputError:  # what mends it changes the sources or the recipe, to which no part belongs then
        shutil.rmtree(box / PARTS, ignore_errors=True)
        raise
    for stale in (path for name in FILES for path in box.glob(f"{name}-[0-9]*.parquet")):
        stale.unlink()  # of a run that was killed while it wrote them
    counts, samples = write_files(parts, selection, treatments, config, box)
    write_datasheet(box, as_recorded(config, sources), counts, samples.rows())
    return counts


def _fraction(config: CorpusConfig, source: Source[Any]) -> float:
    own = source.config.heldout_fraction
    return config.heldout_fraction if own is None else own
