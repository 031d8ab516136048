"""The tokens box, opened: shards by split and source, and what each token id is worth in text.

In the folder, for each split and source: `train-aozora.bin`, `.idx` (see `shards`) and `.parquet` (one row
per document, in the shard's order: id, license, tokens, bytes, characters); and `pieces.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import InputError, IntegrityError, closest
from tsuzuri.core.files import write_json
from tsuzuri.core.manifest import read_manifest, verify_files
from tsuzuri.data.shards import Shard

Split = Literal["train", "heldout"]
SPLITS: tuple[Split, ...] = ("train", "heldout")
PIECES = "pieces.json"


def shard_stem(box: Path, split: str, source: str) -> Path:
    """Where a shard's files lie, without their suffixes."""
    return box / f"{split}-{source}"


@dataclass(frozen=True)
class Pieces:
    """What each token id is worth; sums over whole documents are exact."""

    eos_id: int
    byte_counts: npt.NDArray[np.int64]
    """(vocab_size,) UTF-8 bytes of each piece; 0 for special pieces."""
    character_counts: npt.NDArray[np.int64]
    """(vocab_size,) characters that begin in each piece."""

    @classmethod
    def of(cls, pieces: list[bytes], eos_id: int) -> Pieces:
        """The worth of a tokenizer's pieces. A byte that continues a UTF-8 character begins none."""
        sizes = np.array([len(piece) for piece in pieces], np.int64)
        characters = [sum(byte & 0xC0 != 0x80 for byte in piece) for piece in pieces]
        return cls(eos_id, sizes, np.array(characters, np.int64))

    @classmethod
    def read(cls, path: Path) -> Pieces:
        """The pieces written by `write`; IntegrityError when they cannot be read."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            counts = (np.array(values[name], np.int64) for name in ("bytes", "characters"))
            return cls(int(values["eos_id"]), *counts)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{path} is damaged", hint=f"remove {path.parent} and pack again") from error

    def write(self, path: Path) -> None:
        """Write the pieces as JSON."""
        byte_counts, character_counts = self.byte_counts.tolist(), self.character_counts.tolist()
        write_json(path, {"eos_id": self.eos_id, "bytes": byte_counts, "characters": character_counts})


class TokenBox:
    """A finished tokens box."""

    def __init__(
        self, path: Path, sources: dict[str, dict[str, int]], tokenizer_sha256: str, pieces: Pieces
    ) -> None:
        self.path = path
        self.counts = sources
        """source → its counts: train_tokens, train_documents, heldout_bytes and so on."""
        self.tokenizer_sha256 = tokenizer_sha256
        """SHA-256 of the `tokenizer.json` that the documents were packed with."""
        self.eos_id = pieces.eos_id
        """The piece that closes every document and opens the next."""
        self.vocab_size = len(pieces.byte_counts)
        self.piece_bytes = pieces.byte_counts
        self.piece_characters = pieces.character_counts

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> TokenBox:
        """The box at `path`; `verify` reads every file once and compares it with the manifest.

        Raises InputError when there is no finished box, IntegrityError naming a file that has changed.
        """
        path = Path(path)
        manifest = read_manifest(path, "tokens")
        if verify:
            verify_files(path)
        counts = manifest.counts
        return cls(path, counts["sources"], counts["tokenizer_sha256"], Pieces.read(path / PIECES))

    @property
    def sources(self) -> list[str]:
        """The names of all sources, in a fixed order."""
        return sorted(self.counts)

    def shard(self, split: Split, source: str) -> Shard:
        """The documents of one split of one source; it may hold none."""
        if source not in self.counts:
            raise InputError(
                f"{self.path} holds no source {source!r}{closest(source, self.counts)}",
                hint=f"sources: {', '.join(self.sources)}",
            )
        return Shard(shard_stem(self.path, split, source))


def require_tokenizer(box: TokenBox, tokenizer_sha256: str) -> None:
    """Raise IntegrityError unless the shards were packed with the `tokenizer.json` of this SHA-256."""
    if box.tokenizer_sha256 != tokenizer_sha256:
        raise IntegrityError(
            f"{box.path} was packed with another tokenizer, {box.tokenizer_sha256[:12]}…: "
            f"this one is {tokenizer_sha256[:12]}…",
            hint="give the tokenizer that it was packed with, or pack the documents again with this one",
        )
