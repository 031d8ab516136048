"""What a plan may be asked."""

from __future__ import annotations

from typing import Any

import pytest

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import RecipeError
from tsuzuri.lab.config import PlanConfig, ProjectConfig, StageConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokens": 0}, "tokens: Input should be greater than 0"),
        ({"tokens": -1e9}, "tokens: Input should be greater than 0"),
        ({"days": 0}, "days: Input should be greater than 0"),
        ({"usd_per_hour": -1}, "usd_per_hour: Input should be greater than 0"),
        ({"jpy_per_usd": 0}, "jpy_per_usd: Input should be greater than 0"),
        ({"tokens": 1, "days": 1}, "tokens and days are two budgets"),
        ({"preemptible": True, "jpy_per_kwh": 30}, "preemptible is a price of the table"),
        ({"devise": "h100"}, "unknown key 'devise' .did you mean 'device'"),
    ],
)
def test_budgets_that_cannot_be_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_config(PlanConfig, values, where="plan")


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"name": "a"}, "either months or a plan"),
        ({"name": "a", "months": 1, "plan": {}}, "either months or a plan"),
        ({"name": "a", "months": -1}, "months: Input should be greater than 0"),
        ({"name": "a", "plan": {}, "usd_per_hour": 1}, "plan.usd_per_hour"),
        ({"name": "a", "plan": {"jpy_per_usd": 110}}, "the exchange rate is the project's jpy_per_usd"),
    ],
)
def test_a_stage_has_one_length(stage: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_config(StageConfig, stage, where="stage")


def test_a_project_has_stages() -> None:
    with pytest.raises(RecipeError, match="a list of at least 1"):
        parse_config(ProjectConfig, {"stages": []}, where="project")
    assert PlanConfig()
    assert ProjectConfig()
