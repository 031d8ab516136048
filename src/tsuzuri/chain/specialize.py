"""`tsuzuri specialists train`: one corpus → a seed → a model for each domain, and a generalist.

    OUT/{documents,tokenizer,tokens}       as `tsuzuri build` makes them
    OUT/seed                               a run on everything
    OUT/domains                            the same tokens by domain (of clusters: OUT/clusters says which)
    OUT/models/NAME/{run,evaluation,release}   a branch of the seed each: a domain's, or the generalist's
    OUT/{texts,router}                     what a specialist has to beat the generalist on; who answers what
    OUT/{specialists.yaml,report.md}       what `tsuzuri specialists up` reads; who is best where

Every folder is a box: what is complete is not made again. Branches know nothing of each other: with `only`
one of them is made, from the seed's folder, on whatever machine; without it what is missing is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsuzuri.chain.build import check_found, check_recipe, require_device
from tsuzuri.chain.domains import domain_names, make_domains
from tsuzuri.chain.gather import CLUSTERS, gather, router_method
from tsuzuri.chain.publish import make_release
from tsuzuri.chain.stages import (
    make_documents,
    make_evaluation,
    make_page,
    make_run,
    make_tokenizer,
    make_tokens,
    model_of,
    require_torch,
    watch_of,
)
from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import MissingExtraError, RecipeError, ResourceError, closest
from tsuzuri.core.manifest import read_manifest
from tsuzuri.core.progress import say
from tsuzuri.core.ranks import world
from tsuzuri.data.components import MixConfig
from tsuzuri.recipe import Recipe, load_recipe
from tsuzuri.report.boxes import boxes_of
from tsuzuri.specialists.recipe import GENERALIST, SEED, steps_of
from tsuzuri.training.config import BranchConfig, TrainConfig


@dataclass(frozen=True)
class Folders:
    """Where everything lies."""

    out: Path
    origin: Path | None = None
    """The folder whose tokenizer and seed are used, where they are another's."""

    @property
    def data(self) -> dict[str, Path]:
        """documents, tokenizer and tokens."""
        own, origin = boxes_of(self.out), boxes_of(self.origin or self.out)
        return {"documents": own["documents"], "tokenizer": origin["tokenizer"], "tokens": own["tokens"]}

    @property
    def domains(self) -> Path:
        """Tokens by domain."""
        return self.out / "domains"

    @property
    def seed(self) -> Path:
        """The run that all others begin with."""
        return (self.origin or self.out) / SEED

    def boxes(self, name: str) -> dict[str, Path]:
        """stage → folder of one model; of a specialist the tokens are those by domain."""
        own = {stage: self.out / "models" / name / stage for stage in ("run", "evaluation", "release")}
        return {**self.data, **own, **({} if name == GENERALIST else {"tokens": self.domains})}


def train_specialists(
    recipe: Path,
    out: Path,
    overrides: Sequence[str] = (),
    only: str | None = None,
    seed_from: Path | None = None,
    dry_run: bool = False,
) -> Iterator[str]:
    """Make what is missing of everything in `out`, or, of the models, `only` one; yields what came of it.

    With `seed_from`, another such folder, its tokenizer and seed are used: so one specialist is trained again
    on texts that have been put right.
    """
    wanted, folders = load_recipe(recipe, overrides), Folders(Path(out), seed_from)
    check_recipe(wanted, folders.data["documents"])
    names = domain_names(wanted)
    steps = steps_of(wanted.specialists, wanted.train.steps, len(names))
    trains = {SEED: seed_train(wanted, steps[0]), GENERALIST: branch_train(wanted, steps[1])}
    trains |= {name: branch_train(wanted, steps[1], name, names) for name in names}
    _check(only, trains)
    if dry_run:
        yield from describe(wanted, names, trains)
        return
    require_torch()
    if router_method(wanted):
        _require_messages()
    require_device(wanted)
    for line in describe(wanted, names, trains):
        say(line)
    if seed_from:
        read_manifest(folders.data["tokenizer"], "tokenizer")
        read_manifest(folders.seed, "run")
    _make_data(wanted, folders)
    if not seed_from:
        _make_seed(wanted, trains[SEED], folders)
    if only == SEED:
        yield f"seed  {folders.seed}"
        return
    make_domains(wanted, names, folders.data, folders.domains, folders.out / CLUSTERS)
    chosen = [only] if only else [*names, GENERALIST]
    for name in chosen:
        _make_model(wanted, name, trains[name], folders)
    if only:
        yield f"{name}  {folders.boxes(only)['release']}"
        return
    yield from gather(
        wanted, names, folders.out, {name: folders.boxes(name) for name in chosen}, folders.domains
    )


def _check(only: str | None, trains: Collection[str]) -> None:
    """RecipeError for a model that is none, and for processes that would share a run."""
    if only is not None and only not in trains:
        raise RecipeError(
            f"there is no model {only!r} to train{closest(only, trains)}", hint=f"models: {', '.join(trains)}"
        )
    if world() > 1:
        raise RecipeError(
            f"{world()} processes were started, and each branch is a run of one",
            hint="without torchrun; on other machines: --only NAME, from a copy of the seed",
        )


def seed_train(recipe: Recipe, steps: int) -> TrainConfig:
    """How the seed is trained: as the recipe says, but that its learning rate does not fall under wsd."""
    return _changed(recipe.train, "of the seed", steps, schedule={"decay_fraction": 0.0})


def branch_train(recipe: Recipe, steps: int, domain: str = "", domains: Sequence[str] = ()) -> TrainConfig:
    """How a specialist of a domain is trained, or the generalist, which reads on as the seed did.

    Rows are drawn in another order than the seed's: none of those that it has read come first again.
    """
    own = recipe.specialists
    schedule = {"warmup_steps": own.warmup_steps, "decay_fraction": own.decay_fraction}
    rate = recipe.train.optimizer.learning_rate * own.learning_rate_factor
    changes: dict[str, Any] = {"seed": recipe.train.seed + 1, "optimizer": {"learning_rate": rate}}
    if domain:
        weights = {name: float(name == domain) for name in domains}
        mixture = MixConfig(weights=weights, max_epochs=recipe.train.mixture.max_epochs)
        changes["mixture"] = mixture.as_mapping()
    return _changed(recipe.train, f"of {domain or GENERALIST}", steps, schedule=schedule, **changes)


def describe(recipe: Recipe, names: Sequence[str], trains: dict[str, TrainConfig]) -> Iterator[str]:
    """What would be trained, and how long it would take on this machine."""
    model = model_of(recipe)
    tokens = {name: train.steps * train.tokens_per_step for name, train in trains.items()}
    yield f"domains     {', '.join(names)}"
    yield f"model       {recipe.model.size}: {model.num_parameters:,} parameters, {len(names) + 1} of them"
    seed, branch = trains[SEED].steps, trains[GENERALIST].steps
    yield f"seed        {seed:,} steps, {tokens[SEED]:,} tokens of everything"
    yield f"branches    {branch:,} steps, {tokens[GENERALIST]:,} tokens each; the generalist's of everything"
    whole = sum(tokens.values())
    yield f"compute     {6 * model.num_matrix_parameters * whole:.2e} floating-point operations in all"
    speed = _tokens_per_s(recipe, tokens[GENERALIST])
    if speed:
        hours = {name: count / speed / 3600 for name, count in tokens.items()}
        yield (
            f"time        {sum(hours.values()):.2f} h of training, one after another at {speed:,.0f} "
            f"tokens/s; on {len(names) + 1} such machines {hours[SEED] + hours[GENERALIST]:.2f} h"
        )


def _require_messages() -> None:
    """Raise now what would be lacking for the router, hours later."""
    try:
        import msgspec  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("msgspec", "kafka") from error


def _make_data(recipe: Recipe, folders: Folders) -> None:
    data = folders.data
    check_found(recipe, make_documents(recipe, data["documents"]))
    if folders.origin is None:
        make_tokenizer(recipe, data["documents"], data["tokenizer"])
    make_tokens(recipe, data["documents"], data["tokenizer"], data["tokens"])


def _make_seed(recipe: Recipe, train: TrainConfig, folders: Folders) -> None:
    boxes = {**folders.data, "run": folders.seed}
    watch = watch_of(lambda: make_page(folders.seed, boxes, live=True), 0)
    changed = recipe.model_copy(update={"train": train})
    make_run(changed, boxes["tokens"], boxes["tokenizer"], boxes["run"], (), watch)


def _make_model(recipe: Recipe, name: str, train: TrainConfig, folders: Folders) -> None:
    from tsuzuri.training.branch import branch_of

    boxes = folders.boxes(name)
    say(f"the model {name}")
    watch = watch_of(lambda: make_page(boxes["run"], boxes, live=True), 0)
    branch = branch_of(folders.seed, BranchConfig(states=recipe.specialists.states))
    changed = recipe.model_copy(update={"train": train, "release": release_of(recipe, name)})
    make_run(changed, boxes["tokens"], boxes["tokenizer"], boxes["run"], (), watch, branch)
    make_evaluation(changed, boxes["run"], folders.domains, boxes["evaluation"])
    make_release(changed, boxes)


def release_of(recipe: Recipe, name: str) -> Any:
    """What the release of a model is called, and what it is for."""
    own = recipe.release
    domain = "everything: the generalist" if name == GENERALIST else f"the domain {name}"
    said = f"One of the specialists {own.name}, of {domain}."
    described = f"{own.description} {said}".strip()
    return own.model_copy(update={"name": f"{own.name}-{name}", "description": described})


def _changed(train: TrainConfig, whose: str, steps: int, **sections: Any) -> TrainConfig:
    """A run's configuration with fewer steps and some values changed; RecipeError where they do not fit."""
    values = train.as_mapping()
    values |= {"steps": steps, "milestones": [], "milestone_every": 0}
    for name, value in sections.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return parse_config(TrainConfig, values, where=f"train {whose}")


def _tokens_per_s(recipe: Recipe, tokens: int) -> float:
    """What a plan says of the speed of this machine; 0 where no plan is made for it, or there is no torch."""
    from tsuzuri.lab.devices import row_of
    from tsuzuri.lab.plan import config_of, make_plan

    with suppress(ImportError, ResourceError):  # `tsuzuri plan` says what does not fit, and what would
        from tsuzuri.training.devices import DEVICES

        device = next(device for device in DEVICES.values() if device.is_available())
        found = row_of(device.name())
        if found is None and device.kind != "cpu":
            return 0.0
        graph = "compiled" if tokens >= device.compile_repays_tokens else "eager"
        values = {"device": found[0] if found else device.kind, "graph": graph}
        config = config_of(recipe.model, recipe.tokenizer.vocab_size, recipe.train, values)
        return make_plan(config, model_of(recipe)).fit.speed.tokens_per_s
    return 0.0
