"""Near-duplicates end to end, against datatrove's Japanese MinHash and rensa on the same documents.

    python bench/dedup.py [--data ../shared/data] [--works 200] [--copies 600] [--rounds 3]

From Parquet files to a file that says which documents fall out: read, fold, shingle, sign, bands, exact
verification, clusters, write. Megabytes of UTF-8 text a second of CPU time of the process, which is one
process on one thread for all sides; the sides take turns, and medians are compared. Compilation is not
counted, imports are not either.

Documents: Wikipedia articles and Aozora works as published, or made-up text where there are none, and planted
among them near-copies of known similarity. Recall is the share of planted pairs that a side puts into one
cluster. Precision is the share of the documents that fall out which truly have a similarity of 0.8 or more
to one that is there, measured on sets of strings; those that do not are printed.

datatrove: stages 1 to 3 with its defaults for Japanese (words of spaCy and Sudachi, 5-grams of words, 14
buckets of 8, 64 bits), on a part of the documents, since it is slow. rensa: its deduplicator with index on
the same 5-grams of characters, threshold 0.8, 128 permutations, and its faster bulk way (a matrix of
signatures, then flags), which names no partner.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from _copies import Copies, made_texts, real_texts, similarity, with_copies
from _report import Comparison, emit, is_installed, machine
from tsuzuri.corpus.duplicates.config import NearDuplicateConfig
from tsuzuri.corpus.duplicates.exact import fold
from tsuzuri.corpus.duplicates.near import DECISIONS, near_duplicates

THRESHOLD, PERMUTATIONS = 0.8, 128
SLOW_DOCUMENTS = 1_500
NAMES_NO_PARTNER = "rensa in bulk"
Found = dict[str, str]
"""id of a document that falls out → id of what it is a copy of."""


def ours(paths: list[Path], folder: Path) -> Found:
    """Near-copies by this package."""
    near_duplicates(paths, folder, NearDuplicateConfig(threshold=THRESHOLD))
    table = pq.read_table(folder / DECISIONS, columns=["id", "keep", "best_id"])
    return {row["id"]: row["best_id"] for row in table.to_pylist() if not row["keep"]}


def documents(paths: list[Path]) -> list[tuple[str, str]]:
    """(id, text) of every row."""
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    return [(row["id"], row["text"]) for row in rows]


def by_rensa(paths: list[Path], folder: Path) -> Found:
    """Near-copies by rensa's deduplicator, in the order of the corpus."""
    from rensa import RMinHash, RMinHashDeduplicator

    deduplicator = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=PERMUTATIONS, use_lsh=True)
    found: Found = {}
    for name, text in documents(paths):
        folded = fold(text)
        sketch = RMinHash(num_perm=PERMUTATIONS, seed=42)
        sketch.update([folded[place : place + 5] for place in range(max(1, len(folded) - 4))])
        if not deduplicator.add(name, sketch):
            found[name] = (deduplicator.get_duplicates(sketch) or [name])[0]
    write(found, folder)
    return found


def by_rensa_in_bulk(paths: list[Path], folder: Path) -> Found:
    """Documents that share a band with another, by rensa's matrix of signatures."""
    from rensa import RMinHash, RMinHashLSH

    names, sets = [], []
    for name, text in documents(paths):
        folded = fold(text)
        names.append(name)
        sets.append([folded[place : place + 5] for place in range(max(1, len(folded) - 4))])
    matrix = RMinHash.digest_matrix_from_token_sets(sets, PERMUTATIONS, 42)
    index = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=16)
    flags = index.query_duplicate_flags_matrix_one_shot(matrix)
    found = {name: name for name, flag in zip(names, flags, strict=True) if flag}
    write(found, folder)
    return found


def by_datatrove(paths: list[Path], folder: Path) -> Found:
    """Near-copies by datatrove's stages; it names the documents, and their clusters by number."""
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.utils.hashing import HashConfig

    config = MinhashConfig(hash_config=HashConfig(precision=64))
    signatures, buckets, removed = (str(folder / name) for name in ("signatures", "buckets", "removed"))
    sign = MinhashDedupSignature(signatures, config=config, language="ja")
    for rank in range(len(paths)):
        reader = ParquetReader(str(paths[0].parent), glob_pattern="*.parquet")
        sign.run(reader.run(rank=rank, world_size=len(paths)), rank=rank, world_size=len(paths))
    for bucket in range(config.num_buckets):
        MinhashDedupBuckets(signatures, buckets, config=config).run(
            None, rank=bucket, world_size=config.num_buckets
        )
    MinhashDedupCluster(buckets, removed, config=config, save_cluster_id=True).run(None)
    return datatrove_clusters(paths, Path(removed))


def datatrove_clusters(paths: list[Path], removed: Path) -> Found:
    """What the stages' files say."""
    clusters: dict[int, list[str]] = {}
    for number, path in enumerate(paths):
        names = pq.read_table(path, columns=["id"])["id"].to_pylist()
        file = removed / f"{number:06}.clusters"
        for document, cluster in pairs_of_numbers(file) if file.exists() else []:
            clusters.setdefault(cluster, []).append(names[document])
    return {name: members[0] for members in clusters.values() for name in members[1:]}


def pairs_of_numbers(path: Path) -> list[tuple[int, int]]:
    """A file's little-endian 32-bit numbers, two by two."""
    numbers = memoryview(path.read_bytes()).cast("I").tolist()
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def write(found: Found, folder: Path) -> None:
    """The decisions as a Parquet file."""
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"id": list(found), "best": list(found.values())}), folder / "found.parquet")


def recall(copies: Copies, found: Found) -> float:
    """The share of planted pairs in one cluster."""

    def root(name: str) -> str:
        while found.get(name, name) != name:
            name = found[name]
        return name

    together = [root(copy) == root(original) for copy, original in copies.planted.items()]
    return sum(together) / len(together)


def false_merges(copies: Copies, found: Found) -> list[tuple[str, str, float]]:
    """(document, what it fell out for, similarity) of those that are unlike every document they may copy."""
    partners: dict[str, list[str]] = {}
    for name, best in found.items():
        partners.setdefault(name, []).append(best)
        partners.setdefault(best, []).append(name)
    for copy, original in copies.planted.items():
        partners.setdefault(copy, []).append(original)
        partners.setdefault(original, []).append(copy)
    wrong = []
    for name, best in found.items():
        alike = [
            similarity(copies.texts[name], copies.texts[other]) for other in partners[name] if other != name
        ]
        if max(alike, default=0) < THRESHOLD:
            wrong.append((name, best, round(max(alike, default=0), 3)))
    return wrong


Side = Callable[[list[Path], Path], Found]


def measure(
    sides: dict[str, Side], paths: list[Path], rounds: int
) -> tuple[dict[str, float], dict[str, Found]]:
    """Median CPU seconds of each side, in turns, and what it found."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    found: dict[str, Found] = {}
    for _ in range(rounds):
        for name, side in sides.items():
            with tempfile.TemporaryDirectory() as folder:
                started = time.process_time()
                found[name] = side(paths, Path(folder) / "out")
                seconds[name].append(time.process_time() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}, found


def compare(copies: Copies, peers: dict[str, Side], rounds: int) -> list[Comparison]:
    """Speed, recall and precision of this package and of the peers on the same documents."""
    with tempfile.TemporaryDirectory() as folder:
        paths = copies.write(Path(folder) / "documents")
        for side in (ours, *peers.values()):  # compile, import and load dictionaries
            with tempfile.TemporaryDirectory() as other:
                few = Copies(dict(islice(copies.texts.items(), 20)), {})
                side(few.write(Path(other) / "documents"), Path(other) / "out")
        seconds, found = measure({"ours": ours, **peers}, paths, rounds)
    size = f"{len(copies.texts)} documents, {copies.megabytes:.1f} MB, {len(copies.planted)} planted"
    print(f"{size}: " + ", ".join(f"{name} finds {len(items)}" for name, items in found.items()))
    exact = {name: precision(name, copies, items) for name, items in found.items()}
    speed = {name: copies.megabytes / elapsed_s for name, elapsed_s in seconds.items()}
    rows = []
    for name in peers:
        rows.append(comparison(f"end to end, {name}", speed["ours"], speed[name], "MB/s"))
        if name != NAMES_NO_PARTNER:
            pairs = [recall(copies, found[side]) for side in ("ours", name)]
            rows.append(comparison(f"recall, {name}", *pairs, "share"))
            rows.append(comparison(f"precision, {name}", exact["ours"], exact[name], "share"))
    return rows


def precision(side: str, copies: Copies, found: Found) -> float:
    """The share of what falls out that is a true near-copy; some of what is not is printed."""
    wrong = false_merges(copies, found) if side != NAMES_NO_PARTNER else []
    for document, best, like in wrong[:10]:
        print(f"false merge of {side}: {document} for {best} (similarity {like})")
    return 1 - len(wrong) / max(1, len(found))


def comparison(what: str, known: float, other: float, unit: str) -> Comparison:
    """One line of the result."""
    return Comparison(f"dedup: {what}", round(known / other, 3), round(known, 4), round(other, 4), unit)


def main() -> None:
    """Measure all sides."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--works", type=int, default=200)
    parser.add_argument("--copies", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = "1"
    print(machine(["numba", "numpy", "pyarrow", "rensa", "datatrove", "spacy", "sudachipy"]))
    found = real_texts(options.data, options.works) if options.data.is_dir() else made_texts(10_000)
    copies = with_copies(dict(found), options.copies, seed=0)
    rows = []
    if is_installed("rensa"):
        rows += compare(copies, {"rensa": by_rensa, NAMES_NO_PARTNER: by_rensa_in_bulk}, options.rounds)
    if is_installed("datatrove") and is_installed("spacy"):
        originals = {name: text for name, text in copies.texts.items() if name not in copies.planted}
        few = with_copies(dict(islice(originals.items(), SLOW_DOCUMENTS)), SLOW_DOCUMENTS // 10, seed=1)
        rows += compare(few, {"datatrove": by_datatrove}, 1)
    emit(rows)


if __name__ == "__main__":
    main()
