from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.data.box import TokenBox
from tsuzuri.data.heldout import IGNORE, heldout_rows

from .conftest import MakeTokenBox

DOCUMENTS = st.lists(st.lists(st.integers(1, 250), max_size=25).map(lambda tokens: [*tokens, 0]), max_size=15)


def collect(
    box: TokenBox, *, length: int, max_tokens: int, batch_rows: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    batches = list(heldout_rows(box, "a", length=length, max_tokens=max_tokens, batch_rows=batch_rows))
    assert all(len(inputs) == batch_rows for inputs, _ in batches[:-1])
    assert all(inputs.shape == targets.shape and len(inputs) for inputs, targets in batches)
    if not batches:
        return np.zeros((0, length), np.int64), np.zeros((0, length), np.int64)
    return np.concatenate([inputs for inputs, _ in batches]), np.concatenate(
        [targets for _, targets in batches]
    )


@settings(max_examples=25, deadline=None)
@given(
    documents=DOCUMENTS,
    length=st.integers(1, 12),
    max_tokens=st.integers(0, 200),
    batch_rows=st.integers(1, 5),
)
def test_every_token_up_to_the_limit_is_predicted_once(
    make_token_box: MakeTokenBox, documents: list[list[int]], length: int, max_tokens: int, batch_rows: int
) -> None:
    box = make_token_box({"a": [[1, 0]]}, {"a": documents})
    inputs, targets = collect(box, length=length, max_tokens=max_tokens, batch_rows=batch_rows)
    stream = [token for document in documents for token in document]
    counted = targets != IGNORE
    assert targets[counted].tolist() == stream[:max_tokens]
    assert inputs[counted].tolist() == [0, *stream][: len(stream[:max_tokens])]
    assert np.all(inputs[~counted] == 0)


def test_only_documents_longer_than_a_row_are_cut(make_token_box: MakeTokenBox) -> None:
    documents = [[1, 2, 3, 0], [4, 5, 0], [6, 7, 0], [*range(10, 19), 0], [8, 0]]
    inputs, targets = collect(make_token_box({"a": [[1, 0]]}, {"a": documents}), length=6, max_tokens=1_000)
    assert inputs.tolist() == [
        [0, 1, 2, 3, 0, 0],
        [0, 4, 5, 0, 6, 7],
        [0, 10, 11, 12, 13, 14],
        [15, 16, 17, 18, 0, 8],
    ]
    assert targets.tolist() == [
        [1, 2, 3, 0, IGNORE, IGNORE],
        [4, 5, 0, 6, 7, 0],
        [10, 11, 12, 13, 14, 15],
        [16, 17, 18, 0, 8, 0],
    ]


def test_the_worth_of_the_targets_is_the_worth_of_the_text(make_token_box: MakeTokenBox) -> None:
    documents = [[5, 6, 7, 0], [8, 0]]
    box = make_token_box({"a": [[1, 0]]}, {"a": documents})
    _, targets = collect(box, length=3, max_tokens=100)
    assert box.piece_bytes[targets[targets != IGNORE]].sum() == sum(1 + token % 3 for token in (5, 6, 7, 8))


def test_a_source_that_holds_nothing_out_gives_nothing(make_token_box: MakeTokenBox) -> None:
    box = make_token_box({"a": [[1, 0]]})
    assert list(heldout_rows(box, "a", length=4, max_tokens=10)) == []
