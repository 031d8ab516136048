"""Documents and a tokenizer in, a tokens box out (see `box` for what is in the folder).

First each Parquet file of documents is encoded, in its order, to a shard and a table of its own under
`parts/`; a rerun takes up at the first file without them. Then, for each split and source, its documents are
gathered from the parts in the order of a keyed hash of their ids. So neighbours in a shard are strangers, a
prefix of the held-out documents is a fair sample, and the bytes depend neither on the number of processes nor
on where a run was killed. The price is the shards' own size on disk once more while they are made.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tsuzuri.core.errors import InputError
from tsuzuri.core.files import atomic_file
from tsuzuri.core.manifest import Manifest, make_box, read_manifest, record_timing, verify_files
from tsuzuri.core.progress import track
from tsuzuri.data.box import PIECES, SPLITS, Pieces, Split, shard_stem
from tsuzuri.data.config import PackConfig
from tsuzuri.data.encode import SIZES, Encoded, encode_all, row_groups
from tsuzuri.data.permutation import key_of
from tsuzuri.data.shards import Shard, shard_writer, token_dtype
from tsuzuri.tokenizer.codec import Tokenizer

PARTS = "parts"
DOCUMENTS_PER_WRITE = 64


def pack(config: PackConfig, documents: Path, tokenizer: Path, box: Path) -> Manifest:
    """The manifest of the tokens box made from a documents box and a tokenizer (a box or a tokenizer.json).

    Raises InputError when there is no training or no held-out text, IntegrityError when an input is not as it
    was made or the tokenizer is not lossless, ResumeError when `box` was begun with other inputs.
    """
    documents, tokenizer, box = Path(documents), Path(tokenizer), Path(box)
    read_manifest(documents, "documents")

    def work() -> dict[str, Any]:
        codec = Tokenizer.load(tokenizer)
        if not (box / PIECES).exists():
            _make_shards(config, documents, tokenizer, codec, box)
            Pieces.of(codec.pieces, codec.eos_id).write(box / PIECES)  # last: where it is, every shard is
        shutil.rmtree(box / PARTS, ignore_errors=True)
        return {
            "sources": count_documents(box),
            "tokenizer_sha256": codec.sha256,
            "vocab_size": codec.vocab_size,
        }

    return make_box(
        box,
        kind="tokens",
        config=config.model_dump(mode="json", exclude={"processes"}),  # it changes no byte
        inputs={"documents": documents, "tokenizer": tokenizer},
        work=work,
    )


def _make_shards(config: PackConfig, documents: Path, tokenizer: Path, codec: Tokenizer, box: Path) -> None:
    files = {split: _files(documents, split) for split in SPLITS}
    verify_files(documents, [file.name for split in SPLITS for file in files[split]])
    parts = {file: box / PARTS / file.stem for split in SPLITS for file in files[split]}
    groups = {file: row_groups(file) for file, part in parts.items() if not table_path(part).exists()}
    waiting = list(chain.from_iterable(groups.values()))
    started = time.perf_counter()
    tokens = size = 0
    encoding = encode_all(tokenizer, codec.sha256, waiting, config.processes)
    encoded = track(encoding, "packing", total=len(waiting))
    dtype = token_dtype(codec.vocab_size)
    for file, own in groups.items():
        table = _write_part(parts[file], islice(encoded, len(own)), dtype)
        tokens += pc.sum(table["tokens"]).as_py()
        size += pc.sum(table["bytes"]).as_py()
    if tokens:
        elapsed_s = time.perf_counter() - started
        record_timing(box, "encode", tokens_per_s=tokens / elapsed_s, megabytes_per_s=size / elapsed_s / 1e6)
    sources = _sources(parts.values())
    for split in SPLITS:
        _gather(box, split, [parts[file] for file in files[split]], sources, config.order_seed)


def _files(documents: Path, split: Split) -> list[Path]:
    """The Parquet files of a split that hold any documents."""
    files = sorted(documents.glob(f"{split}-[0-9]*.parquet"))
    filled = [file for file in files if pq.read_metadata(file).num_rows]
    if not filled:
        kind, amount = ("training", "less") if split == "train" else ("held-out", "more")
        raise InputError(
            f"{documents} holds no {kind} documents",
            hint=f"add text of other authors, packages or hosts, or let the corpus hold {amount} of it out",
        )
    return filled


def _write_part(stem: Path, run: Iterable[Encoded], dtype: np.dtype[Any]) -> pa.Table:
    """Write one file's documents as a shard, then their table, which says that the part is whole."""
    tables = []
    with shard_writer(stem, dtype) as add:
        for encoded in run:
            add(encoded.tokens, encoded.table["tokens"].to_numpy())
            tables.append(encoded.table)
    table = pa.concat_tables(tables)
    write_table(stem, table)
    return table


def _sources(parts: Iterable[Path]) -> list[str]:
    """The names of all sources in the parts; InputError when one cannot be part of a file's name."""
    found = (pq.read_table(table_path(part), columns=["source"])["source"] for part in parts)
    names = sorted({name for column in found for name in pc.unique(column).to_pylist()})
    for name in names:
        if not name or "/" in name or "\0" in name:
            raise InputError(
                f"the source name {name!r} cannot be part of a file's name", hint="rename the source"
            )
    return names


def _gather(box: Path, split: Split, parts: list[Path], sources: list[str], order_seed: int) -> None:
    """Write a split's shard and table of every source from the parts; what is already there is left."""
    shards = [Shard(part) for part in parts]
    tables = [
        pq.read_table(table_path(part))
        .append_column("part", pa.array(np.full(len(shard), number)))
        .append_column("place", pa.array(np.arange(len(shard))))
        for number, (part, shard) in enumerate(zip(parts, shards, strict=True))
    ]
    everything = pa.concat_tables(tables)
    for source in sources:
        stem = shard_stem(box, split, source)
        if table_path(stem).exists():
            continue
        table = everything.filter(pc.equal(everything["source"], source))
        keys = np.array([key_of(order_seed, name) for name in table["id"].to_pylist()], np.uint64)
        table = table.take(np.argsort(keys, kind="stable"))
        lengths = table["tokens"].to_numpy()
        places = list(zip(table["part"].to_pylist(), table["place"].to_pylist(), strict=True))
        with shard_writer(stem, shards[0].tokens.dtype) as add:
            for start in range(0, len(places), DOCUMENTS_PER_WRITE):
                span = slice(start, start + DOCUMENTS_PER_WRITE)
                add(np.concatenate([shards[part][place] for part, place in places[span]]), lengths[span])
        write_table(stem, table.select(["id", "license", *SIZES]))


def count_documents(box: Path) -> dict[str, dict[str, int]]:
    """source → train_documents, train_tokens, train_bytes, train_characters, and the same of held-out."""
    counts: dict[str, dict[str, int]] = {}
    for split in SPLITS:
        for path in sorted(box.glob(f"{split}-*.parquet")):
            table = pq.read_table(path, columns=list(SIZES))
            own = counts.setdefault(path.stem.removeprefix(f"{split}-"), {})
            own[f"{split}_documents"] = table.num_rows
            own |= {f"{split}_{name}": pc.sum(table[name], min_count=0).as_py() for name in SIZES}
    return counts


def table_path(stem: Path) -> Path:
    """Where the table of a shard's documents lies."""
    return stem.with_name(stem.name + ".parquet")


def write_table(stem: Path, table: pa.Table) -> None:
    """Write the table of a shard's documents, in the shard's order: last of its files."""
    with atomic_file(table_path(stem)) as file:
        pq.write_table(table, file, compression="zstd")
