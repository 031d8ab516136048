"""Small token boxes made without a tokenizer, for what only reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tsuzuri.core.manifest import make_box
from tsuzuri.data.box import PIECES, SPLITS, Pieces, TokenBox, shard_stem
from tsuzuri.data.shards import shard_writer, token_dtype

Documents = Mapping[str, Sequence[Sequence[int]]]


def write_token_box(
    path: Path,
    train: Documents,
    heldout: Documents | None = None,
    vocab_size: int = 300,
    tokenizer_sha256: str = "ab" * 32,
) -> TokenBox:
    """The box at `path`, made of {source: documents}; end-of-text is token 0."""
    parts = {"train": train, "heldout": heldout or {}}

    def work() -> dict[str, object]:
        for split in SPLITS:
            for source in train:
                documents = parts[split].get(source, [])
                with shard_writer(shard_stem(path, split, source), token_dtype(vocab_size)) as add:
                    for document in documents:
                        add(np.array(document), np.array([len(document)]))
        pieces = [b"", *(b"x" * (1 + token % 3) for token in range(1, vocab_size))]
        Pieces.of(pieces, eos_id=0).write(path / PIECES)
        return {
            "sources": {source: {} for source in train},
            "tokenizer_sha256": tokenizer_sha256,
            "vocab_size": vocab_size,
        }

    make_box(path, kind="tokens", config={}, inputs={}, work=work)
    return TokenBox.open(path)
