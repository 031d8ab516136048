"""Which documents hold what a model will be tested on.

A test item (question, passage, sentence pair) is the set of the character n-grams of its folded text; a
document holds the item when it has at least a given share of them. The share follows PaLM (Chowdhery et al.
2022, §8: contaminated where 70 % of the 8-grams of words are found), the n-grams are of characters, for
Japanese has no words to count: 13 are about as long as eight English words are rare. Folding (NFKC, no case,
no white space) hides no copy behind a width or a line break. No text of a benchmark is kept, only numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from operator import methodcaller
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.core.errors import InputError
from tsuzuri.core.files import atomic_file
from tsuzuri.corpus.config import DecontaminateConfig
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.duplicates.exact import fold
from tsuzuri.corpus.duplicates.parts import Parts, open_parts
from tsuzuri.corpus.duplicates.shingles import code_points, ngram_hashes
from tsuzuri.corpus.sources.base import read
from tsuzuri.corpus.sources.files import FilesOnDisk
from tsuzuri.corpus.work import Workers, in_folder

Integers = npt.NDArray[np.int64]

CONTAMINATED = "contaminated.parquet"
FINDINGS = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("item", pa.int64(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
    ]
)
FIRST_KATAKANA, LAST_KATAKANA = np.uint32(ord("ァ")), np.uint32(ord("ヶ"))
KATAKANA_TO_HIRAGANA = np.uint32(ord("ァ") - ord("ぁ"))
TABLE_BITS = 24
"""Size of the table of hash prefixes that most n-grams of a document end at: 16 MiB."""


@dataclass(frozen=True, slots=True)
class Contamination:
    """A test item that a document holds."""

    benchmark: str
    item: int
    """Its place in the benchmark."""
    share: float
    """Of the item's n-grams, those found."""


class TestItems:
    """The items of all benchmarks, ready to be looked for. About 30 bytes for each of their n-grams."""

    __test__ = False  # no test class, whatever pytest thinks of the name

    def __init__(self, benchmarks: Mapping[str, Iterable[str]], config: DecontaminateConfig) -> None:
        """`benchmarks`: name → the texts of its items. InputError where none is long enough to look for."""
        self.config = config
        self.counts: dict[str, dict[str, int]] = {}
        """benchmark → {items, too_short}"""
        self._items: list[tuple[str, int]] = []
        grams: list[npt.NDArray[np.uint64]] = []
        for name, texts in benchmarks.items():
            counts = self.counts[name] = {"items": 0, "too_short": 0}
            for place, text in enumerate(texts):
                counts["items"] += 1
                own = np.unique(self._hashes(text))
                if len(own):
                    self._items.append((name, place))
                    grams.append(own)
                else:
                    counts["too_short"] += 1
            if not counts["items"]:
                raise InputError(
                    f"the benchmark {name!r} holds no item",
                    hint="name with fields: {text: …} what is looked for, with records: … where it stands",
                )
        if benchmarks and not grams:
            raise InputError(
                f"no test item has {config.ngram_characters} characters to be looked for",
                hint="look at the benchmarks' fields, or lower corpus.decontaminate.ngram_characters",
            )
        self._sizes: Integers = np.array([len(own) for own in grams], np.int64)
        everything = np.concatenate(grams) if grams else np.zeros(0, np.uint64)
        owners = np.repeat(np.arange(len(grams)), self._sizes)
        order = np.argsort(everything, kind="stable")
        self._grams, starts = np.unique(everything[order], return_index=True)
        self._owners: Integers = owners[order]
        self._starts: Integers = np.append(starts, len(everything)).astype(np.int64)
        self._prefixes = np.zeros(2**TABLE_BITS, bool)
        self._prefixes[_prefix(self._grams)] = True

    def found_in(self, text: str) -> list[Contamination]:
        """The items that a text holds, in the order of the benchmarks."""
        hashes = self._hashes(text)
        hashes = np.unique(hashes[self._prefixes[_prefix(hashes)]])
        places = np.searchsorted(self._grams, hashes)
        places = places[self._grams[np.minimum(places, len(self._grams) - 1)] == hashes]
        if not len(places):
            return []
        owners = np.concatenate([self._owners[self._starts[p] : self._starts[p + 1]] for p in places])
        items, counts = np.unique(owners, return_counts=True)
        shares = counts / self._sizes[items]
        held = [
            (*self._items[item], share)
            for item, share in zip(items.tolist(), shares.tolist(), strict=True)
            if share >= self.config.min_share
        ]
        return [Contamination(name, place, share) for name, place, share in held]

    def _hashes(self, text: str) -> npt.NDArray[np.uint64]:
        """A number for each n-gram of the folded text, its katakana as hiragana, in its order; none of a
        shorter one."""
        codes, _ = code_points([fold(text)])
        is_katakana = (codes >= FIRST_KATAKANA) & (codes <= LAST_KATAKANA)
        codes = np.where(is_katakana, codes - KATAKANA_TO_HIRAGANA, codes)
        if len(codes) < self.config.ngram_characters:
            return np.zeros(0, np.uint64)
        out = np.empty(len(codes), np.uint64)
        return out[: ngram_hashes(codes, self.config.ngram_characters, out)]


def contaminated(
    paths: Sequence[Path],
    folder: Path,
    config: DecontaminateConfig,
    root: Path,
    *,
    taking_part: Path | None = None,
    workers: int = 1,
) -> dict[str, dict[str, int]]:
    """`report` of what the documents of Parquet files hold; `folder/contaminated.parquet` has row, benchmark,
    item and share of each finding.

    The paths of benchmarks are under `root`; `taking_part` is a `.npy` of booleans for the rows of all files.
    """
    sources = [FilesOnDisk(benchmark, root) for benchmark in config.benchmarks]
    parts = open_parts(paths, ["text"], taking_part)
    facts = {
        "decontaminate": config.as_mapping(),
        "benchmarks": {source.name: source.fingerprint() for source in sources},
        "documents": parts.fingerprint(),
    }
    items = TestItems({source.name: texts_of(source) for source in sources}, config)
    out = folder / CONTAMINATED
    in_folder(folder, facts, partial(_look, parts, items, out), workers)
    found = pq.read_table(out).to_pylist()
    by_row: dict[int, list[Contamination]] = {}
    for one in found:
        by_row.setdefault(one.pop("row"), []).append(Contamination(**one))
    return report(items, by_row.values())


def read_details(path: Path, start_row: int, stop_row: int) -> dict[int, str]:
    """row → the share of a test item that it holds, and which item, for the rows in a range."""
    wanted = [("row", ">=", start_row), ("row", "<", stop_row)]
    found = pq.read_table(path, filters=wanted).to_pylist()
    return {one["row"]: f"{one['share']:.3f}; {one['benchmark']} {one['item']}" for one in found}


def texts_of(source: FilesOnDisk) -> Iterator[str]:
    """The items of a benchmark."""
    for batch in source.batches():
        yield from (item.text for item in read(source, batch) if isinstance(item, Document))


def _look(parts: Parts, items: TestItems, out: Path, folder: Path, workers: Workers) -> dict[str, int]:
    tasks = [Looking(parts, part, items, folder / f"{part:05}.parquet") for part in range(len(parts))]
    workers.each(methodcaller("write"), tasks, what="looking for test items")
    tables = [FINDINGS.empty_table(), *(pq.read_table(task.out) for task in tasks)]
    with atomic_file(out) as file:
        pq.write_table(pa.concat_tables(tables), file, compression="zstd")
    return {"findings": sum(table.num_rows for table in tables)}


@dataclass(frozen=True)
class Looking:
    """The test items in the documents of a part: a task for one worker."""

    parts: Parts
    part: int
    items: TestItems
    out: Path

    def write(self) -> None:
        """Write the findings, unless an earlier run did."""
        if self.out.exists():
            return
        documents = self.parts.read(self.part, ["text"], self.parts.selected(self.part))
        rows = list(
            chain.from_iterable(
                (
                    {"row": row, "benchmark": one.benchmark, "item": one.item, "share": one.share}
                    for one in self.items.found_in(document["text"])
                )
                for row, document in documents
            )
        )
        with atomic_file(self.out) as file:
            pq.write_table(pa.Table.from_pylist(rows, schema=FINDINGS), file)


def report(items: TestItems, found: Iterable[Sequence[Contamination]]) -> dict[str, dict[str, int]]:
    """benchmark → {items, too_short, found (items that some document holds), documents (that hold one)}."""
    held: dict[str, set[int]] = {name: set() for name in items.counts}
    documents = dict.fromkeys(items.counts, 0)
    for document in found:
        for name in {one.benchmark for one in document}:
            documents[name] += 1
        for one in document:
            held[one.benchmark].add(one.item)
    return {
        name: {**counts, "found": len(held[name]), "documents": documents[name]}
        for name, counts in items.counts.items()
    }


def _prefix(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return hashes >> np.uint64(64 - TABLE_BITS)
