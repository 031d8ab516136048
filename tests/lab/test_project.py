"""Projects: stages end to end, through the command."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from tsuzuri.cli import main
from tsuzuri.core.errors import RecipeError
from tsuzuri.lab.config import ProjectConfig
from tsuzuri.lab.plan import make_plan
from tsuzuri.lab.project import describe_project, lay_out

FIRST = """
name: The first author's first project
start: 2021-01-01
jpy_per_usd: 110
stages:
  - { name: corpus, months: 0.25, jpy: 200_000 }
  - { name: cleaning, months: 0.25 }
  - { name: tokenizer, months: 0.5 }
  - { name: training, months: 3, usd_per_hour: 1.736 }
"""


def test_his_two_projects_are_laid_end_to_end() -> None:
    for months, ends in (([0.25, 0.25, 0.5, 3], (2021, 5, 3)), ([1, 1, 6], (2021, 9, 1))):
        stages = [{"name": str(number), "months": length} for number, length in enumerate(months)]
        config = ProjectConfig.model_validate({"start": "2021-01-01", "stages": stages})
        laid = lay_out(config)
        assert [stage.start for stage in laid[1:]] == [stage.end for stage in laid[:-1]]
        assert laid[-1].end == datetime.date(*ends)


def test_the_command_prints_dates_and_money(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "project.yaml").write_text(FIRST, encoding="utf-8")
    assert main(["plan", "--project", str(tmp_path / "project.yaml")]) == 0
    page = capsys.readouterr().out
    assert "corpus     2021-01-01 to 2021-01-09    0.25 months  $1,818.18 = ¥200,000" in page
    assert "training   2021-01-31 to 2021-05-03    3.00 months  $3,801.84 = ¥418,202" in page
    assert "all        2021-01-01 to 2021-05-03    4.00 months  $5,620.02 = ¥618,202" in page


def test_a_stage_can_be_a_plan() -> None:
    wanted = {"size": "gpt3-2.7b", "device": "h100x8"}
    config = ProjectConfig.model_validate({"stages": [{"name": "2.7b", "plan": wanted}]})
    stage = lay_out(config)[0]
    assert stage.plan
    assert stage.days == make_plan(stage.plan.config).days
    page = "\n".join(describe_project(config))
    assert "tokens by" in page
    assert page.endswith(" without storage"), "what has no price is missing in the sum too"


def test_a_wrong_key_in_a_project_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "project.yaml").write_text("stages: [{name: a, month: 1}]", encoding="utf-8")
    assert main(["plan", "--project", str(tmp_path / "project.yaml")]) == 2
    assert "did you mean 'months'" in capsys.readouterr().err


def test_a_stage_that_outlasts_the_calendar_is_named() -> None:
    config = ProjectConfig.model_validate({"stages": [{"name": "alone", "plan": {"tokens": 1e20}}]})
    with pytest.raises(RecipeError, match="stage 'alone' takes"):
        lay_out(config)
