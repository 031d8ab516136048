"""Near-copies of documents: signatures, bands, exact verification, decisions; out of core.

MinHash over character n-grams of the folded text (NFKC, no case, no white space; が and か stay apart), as
Broder (1997) and Leskovec et al. (Mining of Massive Datasets, chapter 3) have it; the signatures are those of
`sketch`. Deviations: similarity is verified on the sets, and only verified near-copies of a kept document
fall out. The same documents give the same decisions in any order, in any number of parts, for any number of
workers, whatever was killed on the way: ranks depend on a document's score and id alone (on its row where ids
are equal).

Memory: in a worker `memory_bytes`, a row group and some million characters of text, some hundred bytes per
document of the part that it reads, and the sets of the largest pair; in the process that decides 64 bytes for
each document of the corpus and some hundred for each that has a near-copy. Disk: 16 bytes for each band of
each document, and 8 bytes a character for the documents that have a candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import methodcaller
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.core.files import atomic_file
from tsuzuri.corpus.duplicates.candidates import UNCOMPARED, Buckets, rank_ranges
from tsuzuri.corpus.duplicates.clusters import Clusters, cluster
from tsuzuri.corpus.duplicates.config import NearDuplicateConfig
from tsuzuri.corpus.duplicates.parts import Parts, open_parts
from tsuzuri.corpus.duplicates.runs import KEYED, key_ranges, open_records
from tsuzuri.corpus.duplicates.signatures import ABOUT, Signatures
from tsuzuri.corpus.duplicates.verify import Pairs, ShingleSets
from tsuzuri.corpus.work import Workers, in_folder

DECISIONS = "decisions.parquet"
DECISION_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("keep", pa.bool_(), nullable=False),
        pa.field("cluster", pa.int64(), nullable=False),
        pa.field("best_row", pa.int64(), nullable=False),
        pa.field("best_id", pa.string(), nullable=False),
        pa.field("jaccard", pa.float64(), nullable=False),
    ]
)


def near_duplicates(
    paths: Sequence[Path],
    folder: Path,
    config: NearDuplicateConfig = NearDuplicateConfig(),  # noqa: B008 (frozen)
    *,
    taking_part: Path | None = None,
    workers: int = 1,
) -> dict[str, int]:
    """Counts; `folder/decisions.parquet` has a row for every document that has a near-copy.

    `paths` are Parquet files with `id` and `text`; `taking_part` is a `.npy` of booleans for the rows of all
    files together. In the decisions, `best_id` is the kept document that one falls out for (itself where it
    is kept) and `cluster` the row of the best one that it is connected with. Empty texts have no near-copy.
    """
    columns = ["id", "text", *filter(None, [config.score_column])]
    parts = open_parts(paths, columns, taking_part)
    facts = {"near-duplicates": config.as_mapping(), "documents": parts.fingerprint()}
    return in_folder(folder, facts, partial(_make, parts, config, folder / DECISIONS), workers)


def _make(
    parts: Parts, config: NearDuplicateConfig, out: Path, folder: Path, workers: Workers
) -> dict[str, int]:
    signatures = [Signatures(parts, part, config, folder) for part in range(len(parts))]
    workers.each(methodcaller("write"), signatures, "signatures of documents")
    rows, ranks = folder / "rows.npy", folder / "ranks.npy"
    documents = _rank(signatures, rows, ranks)
    pairs = _candidates(parts, config, ranks, folder, documents)
    workers.each(methodcaller("write_pairs"), pairs, "candidates for near-copies")
    files = tuple(run for task in pairs for run in sorted(task.out.glob("*.run")))
    candidates = _mark_candidates(files, np.load(rows, mmap_mode="r"), folder / "candidates.npy")
    sets = [
        ShingleSets(parts, part, candidates, config.shingle_characters, folder) for part in range(len(parts))
    ]
    workers.each(methodcaller("write"), sets, "n-grams of candidates")
    verified = [
        Pairs(parts, files, rows, range_, config, folder, folder / f"near-{number:05}.npy")
        for number, range_ in enumerate(rank_ranges(files, parts.rows, config.memory_bytes))
    ]
    workers.each(methodcaller("verify"), verified, "verifying near-copies")
    found = cluster(parts.rows, (np.load(task.out) for task in verified))
    counts = _write_decisions(parts, np.load(rows), found, out)
    return {
        "documents": documents,
        **counts,
        "pairs_uncompared": sum(int((task.out / UNCOMPARED).read_text()) for task in pairs),
    }


def read_details(path: Path, start_row: int, stop_row: int) -> dict[int, str]:
    """row → its similarity to the best of its copies, and which that is, for the rows in a range that go."""
    wanted = [("row", ">=", start_row), ("row", "<", stop_row), ("keep", "==", False)]
    found = pq.read_table(path, columns=["row", "best_id", "jaccard"], filters=wanted).to_pylist()
    return {one["row"]: f"{one['jaccard']:.3f}; {one['best_id']}" for one in found}


def _rank(signatures: Sequence[Signatures], rows: Path, ranks: Path) -> int:
    """How many documents take part; the row of each rank and the rank of each row are written."""
    about = np.concatenate([np.empty(0, ABOUT), *(np.load(part.about) for part in signatures)])
    order = np.lexsort((about["tie"], -about["score"]))
    with atomic_file(rows) as file:
        np.save(file, order)
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    with atomic_file(ranks) as file:
        np.save(file, inverse)
    return int(np.isfinite(about["score"]).sum())


def _candidates(
    parts: Parts, config: NearDuplicateConfig, ranks: Path, folder: Path, documents: int
) -> list[Buckets]:
    keys_of = tuple(Signatures(parts, part, config, folder).keys for part in range(len(parts)))
    ranges = key_ranges(documents * KEYED.itemsize, config.memory_bytes)
    return [
        Buckets(keys_of, ranks, band, keys, config, folder / f"pairs-{band:03}-{number:05}")
        for band in range(config.bands)
        for number, keys in enumerate(ranges)
    ]


def _mark_candidates(files: Sequence[Path], rows: npt.NDArray[np.int64], out: Path) -> Path:
    """A `.npy` that is true for the rows of documents in some pair."""
    is_candidate = np.zeros(len(rows), bool)
    for path in files:
        records = open_records(path, KEYED)
        for column in ("key", "row"):
            is_candidate[rows[records[column].astype(np.int64)]] = True
    with atomic_file(out) as file:
        np.save(file, is_candidate)
    return out


def _write_decisions(parts: Parts, rows: npt.NDArray[np.int64], found: Clusters, out: Path) -> dict[str, int]:
    """Counts of what is written to `out`: the documents that have a near-copy, in the order of the rows."""
    members = np.flatnonzero(found.is_paired)
    members = members[np.argsort(rows[members])]
    ids = _ids(parts, rows[members])
    place = np.full(len(rows), -1)
    place[members] = np.arange(len(members))
    keep = found.best[members] == members
    table = pa.table(
        [
            pa.array(rows[members]),
            ids,
            pa.array(keep),
            pa.array(rows[found.cluster[members]]),
            pa.array(rows[found.best[members]]),
            ids.take(pa.array(place[found.best[members]])),
            pa.array(found.jaccard[members]),
        ],
        schema=DECISION_SCHEMA,
    )
    with atomic_file(out) as file:
        pq.write_table(table, file, compression="zstd")
    return {
        "clusters": len(np.unique(found.cluster[members])),
        "in_clusters": len(members),
        "near_duplicates": int((~keep).sum()),
    }


def _ids(parts: Parts, rows: npt.NDArray[np.int64]) -> pa.Array:
    """The ids of ascending rows."""
    selected = np.zeros(parts.rows, bool)
    selected[rows] = True
    found: list[str] = []
    for part in range(len(parts)):
        here = selected[parts.starts[part] : parts.starts[part + 1]]
        if here.any():
            found += [columns["id"] for _, columns in parts.read(part, ["id"], here)]
    return pa.array(found, pa.string())
