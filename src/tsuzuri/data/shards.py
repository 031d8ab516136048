"""Token shards on disk: Megatron's `.bin`/`.idx` pair, written once and read through a memory map.

`.bin` is every document's tokens, one after the other. `.idx` is, little-endian: the magic, the version
(u64), the type code (u8), the number of sequences (u64), the number of document borders (u64, one more than
there are documents), the sequences' lengths in tokens (i32 each), where each begins in `.bin` in bytes (i64
each), and the borders as sequence numbers (i64 each). Megatron lets a document hold several sequences; here
it is always one, closed by the end-of-text token, so the borders are 0 … n. Layout: Megatron-LM,
core/datasets/indexed_dataset.py.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import IntegrityError
from tsuzuri.core.files import atomic_file

Tokens = npt.NDArray[np.uint16] | npt.NDArray[np.int32]
Integers = npt.NDArray[np.int64]

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
HEADER = struct.Struct("<9sQBQQ")
DTYPE_CODES: dict[int, np.dtype[Any]] = {4: np.dtype("<i4"), 8: np.dtype("<u2")}
UINT16_VOCABULARY = 65_500
"""Megatron stores vocabularies below this size in two bytes a token, and others in four."""


class AddDocuments(Protocol):
    """Appends documents to a shard: their tokens one after the other, and the length of each."""

    def __call__(self, tokens: npt.NDArray[Any], lengths: npt.NDArray[Any], /) -> None: ...


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The type that a shard's tokens are stored in: uint16 where the vocabulary fits, else int32."""
    return DTYPE_CODES[8 if vocab_size < UINT16_VOCABULARY else 4]


@contextmanager
def shard_writer(stem: Path, dtype: np.dtype[Any]) -> Iterator[AddDocuments]:
    """A function that appends documents to the shard `stem`, whose files appear when the block ends."""
    lengths = array("i")
    with atomic_file(_beside(stem, ".bin")) as file:

        def add(tokens: npt.NDArray[Any], document_lengths: npt.NDArray[Any]) -> None:
            file.write(np.ascontiguousarray(tokens, dtype=dtype).data)
            lengths.extend(document_lengths.tolist())

        yield add
    sizes = np.array(lengths, dtype="<i4")
    ends = np.cumsum(sizes, dtype="<i8") * dtype.itemsize
    code = next(code for code, known in DTYPE_CODES.items() if known == dtype)
    with atomic_file(_beside(stem, ".idx")) as file:
        file.write(HEADER.pack(MAGIC, VERSION, code, len(sizes), len(sizes) + 1))
        file.write(sizes.tobytes())
        file.write((ends - sizes.astype("<i8") * dtype.itemsize).tobytes())
        file.write(np.arange(len(sizes) + 1, dtype="<i8").tobytes())


class Shard:
    """The documents of one split of one source, from a memory map; `shard[i]` in constant time."""

    def __init__(self, stem: Path) -> None:
        """Map `stem`.bin and `stem`.idx; IntegrityError when they are not a whole pair."""
        index_path, tokens_path = _beside(stem, ".idx"), _beside(stem, ".bin")
        index = _mapped(index_path, np.dtype("u1"))
        header = index[: HEADER.size].tobytes()
        if len(header) < HEADER.size or not header.startswith(MAGIC):
            raise _damaged(index_path, "it is not an index of token shards")
        _, version, code, documents, borders = HEADER.unpack(header)
        if version != VERSION or code not in DTYPE_CODES or borders != documents + 1:
            raise _damaged(
                index_path, f"version {version}, type code {code}, {documents} sequences, {borders} borders"
            )
        if len(index) != HEADER.size + documents * (4 + 8) + borders * 8:
            raise _damaged(index_path, f"{len(index)} bytes do not hold {documents} documents")
        self.tokens: Tokens = _mapped(tokens_path, DTYPE_CODES[code])
        """All tokens of the shard, one document after the other, as a read-only map of the file."""
        self.lengths: npt.NDArray[np.int32] = np.frombuffer(index, "<i4", documents, HEADER.size)
        """Tokens of each document, its closing end-of-text token included."""
        self._starts: Integers = np.frombuffer(index, "<i8", documents, HEADER.size + 4 * documents)
        end = int(self._starts[-1]) + int(self.lengths[-1]) * self.tokens.itemsize if documents else 0
        if end != self.tokens.nbytes:
            raise _damaged(tokens_path, f"it holds {self.tokens.nbytes:,} bytes where its index says {end:,}")

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, document: int) -> Tokens:
        """The tokens of one document, its closing end-of-text token included, as a view of the file."""
        start = int(self._starts[document]) // self.tokens.itemsize
        return self.tokens[start : start + int(self.lengths[document])]

    def __iter__(self) -> Iterator[Tokens]:
        return (self[document] for document in range(len(self)))


def _beside(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)  # not with_suffix: a source's name may hold a dot


def _mapped(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise _damaged(path, "it is missing") from error
    if size % dtype.itemsize:
        raise _damaged(path, f"its {size:,} bytes are no whole number of tokens")
    # A plain array over the map: slices of numpy's memmap class cost several times as much.
    return np.asarray(np.memmap(path, dtype=dtype, mode="r")) if size else np.empty(0, dtype)


def _damaged(path: Path, what: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is damaged: {what}", hint=f"restore it, or remove {path.parent} and pack again"
    )
