"""Small token boxes made without a tokenizer, for what only reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from tsuzuri.core.manifest import make_box
from tsuzuri.data.box import PIECES, SPLITS, Pieces, TokenBox, shard_stem
from tsuzuri.data.shards import shard_writer, token_dtype

Documents = Mapping[str, Sequence[Sequence[int]]]
MakeTokenBox = Callable[..., TokenBox]


@pytest.fixture(scope="session")
def make_token_box(tmp_path_factory: pytest.TempPathFactory) -> MakeTokenBox:
    """A function (train={source: documents}, heldout=…, vocab_size) → TokenBox; end-of-text is token 0."""

    def make(train: Documents, heldout: Documents | None = None, vocab_size: int = 300) -> TokenBox:
        path = tmp_path_factory.mktemp("tokens")
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
                "tokenizer_sha256": "ab" * 32,
                "vocab_size": vocab_size,
            }

        make_box(path, kind="tokens", config={}, inputs={}, work=work)
        return TokenBox.open(Path(path))

    return make
