"""`tsuzuri release build`: the release of a build, and those of its milestones, each with its own evaluation.

A milestone's boxes stand in `milestones/step-…/` of the build; `release push` gives each a revision of its
own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tsuzuri.core.errors import InputError, MissingExtraError, RecipeError
from tsuzuri.core.manifest import Manifest, read_manifest
from tsuzuri.core.progress import say
from tsuzuri.lab.devices import row_of
from tsuzuri.recipe import Recipe, load_recipe
from tsuzuri.release.cost import Rate
from tsuzuri.report.boxes import boxes_of

MILESTONES = "milestones"
ALL = "all"
MADE_FROM = ("run", "tokenizer", "tokens", "documents", "evaluation")


def release(
    recipe: Path, build: Path, overrides: Sequence[str] = (), milestones: Sequence[str] = ()
) -> Iterator[str]:
    """The boxes of a build → its release; or, of `milestones` (steps, or `all`), one each."""
    wanted, boxes = load_recipe(recipe, overrides), boxes_of(build)
    if not milestones:
        yield _said(boxes["release"], make_release(wanted, boxes))
        return
    for step in _steps(boxes["run"], milestones):
        own = milestone_boxes(build, step)
        yield _said(own["release"], release_milestone(wanted, step, own))


def make_release(recipe: Recipe, boxes: Mapping[str, Path]) -> Manifest:
    """The manifest of the release of a build's boxes."""
    _require_torch()
    from tsuzuri.release.build import build_release

    say(f"release → {boxes['release']}")
    inputs = {name: boxes[name] for name in MADE_FROM}
    return build_release(**inputs, config=recipe.release, box=boxes["release"], rates=rate_of)


def release_milestone(recipe: Recipe, step: int, boxes: Mapping[str, Path]) -> Manifest:
    """The manifest of the release of a milestone, in boxes of its own."""
    _require_torch()
    from tsuzuri.evaluate.evaluate import evaluate
    from tsuzuri.training.milestone import make_milestone

    say(f"the model after step {step:,} → {boxes['run']}")
    make_milestone(boxes["whole_run"], step, boxes["run"])
    evaluate(boxes["run"], boxes["tokens"], recipe.evaluate, boxes["evaluation"])
    return make_release(recipe, boxes)


def milestone_boxes(build: Path, step: int) -> dict[str, Path]:
    """stage → folder, those of the data shared with the whole build."""
    whole, own = boxes_of(build), Path(build) / MILESTONES / f"step-{step:08d}"
    return {
        **whole,
        "whole_run": whole["run"],
        **{stage: own / stage for stage in ("run", "evaluation", "release")},
    }


def rate_of(device: str) -> Rate | None:
    """What the table of devices says of the one that torch calls so."""
    found = row_of(device)
    if found is None:
        return None
    name, row = found
    price = row.on_demand
    return Rate(
        device=name,
        power_w=row.power_w,
        usd_per_hour=price.usd_per_hour / row.count if price.usd_per_hour else None,
        source=f"{price.source}, {price.date}",
    )


def _steps(run: Path, asked: Sequence[str]) -> list[int]:
    read_manifest(run, "run")
    _require_torch()
    from tsuzuri.training.checkpoint import milestones
    from tsuzuri.training.run import CHECKPOINTS

    kept = milestones(run / CHECKPOINTS)
    if not kept:
        raise InputError(
            f"{run} keeps no milestones",
            hint="train.milestones in the recipe says after which steps a checkpoint stays",
        )
    if ALL in asked:
        return kept
    wrong = [text for text in asked if not text.isdecimal() or int(text) not in kept]
    if wrong:
        there = ", ".join(map(str, kept))
        raise RecipeError(
            f"{run} keeps no milestone of step {wrong[0]}", hint=f"--milestone {ALL}, or of: {there}"
        )
    return [int(text) for text in asked]


def _said(box: Path, manifest: Manifest) -> str:
    return (
        f"release  {box}  parameters {manifest.counts['parameters']:,}, license {manifest.counts['license']}"
    )


def _require_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("torch", "train") from error
