"""The right to be left out: documents are taken out of a corpus, and the refusal is remembered.

A refusal names a document's id, a URL, or a host with all its subdomains. It is kept in a list of JSON lines,
which later builds read; the texts themselves are not in it. What was made of the documents before the
withdrawal is found through the manifests: shards that hold the documents' tokens, runs and releases that
learnt from them. Those are named, not touched: what becomes of a model is its owner's decision.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tsuzuri.core.errors import IntegrityError, RecipeError
from tsuzuri.core.files import append_json_line, atomic_file, locked, read_json_lines, sha256_file, write_json
from tsuzuri.core.manifest import MANIFEST, Manifest, box_sha256, read_manifest, rewrite_manifest
from tsuzuri.corpus.anonymize.log import FINDINGS
from tsuzuri.corpus.datasheet import SAMPLES, write_datasheet
from tsuzuri.corpus.document import ROWS_PER_READ, read_documents
from tsuzuri.corpus.stats import CorpusStats

KINDS = ("id", "url", "host")
WITHDRAWN = "withdrawn.json"
"""In a box: the ids of the documents taken out of it."""
TAKEN_OUT = "taken_out"
"""The last stage of its waterfall."""
WITHDRAWN_FROM = "withdrawn_from"
"""In its counts: the hashes that it had before."""


class Located(Protocol):
    """What a refusal is compared with."""

    @property
    def id(self) -> str:
        """A document's id."""
        ...

    @property
    def url(self) -> str:
        """A document's URL, or an empty string."""
        ...


class Refusals:
    """The list of what must not be used."""

    def __init__(self, refused: Iterable[tuple[str, str]] = ()) -> None:
        self._refused: dict[str, set[str]] = {kind: set() for kind in KINDS}
        for kind, value in refused:
            self._refused[kind].add(_normal(kind, value))

    @classmethod
    def read(cls, path: Path) -> Refusals:
        """The refusals in a list; none where there is no list. IntegrityError where it is no such list."""
        lines = read_json_lines(path)
        for line in lines:
            if not isinstance(line, dict) or line.get("kind") not in KINDS:
                raise IntegrityError(
                    f"{path} holds a line that is no refusal: {line!r}", hint="mend it by hand"
                )
        return cls((line["kind"], line["value"]) for line in lines)

    def __bool__(self) -> bool:
        return any(self._refused.values())

    def __contains__(self, document: Located) -> bool:
        if document.id in self._refused["id"]:
            return True
        if not document.url:
            return False
        host = _host(document.url)
        return _normal("url", document.url) in self._refused["url"] or any(
            host == name or host.endswith(f".{name}") for name in self._refused["host"]
        )

    def add(self, path: Path, refused: Iterable[tuple[str, str]]) -> int:
        """Remember refusals here and in the list at `path`; how many of them were new."""
        new = [(kind, _normal(kind, value)) for kind, value in refused]
        new = [(kind, value) for kind, value in dict.fromkeys(new) if value not in self._refused[kind]]
        for kind, value in new:
            append_json_line(path, {"kind": kind, "value": value})
            self._refused[kind].add(value)
        return len(new)


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


def withdraw(documents: Path, refusals: Refusals) -> Withdrawal:
    """Take the refused documents out of a finished box; all that was ever taken out of it.

    First the ids are noted, then the files that hold them are written anew, each atomically, and the manifest
    last: killed in between, the same command ends the work.
    """
    with locked(documents):
        manifest = read_manifest(documents, "documents")
        files = sorted(name for name in manifest.files if name.endswith(".parquet"))
        texts = [name for name in files if not name.startswith(f"{FINDINGS}-")]
        noted = documents / WITHDRAWN
        before = set(json.loads(noted.read_text(encoding="utf-8"))) if noted.exists() else set()
        ids = before.union(*(_refused_in(documents / name, refusals) for name in texts))
        hashes = manifest.counts.get(WITHDRAWN_FROM, [])
        if ids != before:
            write_json(noted, sorted(ids))
        if noted.exists() and manifest.files.get(WITHDRAWN) != sha256_file(noted):
            for name in files:
                _without(documents / name, pa.array(sorted(ids), pa.string()))
            hashes = [*hashes, box_sha256(documents)]
            counts = {**recount(documents, manifest), WITHDRAWN_FROM: hashes}
            shown = json.loads((documents / SAMPLES).read_text(encoding="utf-8"))
            samples = [sample for sample in shown if sample["id"] not in ids]
            write_datasheet(documents, manifest.config, counts, samples)
            rewrite_manifest(documents, counts)
        return Withdrawal(tuple(sorted(ids)), tuple(hashes))


def recount(documents: Path, manifest: Manifest) -> dict[str, Any]:
    """The counts of a box whose documents have become fewer: what is there now, what was rejected before."""
    stats = CorpusStats()
    for split in ("train", "heldout"):
        for document in read_documents(documents, split):
            stats.keep(document.text, source=document.source, split=split, license_name=document.license)
    now = stats.counts()
    steps = [step for step in manifest.counts["waterfall"] if step[0] != TAKEN_OUT]
    now["waterfall"] = [*steps, [TAKEN_OUT, now["documents"], now["characters"]]]
    return {**manifest.counts, **{key: now[key] for key in now if key != "rejected"}}


def affected(roots: Iterable[Path], withdrawal: Withdrawal) -> Iterator[Affected]:
    """The boxes below `roots` that were made, at first or at second hand, of a box while it held documents.

    Of token shards, those are named that hold one; where none does, nothing learnt from it.
    """
    waiting = {path.parent: read_manifest(path.parent) for root in roots for path in root.rglob(MANIFEST)}
    wanted = pa.array(withdrawal.ids, pa.string())
    tainted = set(withdrawal.made_before)
    found = True
    while found:
        found = False
        for path, manifest in list(waiting.items()):
            if tainted.isdisjoint(item["sha256"] for item in manifest.inputs.values()):
                continue
            del waiting[path]
            files = tuple(_shards_with(path, wanted)) if manifest.kind == "tokens" else ()
            if manifest.kind == "tokens" and not files:
                continue
            found = True
            tainted.add(box_sha256(path))
            yield Affected(path, manifest.kind, files)


def refusals_of(ids: Iterable[str], urls: Iterable[str], hosts: Iterable[str]) -> list[tuple[str, str]]:
    """(kind, value) of what a command line names; RecipeError where that is nothing, or no URL or host."""
    for url in urls:
        if not _host(url):
            raise RecipeError(f"{url!r} is no URL", hint="for example --url https://example.jp/page.html")
    for host in hosts:
        if "/" in host or not host.strip(". "):
            raise RecipeError(f"{host!r} is no host", hint="for example --host example.jp")
    found = [("id", one) for one in ids] + [("url", one) for one in urls] + [("host", one) for one in hosts]
    if not found:
        raise RecipeError("nothing was named to withdraw", hint="give --id, --url or --host")
    return found


def _refused_in(path: Path, refusals: Refusals) -> list[str]:
    places = pq.read_table(path, columns=["id", "url"]).to_pylist()
    return [place["id"] for place in places if Place(**place) in refusals]


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


@dataclass(frozen=True, slots=True)
class Place:
    """What a refusal is compared with, read without its document."""

    id: str
    url: str


def _normal(kind: str, value: str) -> str:
    if kind == "host":
        return value.strip(". ").lower()
    return value.partition("#")[0].rstrip("/") if kind == "url" else value


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:  # brackets that are no address
        return ""
