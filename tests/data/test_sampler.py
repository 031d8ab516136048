from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.core.errors import RecipeError
from tsuzuri.data.components import MixConfig
from tsuzuri.data.sampler import Sampler

from .conftest import MakeTokenBox


def numbered(first: int, tokens: int, document: int = 50) -> list[list[int]]:
    """Documents in which every token is another, so that a row tells where it comes from."""
    stream = list(range(first, first + tokens))
    return [stream[start : start + document] for start in range(0, tokens, document)]


@settings(max_examples=25, deadline=None)
@given(tokens=st.integers(1, 400), length=st.integers(1, 40), seed=st.integers(0, 9), epoch=st.integers(0, 3))
def test_an_epoch_predicts_every_token_once_but_for_a_rest(
    make_token_box: MakeTokenBox, tokens: int, length: int, seed: int, epoch: int
) -> None:
    sampler = Sampler(make_token_box({"a": numbered(0, tokens)}), length=length, seed=seed)
    windows = max(tokens // length, 1)
    rows = sampler.rows(np.arange(windows) + epoch * windows)
    assert rows.shape == (windows, length + 1)
    assert np.all(np.diff(rows) % tokens == 1 % tokens), "a row is neighbours on the ring"
    predicted = rows[:, 1:].ravel().tolist()
    if tokens >= length:
        assert len(set(predicted)) == len(predicted) > tokens - length
    else:
        assert set(predicted) == set(range(tokens))


def test_each_epoch_cuts_and_orders_the_text_anew(make_token_box: MakeTokenBox) -> None:
    sampler = Sampler(make_token_box({"a": numbered(0, 1_000)}), length=10, seed=3)
    starts = [sampler.rows(np.arange(100) + epoch * 100)[:, 0] for epoch in range(4)]
    assert len({int(start[0] % 10) for start in starts}) > 1
    assert all(len(set((start % 10).tolist())) == 1 for start in starts)
    orders = [tuple((start // 10).tolist()) for start in starts]
    assert len(set(orders)) == 4


def test_a_row_is_a_pure_function_of_its_index(make_token_box: MakeTokenBox) -> None:
    box = make_token_box(
        {"a": numbered(0, 130), "b": numbered(1_000, 700), "c": numbered(5_000, 5)}, vocab_size=9_000
    )
    sampler = Sampler(box, length=16, seed=1)
    indices = np.arange(300)
    rows = sampler.rows(indices)
    assert rows.dtype == np.int64
    shuffled = np.random.default_rng(0).permutation(indices)
    again = Sampler(box, length=16, seed=1)
    assert np.array_equal(again.rows(shuffled), rows[shuffled])
    assert np.array_equal(np.concatenate([again.rows(np.array([i])) for i in indices]), rows)
    assert not np.array_equal(Sampler(box, length=16, seed=2).rows(indices), rows)


def test_the_rows_of_a_seed_never_change(make_token_box: MakeTokenBox) -> None:
    """A run that is resumed under a later version must meet the same rows."""
    box = make_token_box({"a": numbered(0, 90), "b": numbered(100, 30)})
    rows = Sampler(box, length=4, seed=11).rows(np.array([0, 1, 2, 3, 10**9]))
    assert rows[:, 0].tolist() == [2, 56, 18, 101, 55]


def test_far_rows_cost_no_more_than_near_ones(make_token_box: MakeTokenBox) -> None:
    sampler = Sampler(make_token_box({"a": numbered(0, 100)}), length=4, seed=0)
    far = np.array([2**40, 2**45 + 3])
    assert sampler.rows(far).shape == (2, 5)
    assert sampler.epochs(2**40) == {"a": pytest.approx(2**40 * 4 / 100)}


def test_rows_come_from_the_source_that_is_said(make_token_box: MakeTokenBox) -> None:
    box = make_token_box({"a": numbered(0, 200), "b": numbered(1_000, 600)}, vocab_size=2_000)
    sampler = Sampler(box, length=8, seed=0, mixture=MixConfig(weights={"a": 1, "b": 1}))
    indices = np.arange(50)
    assert sampler.source_of(indices).tolist() == [0, 1] * 25
    assert np.array_equal(sampler.rows(indices).max(axis=1) >= 1_000, sampler.source_of(indices) == 1)
    assert sampler.epochs(50) == {"a": 25 * 8 / 200, "b": 25 * 8 / 600}


def test_by_default_every_source_is_read_equally_often(make_token_box: MakeTokenBox) -> None:
    box = make_token_box({"a": numbered(0, 200), "b": numbered(1_000, 600)}, vocab_size=2_000)
    epochs = Sampler(box, length=8, seed=0).epochs(1_000)
    assert epochs["a"] == pytest.approx(epochs["b"]) == pytest.approx(10)


def test_a_source_of_weight_zero_is_left_out(make_token_box: MakeTokenBox) -> None:
    box = make_token_box({"a": numbered(0, 200), "b": numbered(1_000, 600)}, vocab_size=2_000)
    sampler = Sampler(box, length=8, seed=0, mixture=MixConfig(weights={"a": 1, "b": 0}))
    assert sampler.sources == ["a"]
    assert sampler.rows(np.arange(100)).max() < 1_000
    assert list(sampler.epochs(10)) == ["a"]


def test_a_source_added_does_not_reorder_another(make_token_box: MakeTokenBox) -> None:
    alone = make_token_box({"b": numbered(0, 200)})
    joined = make_token_box({"a": numbered(200, 40), "b": numbered(0, 200)})
    sampler = Sampler(joined, length=8, seed=0)
    indices = np.arange(60)
    of_b = sampler.rows(indices)[np.array(sampler.sources)[sampler.source_of(indices)] == "b"]
    assert np.array_equal(of_b, Sampler(alone, length=8, seed=0).rows(np.arange(len(of_b))))


def test_every_document_is_opened_by_the_end_of_text_token(make_token_box: MakeTokenBox) -> None:
    documents = [[10, 11, 0], [20, 21, 22, 0], [30, 0]]
    sampler = Sampler(make_token_box({"a": documents}), length=3, seed=0)
    rows = sampler.rows(np.arange(60))
    before_first = rows[:, :-1][np.isin(rows[:, 1:], [10, 20, 30])]
    assert len(before_first) > 30
    assert np.all(before_first == 0)


def test_heldout_documents_can_be_drawn_too(make_token_box: MakeTokenBox) -> None:
    box = make_token_box({"a": [[1, 0]]}, {"a": [[5, 6, 7, 0]]})
    assert set(Sampler(box, length=2, seed=0, split="heldout").rows(np.arange(9)).ravel()) == {0, 5, 6, 7}


@pytest.mark.parametrize(
    ("length", "weights", "message"),
    [
        (0, None, "length must be 1 or more"),
        (4, {"b": 1}, "source 'b'"),
        (4, {"a": 0}, "leaves every source out"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    make_token_box: MakeTokenBox, length: int, weights: dict[str, float] | None, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        Sampler(make_token_box({"a": [[1, 0]]}), length=length, seed=0, mixture=MixConfig(weights=weights))


def test_a_cap_on_epochs_is_reckoned_of_the_budget(make_token_box: MakeTokenBox) -> None:
    box = make_token_box({"a": numbered(1, 800), "b": numbered(1000, 200)})
    mixture = MixConfig(weights={"a": 1, "b": 1}, max_epochs=1)
    sampler = Sampler(box, length=8, seed=0, mixture=mixture, budget_tokens=800)
    assert sampler.epochs(100) == {"a": pytest.approx(0.75, abs=0.05), "b": pytest.approx(1, abs=0.05)}


def test_an_empty_split_is_refused(make_token_box: MakeTokenBox) -> None:
    with pytest.raises(RecipeError, match="hold no tokens"):
        Sampler(make_token_box({"a": [[1, 0]]}), length=4, seed=0, split="heldout")


def test_shares_are_those_of_the_rows(make_token_box: MakeTokenBox) -> None:
    box = make_token_box({"a": numbered(0, 300), "b": numbered(1_000, 100)}, vocab_size=2_000)
    shares = Sampler(box, length=10, seed=1).shares()
    assert shares == {"a": 0.75, "b": 0.25}
