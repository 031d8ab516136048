"""The stage from sources to documents: read, normalise, filter, deduplicate, split, write.

Two steps. First every batch of every source becomes one part file under `parts/` (see `parts`), on all cores.
Then the parts are walked in order: duplicates fall out, groups are held out, and the documents go to the
final files. Memory holds one row group of text and a few dozen bytes per document. Parts are removed at the
end, so a killed build goes on where it was and ends with the same bytes.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.core.errors import InputError, RecipeError
from tsuzuri.core.manifest import Manifest, make_box
from tsuzuri.corpus import split
from tsuzuri.corpus.config import (
    AnySource,
    AozoraSource,
    CommonCrawlSource,
    CorpusConfig,
    DebianDocsSource,
    HuggingFaceSource,
    WikipediaSource,
    name_fault,
)
from tsuzuri.corpus.document import (
    COLUMNS,
    DOCUMENT_SCHEMA,
    ROWS_PER_READ,
    SplitWriter,
)
from tsuzuri.corpus.duplicates import exact
from tsuzuri.corpus.parts import REJECTED_SCHEMA, make_parts
from tsuzuri.corpus.sources.aozora import AozoraWorks
from tsuzuri.corpus.sources.base import Source
from tsuzuri.corpus.sources.common_crawl import CommonCrawl
from tsuzuri.corpus.sources.debian_docs import DebianDocs
from tsuzuri.corpus.sources.files import FilesOnDisk
from tsuzuri.corpus.sources.hugging_face import HuggingFaceDataset
from tsuzuri.corpus.sources.wikipedia import Wikipedia
from tsuzuri.corpus.stats import DUPLICATE, CorpusStats

PARTS = "parts"
DECISION_COLUMNS = ["source", "group", "reason", "characters", "key"]
TRAIN, HELDOUT, REJECTED = "train", "heldout", "rejected"
SPLITS = {TRAIN: DOCUMENT_SCHEMA, HELDOUT: DOCUMENT_SCHEMA, REJECTED: REJECTED_SCHEMA}


def build_documents(config: CorpusConfig, box: Path) -> Manifest:
    """The manifest of the documents box at `box`, made from the configured sources or found complete
    there."""
    sources = [open_source(item, config.root) for item in config.source]
    names = Counter(source.name for source in sources)
    if twice := [name for name, count in names.items() if count > 1]:
        raise RecipeError(
            f"two sources are named {twice[0]!r}", hint="give each source its own name: {name: …}"
        )
    if fault := next(filter(None, map(name_fault, names)), ""):  # a name may come from a path
        raise RecipeError(fault, hint="give the source another name: {name: …}")
    return make_box(
        box,
        kind="documents",
        config={
            **as_recorded(config),
            "fingerprints": {source.name: source.fingerprint() for source in sources},
        },
        inputs={},
        work=lambda: _make(config, sources, box),
    )


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


def as_recorded(config: CorpusConfig) -> dict[str, Any]:
    """The configuration as the manifest keeps it: where sources lie on this machine is no part of it, their
    hash is; nor is the number of workers, which changes no byte."""
    values = config.as_mapping()
    del values["root"], values["workers"]
    for item in values["source"]:
        for key in ("path", "index"):
            if item.get(key) and Path(item[key]).is_absolute():
                item[key] = Path(item[key]).name
    return values


def _make(config: CorpusConfig, sources: Sequence[Source[Any]], box: Path) -> dict[str, Any]:
    parts = make_parts(sources, box / PARTS, keep_rejected=config.keep_rejected, workers=config.workers)
    decisions = _decide(parts, config, {source.name: source for source in sources})
    for stale in (path for name in SPLITS for path in box.glob(f"{name}-[0-9]*.parquet")):
        stale.unlink()  # of a run that was killed while it wrote them
    stats = CorpusStats()
    with ExitStack() as stack:
        writers = {name: stack.enter_context(SplitWriter(box, name, SPLITS[name])) for name in SPLITS}
        for row, decision in zip(_rows(parts), decisions, strict=True):
            document = {name: row[name] for name in COLUMNS}
            if decision in (TRAIN, HELDOUT):
                stats.keep(row["text"], source=row["source"], split=decision, license_name=row["license"])
                writers[decision].add(document)
            else:
                stats.reject(decision, row["characters"])
                if config.keep_rejected:
                    writers[REJECTED].add({**document, "reason": decision})
    shutil.rmtree(box / PARTS)
    return stats.counts()


def _decide(parts: Sequence[Path], config: CorpusConfig, sources: Mapping[str, Source[Any]]) -> list[str]:
    """For every row of the parts in order: train, heldout, or the reason why it is left out."""
    table = pa.concat_tables(pq.read_table(part, columns=DECISION_COLUMNS) for part in parts).to_pydict()
    decisions: list[str] = table["reason"]
    kept = [row for row, reason in enumerate(decisions) if not reason]
    for row, is_first in zip(kept, exact.first_occurrences([table["key"][row] for row in kept]), strict=True):
        if not is_first:
            decisions[row] = DUPLICATE
    groups: dict[str, Counter[str]] = {name: Counter() for name in sources}
    for row in kept:
        if not decisions[row]:
            groups[table["source"][row]][table["group"][row]] += table["characters"][row]
    heldout = {
        name: split.heldout_groups(sizes, _fraction(config, sources[name])) for name, sizes in groups.items()
    }
    for row in kept:
        if not decisions[row]:
            decisions[row] = HELDOUT if table["group"][row] in heldout[table["source"][row]] else TRAIN
    _check_split(decisions, groups)
    return decisions


def _fraction(config: CorpusConfig, source: Source[Any]) -> float:
    own = source.config.heldout_fraction
    return config.heldout_fraction if own is None else own


def _check_split(decisions: Sequence[str], groups: Mapping[str, Mapping[str, int]]) -> None:
    for name, other in ((HELDOUT, "raise"), (TRAIN, "lower")):
        if name not in decisions:
            sizes = ", ".join(f"{source} has {len(found)}" for source, found in groups.items())
            raise InputError(
                f"no document is left for {name}: groups (author, file) are held out whole, and {sizes}",
                hint=f"{other} corpus.heldout_fraction, choose a finer fields.group or group_by, or add text",
            )


def _rows(parts: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for part in parts:
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(batch_size=ROWS_PER_READ):
                yield from batch.to_pylist()
