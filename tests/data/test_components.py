from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rich.cells import cell_len

from tsuzuri.core.errors import RecipeError
from tsuzuri.data.components import Component, MixConfig, plan, table

SIZES = {"books": 6_000, "news": 3_000, "talk": 1_000}


def drawn(components: list[Component]) -> dict[str, float]:
    return {row.name: pytest.approx(row.drawn_tokens) for row in components}


def test_by_default_everything_is_read_once() -> None:
    rows = plan(SIZES, MixConfig())
    assert [(row.name, row.tokens, row.share, row.epochs) for row in rows] == [
        ("books", 6_000, 0.6, 1.0),
        ("news", 3_000, 0.3, 1.0),
        ("talk", 1_000, 0.1, 1.0),
    ]


def test_weights_and_epochs_say_the_same_in_two_ways() -> None:
    by_weight = plan(SIZES, MixConfig(weights={"books": 6, "news": 9, "talk": 0}), 30_000)
    assert [row.epochs for row in by_weight] == [pytest.approx(2), pytest.approx(6), 0]
    by_epochs = plan(SIZES, MixConfig(epochs={"books": 2, "news": 6, "talk": 0}))
    assert drawn(by_epochs) == {"books": 12_000, "news": 18_000, "talk": 0}
    assert [row.share for row in by_epochs] == pytest.approx([row.share for row in by_weight])


def test_a_budget_scales_epochs() -> None:
    rows = plan(SIZES, MixConfig(epochs={"books": 1, "news": 2, "talk": 4}), 8_000)
    assert [row.epochs for row in rows] == pytest.approx([0.5, 1, 2])


def test_what_a_cap_takes_is_shared_by_weight() -> None:
    config = MixConfig(weights={"books": 1, "news": 1, "talk": 2}, max_epochs=2)
    assert drawn(plan(SIZES, config, 10_000)) == {"books": 4_000, "news": 4_000, "talk": 2_000}
    # the first cut brings news above its cap too
    assert drawn(plan(SIZES, config, 16_000)) == {"books": 8_000, "news": 6_000, "talk": 2_000}
    assert drawn(plan(SIZES, config, 20_000)) == {"books": 12_000, "news": 6_000, "talk": 2_000}


@given(
    sizes=st.lists(st.integers(1, 10**9), min_size=1, max_size=6),
    weights=st.lists(st.floats(0.01, 100), min_size=6, max_size=6),
    cap=st.floats(0.1, 10),
    filled=st.floats(0.01, 1),
)
def test_the_budget_is_read_and_no_cap_is_broken(
    sizes: list[int], weights: list[float], cap: float, filled: float
) -> None:
    tokens = {str(number): size for number, size in enumerate(sizes)}
    config = MixConfig(weights=dict(zip(tokens, weights, strict=False)), max_epochs=cap)
    budget = filled * cap * sum(sizes)
    rows = plan(tokens, config, budget)
    assert sum(row.drawn_tokens for row in rows) == pytest.approx(budget)
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert all(row.epochs <= cap * (1 + 1e-9) for row in rows)
    assert config.weights is not None
    rates = [(row.drawn_tokens / config.weights[row.name], row) for row in rows]
    most = max(rate for rate, _ in rates)
    assert all(row.epochs == pytest.approx(cap) for rate, row in rates if rate < most * (1 - 1e-6))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"weights": {"book": 1}}, "a source 'book' that is not there.*did you mean 'books'"),
        ({"weights": {"books": 1, "news": 1}}, "says nothing of source 'talk'"),
        ({"epochs": {"books": 0, "news": 0, "talk": 0}}, "leaves every source out"),
        ({"max_epochs": 0.5}, "10,000 tokens are to be read, but 0.5 epochs of the sources are 5,000"),
    ],
)
def test_what_does_not_fit_is_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        plan(SIZES, MixConfig.model_validate(config), 10_000)


def test_a_source_without_text_can_only_be_left_out() -> None:
    sizes = {**SIZES, "test": 0}
    with pytest.raises(RecipeError, match="'test' is wanted but has no tokens"):
        plan(sizes, MixConfig(weights=dict.fromkeys(sizes, 1.0)))
    assert plan(sizes, MixConfig())[-1].epochs == 0


def test_both_ways_at_once_are_refused() -> None:
    with pytest.raises(ValidationError, match="give one of them"):
        MixConfig(weights={"a": 1}, epochs={"a": 1})


def test_the_table_shows_every_component_and_the_total() -> None:
    lines = list(table(plan(SIZES, MixConfig(epochs={"books": 1, "news": 2, "talk": 4}))))
    assert lines == [
        "component           tokens    share  epochs             read",
        "books                6,000   37.50%    1.00            6,000",
        "news                 3,000   37.50%    2.00            6,000",
        "talk                 1,000   25.00%    4.00            4,000",
        "all                 10,000  100.00%    1.60           16,000",
    ]


def test_a_japanese_name_keeps_the_columns_in_line() -> None:
    lines = list(table(plan({"青空文庫と新聞": 6_000, "news": 3_000}, MixConfig())))
    assert len({cell_len(line) for line in lines}) == 1
