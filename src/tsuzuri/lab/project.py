"""Stages of a project end to end, with dates and money."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tsuzuri.core.config import load_yaml, parse_config
from tsuzuri.core.errors import RecipeError
from tsuzuri.lab import money
from tsuzuri.lab.config import ProjectConfig, StageConfig
from tsuzuri.lab.money import DAYS_A_MONTH, Line
from tsuzuri.lab.plan import Plan, make_plan


@dataclass(frozen=True)
class Stage:
    """A stage with its dates and its bill."""

    name: str
    start: datetime.date
    end: datetime.date
    days: float
    bill: tuple[Line, ...]
    plan: Plan | None


def load_project(path: Path) -> ProjectConfig:
    """The project in a YAML file."""
    return parse_config(ProjectConfig, load_yaml(path), where=str(path), hint="correct the project")


def lay_out(config: ProjectConfig) -> list[Stage]:
    """The stages of a project, each beginning when the one before it ends."""
    stages, elapsed = [], 0.0
    for item in config.stages:
        plan = make_plan(item.plan) if item.plan else None
        days = plan.days if plan else (item.months or 0.0) * DAYS_A_MONTH
        try:
            start, end = (
                config.start + datetime.timedelta(days=round(day)) for day in (elapsed, elapsed + days)
            )
        except OverflowError as error:
            message = f"stage {item.name!r} takes {days:,.0f} days: it ends after the year 9999"
            raise RecipeError(message, hint="a smaller model, fewer tokens or more devices") from error
        stages.append(Stage(item.name, start, end, days, tuple(_bill(item, plan, days)), plan))
        elapsed += days
    return stages


def describe_project(config: ProjectConfig) -> Iterator[str]:
    """The project as a page of text."""
    stages = lay_out(config)
    width = max(len(stage.name) for stage in stages)
    yield config.name
    for stage in stages:
        plan = f"  {stage.plan.tokens:.3g} tokens by {stage.plan.recipe}" if stage.plan else ""
        months = stage.days / DAYS_A_MONTH
        yield (
            f"  {stage.name:{width}}  {stage.start} to {stage.end}  {months:6.2f} months  "
            f"{money.summed(stage.bill, config.jpy_per_usd)}{plan}"
        )
    days = sum(stage.days for stage in stages)
    bill = [line for stage in stages for line in stage.bill]
    months = days / DAYS_A_MONTH
    yield (
        f"  {'all':{width}}  {config.start} to {stages[-1].end}  {months:6.2f} months  "
        f"{money.summed(bill, config.jpy_per_usd)}"
    )


def _bill(item: StageConfig, plan: Plan | None, days: float) -> Iterator[Line]:
    if plan:
        yield from plan.bill
    if item.usd_per_hour is not None:
        yield money.rent(days, 1, item.usd_per_hour)
    if item.jpy is not None:
        yield Line("paid once", jpy=item.jpy)
