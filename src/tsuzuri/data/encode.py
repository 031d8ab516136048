"""Documents encoded to tokens, a Parquet row group at a time, in order, in this process or in several.

The order of the results is the order of the documents whatever the number of processes, and only a few row
groups are in memory at once.
"""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.core.errors import IntegrityError, ResourceError
from tsuzuri.core.processes import end_with_parent, unheard_interrupts
from tsuzuri.data.box import Pieces
from tsuzuri.data.shards import token_dtype
from tsuzuri.tokenizer.codec import Tokenizer

CHARACTERS_PER_CALL = 1_000_000
"""Text given to the tokenizer at a time: its answers take some hundred bytes a token for a moment."""

COLUMNS = ("id", "source", "license")
SIZES = ("tokens", "bytes", "characters")
ENCODED_SCHEMA = pa.schema(
    [*((name, pa.string()) for name in COLUMNS), *((name, pa.int64()) for name in SIZES)]
)


@dataclass(frozen=True)
class RowGroup:
    """A piece of work: one row group of a Parquet file of documents."""

    file: Path
    number: int


@dataclass(frozen=True)
class Encoded:
    """The documents of a row group as tokens."""

    tokens: npt.NDArray[Any]
    """Every document's tokens and its closing end-of-text token, one after the other."""
    table: pa.Table
    """One row per document: id, source, license, its tokens (the closing one too), bytes and characters."""


def row_groups(file: Path) -> list[RowGroup]:
    """The row groups of a Parquet file that hold any rows, in order."""
    metadata = pq.read_metadata(file)
    numbers = range(metadata.num_row_groups)
    return [RowGroup(file, number) for number in numbers if metadata.row_group(number).num_rows]


def encode_all(
    tokenizer: Path, tokenizer_sha256: str, groups: Sequence[RowGroup], processes: int
) -> Iterator[Encoded]:
    """The row groups encoded, in their order. ResourceError when a process is killed under its work."""
    encode = partial(encode_group, tokenizer, tokenizer_sha256)
    if processes == 1:
        yield from map(encode, groups)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin) as pool:
        ahead: deque[Future[Encoded]] = deque()
        try:
            for group in groups:
                with unheard_interrupts():
                    ahead.append(pool.submit(encode, group))
                if len(ahead) > 2 * processes:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        except BrokenProcessPool as error:
            raise ResourceError(
                "a process that was encoding documents was killed, perhaps for want of memory",
                hint="run the same command again with fewer processes: it resumes",
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def encode_group(tokenizer: Path, tokenizer_sha256: str, group: RowGroup) -> Encoded:
    """One row group encoded; IntegrityError when a document would not come back exactly from its tokens."""
    codec, pieces = _codec(tokenizer, tokenizer_sha256)
    with pq.ParquetFile(group.file) as file:
        documents = file.read_row_group(group.number, columns=["text", *COLUMNS])
    texts: list[str] = documents["text"].to_pylist()
    flat, lengths = array("i"), array("q")
    for start, end in _spans(texts):
        for ids in codec.encode_batch(texts[start:end]):
            flat.fromlist(ids)
            flat.append(codec.eos_id)
            lengths.append(len(ids) + 1)
    tokens = np.frombuffer(flat, np.int32).astype(token_dtype(codec.vocab_size))
    sizes = {
        "tokens": np.frombuffer(lengths, np.int64),
        "bytes": np.array([len(text.encode()) for text in texts], np.int64),
        "characters": np.array([len(text) for text in texts], np.int64),
    }
    table = documents.select(list(COLUMNS))
    for name, values in sizes.items():
        table = table.append_column(name, pa.array(values))
    _check_spelling(tokenizer, pieces, tokens, table)
    return Encoded(tokens, table.cast(ENCODED_SCHEMA))


def _check_spelling(tokenizer: Path, pieces: Pieces, tokens: npt.NDArray[Any], table: pa.Table) -> None:
    """Raise IntegrityError unless every document's tokens are worth its bytes: bits per byte rest on it."""
    sizes = {name: table[name].to_numpy() for name in SIZES}
    starts = np.cumsum(sizes["tokens"]) - sizes["tokens"]
    spelled = np.add.reduceat(pieces.byte_counts[tokens], starts)
    characters = np.add.reduceat(pieces.character_counts[tokens], starts)
    wrong = np.flatnonzero((spelled != sizes["bytes"]) | (characters != sizes["characters"]))
    if wrong.size:
        first = int(wrong[0])
        raise IntegrityError(
            f"the tokenizer {tokenizer} changes texts: document {table['id'][first]} has "
            f"{sizes['bytes'][first]} bytes and its tokens spell {spelled[first]}",
            hint="use a tokenizer whose tokens spell every text exactly, such as one that tsuzuri trained",
        )


def _spans(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Neighbouring texts of about CHARACTERS_PER_CALL, as (first, end)."""
    start = characters = 0
    for number, text in enumerate(texts, start=1):
        characters += len(text)
        if characters >= CHARACTERS_PER_CALL or number == len(texts):
            yield start, number
            start, characters = number, 0


@lru_cache(maxsize=1)
def _codec(tokenizer: Path, tokenizer_sha256: str) -> tuple[Tokenizer, Pieces]:
    """The tokenizer, loaded once in each process; IntegrityError when it is another by now."""
    codec = Tokenizer.load(tokenizer)
    if codec.sha256 != tokenizer_sha256:
        raise IntegrityError(f"the tokenizer {tokenizer} has changed while documents were encoded with it")
    return codec, Pieces.of(codec.pieces, codec.eos_id)


def _begin() -> None:
    end_with_parent()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
