"""Small token boxes made without a tokenizer, for what only reads them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from token_boxes import Documents, write_token_box
from tsuzuri.data.box import TokenBox

MakeTokenBox = Callable[..., TokenBox]


@pytest.fixture(scope="session")
def make_token_box(tmp_path_factory: pytest.TempPathFactory) -> MakeTokenBox:
    """A function (train={source: documents}, heldout=…, vocab_size) → TokenBox; end-of-text is token 0."""

    def make(train: Documents, heldout: Documents | None = None, vocab_size: int = 300) -> TokenBox:
        return write_token_box(tmp_path_factory.mktemp("tokens"), train, heldout, vocab_size)

    return make
