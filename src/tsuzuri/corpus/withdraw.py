"""The right to be left out: documents are taken out of a finished corpus, and what was made of them is named.

Taken out is everything that shows them: texts, those that were kept though rejected, samples, findings. What
was made of the documents before is found through the manifests: shards that hold the documents' tokens, runs
and releases that learnt from them. Those are named, not touched: what becomes of a model is its owner's
decision. How later builds know of it: `refusals`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tsuzuri.core.errors import TsuzuriError
from tsuzuri.core.files import atomic_file, locked, sha256_file, write_json
from tsuzuri.core.manifest import MANIFEST, Manifest, box_sha256, read_manifest, rewrite_manifest
from tsuzuri.core.progress import say
from tsuzuri.corpus.anonymize.log import FINDINGS
from tsuzuri.corpus.datasheet import SAMPLES, write_datasheet
from tsuzuri.corpus.document import ROWS_PER_READ, read_documents
from tsuzuri.corpus.parts import PARTS
from tsuzuri.corpus.refusals import Place, Refusal, Refusals
from tsuzuri.corpus.stats import CorpusStats

WITHDRAWN = "withdrawn.json"
"""In a box: the ids of the documents taken out of it."""
TAKEN_OUT = "taken_out"
"""The last stage of its waterfall."""
WITHDRAWN_FROM = "withdrawn_from"
"""In its counts: the hashes that it had before."""


@dataclass(frozen=True)
class Affected:
    """A box that was made of the documents as they were."""

    path: Path
    kind: str
    files: tuple[str, ...]
    """Shards that hold withdrawn documents."""


@dataclass(frozen=True)
class Withdrawal:
    """What was ever taken out of a box."""

    ids: tuple[str, ...]
    made_before: tuple[str, ...]
    """The hashes that the box had while it held them."""
    matched: frozenset[Refusal] = field(default=frozenset(), compare=False)
    """The refusals that concern something that was still there."""


def withdraw(documents: Path, refusals: Refusals) -> Withdrawal:
    """Take the refused documents out of a finished box; all that was ever taken out of it.

    First the ids are noted, then the files that hold them are written anew, each atomically, and the manifest
    last: killed in between, the same command ends the work. InputError before anything is touched where there
    is no such box.
    """
    read_manifest(documents, "documents")  # else the lock would make the folder
    with locked(documents):
        manifest = read_manifest(documents, "documents")
        shutil.rmtree(documents / PARTS, ignore_errors=True)  # there if the build was killed at its very end
        files = sorted(name for name in manifest.files if name.endswith(".parquet"))
        texts = [name for name in files if not name.startswith(f"{FINDINGS}-")]
        samples = _samples(documents)
        noted = documents / WITHDRAWN
        before = set(json.loads(noted.read_text(encoding="utf-8"))) if noted.exists() else set()
        found = [
            (place.id, refusal)
            for place in _places(documents, texts, samples)
            for refusal in refusals.of(place)
        ]
        ids = before.union(name for name, _ in found)
        hashes = manifest.counts.get(WITHDRAWN_FROM, [])
        if ids != before:
            write_json(noted, sorted(ids))
        if noted.exists() and manifest.files.get(WITHDRAWN) != sha256_file(noted):
            for name in files:
                _without(documents / name, pa.array(sorted(ids), pa.string()))
            hashes = [*hashes, box_sha256(documents)]
            counts = {**recount(documents, manifest), WITHDRAWN_FROM: hashes}
            left = [sample for sample in samples if sample["id"] not in ids]
            write_datasheet(documents, manifest.config, counts, left)
            rewrite_manifest(documents, counts)
        matched = frozenset(refusal for _, refusal in found)
        return Withdrawal(tuple(sorted(ids)), tuple(hashes), matched)


def recount(documents: Path, manifest: Manifest) -> dict[str, Any]:
    """The counts of a box whose documents have become fewer: what is there now, what was rejected before."""
    stats = CorpusStats()
    for split in ("train", "heldout"):
        for document in read_documents(documents, split):
            stats.keep(document, split)
    now = stats.counts()
    steps = [step for step in manifest.counts["waterfall"] if step[0] != TAKEN_OUT]
    now["waterfall"] = [*steps, [TAKEN_OUT, now["documents"], now["characters"]]]
    return {**manifest.counts, **{key: now[key] for key in now if key != "rejected"}}


def affected(roots: Iterable[Path], withdrawal: Withdrawal) -> Iterator[Affected]:
    """The boxes below `roots` that were made, at first or at second hand, of a box while it held documents.

    Of token shards, those are named that hold one; where none does, nothing learnt from it.
    """
    waiting = _boxes_below(roots)
    wanted = pa.array(withdrawal.ids, pa.string())
    tainted = set(withdrawal.made_before)
    found = True
    while found:
        found = False
        for path, manifest in list(waiting.items()):
            if tainted.isdisjoint(_parents(manifest)):
                continue
            del waiting[path]
            files = tuple(_shards_with(path, wanted)) if manifest.kind == "tokens" else ()
            if manifest.kind == "tokens" and not files:
                continue
            found = True
            tainted.add(box_sha256(path))
            yield Affected(path, manifest.kind, files)


def _places(documents: Path, files: Iterable[str], samples: Iterable[Mapping[str, str]]) -> Iterator[Place]:
    """Where everything is from that a box shows."""
    for name in files:
        for row in pq.read_table(documents / name, columns=["id", "url"]).to_pylist():
            yield Place(**row)
    for sample in samples:
        yield Place(sample["id"], sample.get("url", ""))


def _samples(documents: Path) -> list[dict[str, str]]:
    """The samples of a box; none of one that was made when boxes had none."""
    path = documents / SAMPLES
    samples: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return samples


def _boxes_below(roots: Iterable[Path]) -> dict[Path, Manifest]:
    """The finished boxes below some folders; what is called like a manifest and is none of ours is named."""
    found = {}
    for path in (path for root in roots for path in root.rglob(MANIFEST)):
        try:
            manifest = read_manifest(path.parent)
            _parents(manifest)
            found[path.parent] = manifest
        except (TsuzuriError, OSError, RecursionError, AttributeError, LookupError, TypeError):
            say(f"{path} is no manifest of ours: passed over")
    return found


def _parents(manifest: Manifest) -> set[str]:
    return {item["sha256"] for item in manifest.inputs.values()}


def _without(path: Path, refused: pa.Array) -> None:
    """Write a Parquet file anew without the documents of these ids, where it has any."""
    keep = pc.invert(pc.is_in(pq.read_table(path, columns=["id"])["id"], value_set=refused)).combine_chunks()
    if pc.all(keep).as_py() is not False:
        return
    with pq.ParquetFile(path) as file, atomic_file(path) as out:
        start = 0
        with pq.ParquetWriter(out, file.schema_arrow, compression="zstd") as writer:
            for batch in file.iter_batches(batch_size=ROWS_PER_READ):
                writer.write_batch(batch.filter(keep.slice(start, len(batch))))
                start += len(batch)


def _shards_with(box: Path, ids: pa.Array) -> Iterator[str]:
    for path in sorted(box.glob("*.parquet")):
        column = pq.read_table(path, columns=["id"])["id"]
        if pc.any(pc.is_in(column, value_set=ids)).as_py():
            yield path.with_suffix(".bin").name
