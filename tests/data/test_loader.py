from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from tsuzuri.core.errors import RecipeError
from tsuzuri.data.loader import BatchLoader
from tsuzuri.data.sampler import Sampler

from .conftest import MakeTokenBox


@pytest.fixture
def sampler(make_token_box: MakeTokenBox) -> Sampler:
    train = {"a": [list(range(1, 200)), [0]], "b": [list(range(200, 290)), [0]]}
    return Sampler(make_token_box(train), length=8, seed=5)


def take(loader: BatchLoader, batches: int) -> list[tuple[int, np.ndarray]]:
    with loader:
        return list(itertools.islice(loader, batches))


@pytest.mark.parametrize("prefetch", [1, 2, 5])
def test_batches_are_the_rows_in_order(sampler: Sampler, prefetch: int) -> None:
    batches = take(BatchLoader(sampler, batch_rows=6, prefetch=prefetch), 10)
    assert [first for first, _ in batches] == list(range(0, 60, 6))
    assert np.array_equal(np.concatenate([rows for _, rows in batches]), sampler.rows(np.arange(60)))


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 12])
def test_any_number_of_ranks_shares_the_same_rows(sampler: Sampler, ranks: int) -> None:
    loaders = [BatchLoader(sampler, batch_rows=12, rank=rank, ranks=ranks) for rank in range(ranks)]
    per_rank = [take(loader, 5) for loader in loaders]
    for number in range(5):
        assert {batches[number][0] for batches in per_rank} == {12 * number}
        together = np.concatenate([batches[number][1] for batches in per_rank])
        assert np.array_equal(together, sampler.rows(np.arange(12 * number, 12 * number + 12)))


def test_a_position_is_one_integer_to_go_on_from(sampler: Sampler) -> None:
    unbroken = take(BatchLoader(sampler, batch_rows=4), 9)
    loader = BatchLoader(sampler, batch_rows=4)
    begun = take(loader, 4)
    state = loader.state_dict()
    assert state == {"position": 16}, "what was read ahead is not counted"
    resumed = take(BatchLoader(sampler, batch_rows=4, start=state["position"], ranks=1), 5)
    for (first, rows), (expected_first, expected_rows) in zip(begun + resumed, unbroken, strict=True):
        assert first == expected_first
        assert np.array_equal(rows, expected_rows)


def test_no_thread_outlives_its_loader(sampler: Sampler) -> None:
    loader = BatchLoader(sampler, batch_rows=4, prefetch=3)
    next(iter(loader))
    assert any(thread.name.startswith("rows") for thread in threading.enumerate())
    loader.close()
    assert not any(thread.name.startswith("rows") for thread in threading.enumerate())


def test_an_error_of_the_reader_reaches_the_loop(sampler: Sampler) -> None:
    with BatchLoader(sampler, batch_rows=4, start=-(2**70)) as loader, pytest.raises(OverflowError):
        next(iter(loader))


def test_too_much_repetition_is_said_once(sampler: Sampler, capsys: pytest.CaptureFixture[str]) -> None:
    rows_of_four_epochs = int(4 * 291 / 8)
    take(BatchLoader(sampler, batch_rows=1), rows_of_four_epochs - 8)
    assert capsys.readouterr().err == ""
    take(BatchLoader(sampler, batch_rows=1), rows_of_four_epochs + 300)
    said = capsys.readouterr().err
    assert said.count("source a has been read 4 times") == 1
    assert said.count("source b has been read 4 times") == 1
    take(BatchLoader(sampler, batch_rows=2, rank=1, ranks=2), rows_of_four_epochs)
    assert capsys.readouterr().err == "", "one rank speaks for all"


@pytest.mark.parametrize(("batch_rows", "ranks"), [(0, 1), (10, 4), (3, 2)])
def test_rows_that_cannot_be_shared_equally_are_refused(
    sampler: Sampler, batch_rows: int, ranks: int
) -> None:
    with pytest.raises(RecipeError, match=f"{batch_rows} rows"):
        BatchLoader(sampler, batch_rows=batch_rows, ranks=ranks)


@pytest.mark.parametrize("prefetch", [1, 4])
def test_skipped_rows_are_never_read(sampler: Sampler, prefetch: int) -> None:
    jumps = {8: 20, 28: 40}
    batches = take(BatchLoader(sampler, batch_rows=4, prefetch=prefetch, jumps=jumps), 6)
    assert [first for first, _ in batches] == [0, 4, 20, 24, 40, 44]
    for first, rows in batches:
        assert np.array_equal(rows, sampler.rows(np.arange(first, first + 4)))
    resumed = take(BatchLoader(sampler, batch_rows=4, start=24, jumps=jumps), 2)
    assert [first for first, _ in resumed] == [24, 40]


def test_a_batch_is_read_again(sampler: Sampler) -> None:
    with BatchLoader(sampler, batch_rows=6, rank=1, ranks=2) as loader:
        assert np.array_equal(loader.read(12), sampler.rows(np.array([15, 16, 17])))


def test_the_position_of_a_run_is_where_it_goes_on_after_a_jump(sampler: Sampler) -> None:
    loader = BatchLoader(sampler, batch_rows=4, jumps={4: 12})
    take(loader, 2)
    assert loader.state_dict() == {"position": 16}
