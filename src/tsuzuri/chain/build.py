"""`tsuzuri build`: the whole chain of stages, each of which makes one box from the boxes before it.

Boxes already complete are not made again, so the same command resumes wherever a killed one stopped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
from tsuzuri.core.boxes import RUN_FILE, SCORES
from tsuzuri.core.errors import InputError, RecipeError
from tsuzuri.core.manifest import box_sha256, facts_of, read_manifest
from tsuzuri.core.progress import say
from tsuzuri.core.ranks import is_first
from tsuzuri.data.components import plan
from tsuzuri.model.ladder import rung
from tsuzuri.recipe import Recipe, load_recipe
from tsuzuri.release.terms import check_terms
from tsuzuri.release.thanks import thanked
from tsuzuri.report.boxes import boxes_of
from tsuzuri.training.config import require_context

if TYPE_CHECKING:
    from tsuzuri.core.manifest import Manifest


def build(
    recipe: Path,
    out: Path,
    overrides: Sequence[str] = (),
    amend: Sequence[str] = (),
    boxes_from: Path | None = None,
    dry_run: bool = False,
    profile: int = 0,
) -> Iterator[str]:
    """Run the whole chain into `out` and yield what a person wants to see at its end: samples and paths.

    With `boxes_from`, another build, its documents, tokenizer and tokens are used. While it trains, the
    report is made anew now and then; `profile` steps of that are looked into.
    """
    wanted, boxes = load_recipe(recipe, overrides), boxes_of(out)
    check_recipe(wanted, boxes_of(boxes_from or out)["documents"])
    if dry_run:
        yield from describe(wanted)
        return
    require_torch()
    if not (amend or (boxes["run"] / RUN_FILE).exists()):  # a run may go on elsewhere than the recipe says
        require_device(wanted)
    if is_first():  # the other processes that torchrun started wait for it within the training
        if boxes_from:
            link_boxes(boxes_of(boxes_from), boxes)
        check_found(wanted, make_documents(wanted, boxes["documents"]))
        make_tokenizer(wanted, boxes["documents"], boxes["tokenizer"])
        make_tokens(wanted, boxes["documents"], boxes["tokenizer"], boxes["tokens"])
    watch = watch_of(lambda: make_page(out, live=True), profile)
    make_run(wanted, boxes["tokens"], boxes["tokenizer"], boxes["run"], amend, watch)
    if not is_first():
        return
    remove_outdated(boxes)
    make_evaluation(wanted, boxes["run"], boxes["tokens"], boxes["evaluation"])
    make_release(wanted, boxes)
    page = make_page(out)
    yield from _closing_words(boxes, page)


def link_boxes(found: Mapping[str, Path], wanted: Mapping[str, Path]) -> None:
    """Let a build have the data of another: links to its boxes, where there is nothing yet."""
    for stage in ("documents", "tokenizer", "tokens"):
        read_manifest(found[stage], stage)
        link = wanted[stage]
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(found[stage].absolute(), link.parent.absolute()))
        elif not link.samefile(found[stage]):
            raise InputError(
                f"{link} is there already and is not {found[stage]}",
                hint="give another --out, or leave --boxes-from away",
            )


def remove_outdated(boxes: Mapping[str, Path]) -> None:
    """Remove, saying so, what was made of the run before it was amended: evaluation and release."""
    run = boxes["run"]
    if not read_manifest(run, "run").counts["amendments"]:
        return
    for stage, name in (("evaluation", "model"), ("release", "run")):
        box = boxes[stage]
        facts = facts_of(box)
        if facts and facts["inputs"][name]["sha256"] != box_sha256(run):
            say(f"{box} was made of the run before it went on: removed, to be made again")
            shutil.rmtree(box)


def describe(recipe: Recipe) -> Iterator[str]:
    """What a recipe would do, in a few lines, without doing it."""
    model, train, row = model_of(recipe), recipe.train, rung(recipe.model.size)
    tokens = train.steps * train.tokens_per_step
    yield f"sources     {', '.join(source.name or source.kind for source in recipe.corpus.source)}"
    yield f"tokenizer   {recipe.tokenizer.vocab_size:,} pieces, {recipe.tokenizer.form.value} form"
    yield f"model       {recipe.model.size}: {model.num_parameters:,} parameters, {model.model_type}"
    yield f"training    {train.steps:,} steps of {train.tokens_per_step:,} tokens = {tokens:,} tokens"
    yield f"            (the ladder: steps of {row.batch_tokens:,} tokens, AdamW at {row.learning_rate:g})"
    operations = 6 * model.num_matrix_parameters * tokens
    yield f"compute     {operations:.2e} floating-point operations (6 a matrix weight and token)"


def check_recipe(recipe: Recipe, documents: Path) -> None:
    """Raise now what a late stage would raise after hours of work."""
    from tsuzuri.corpus.build import check_sources

    model = model_of(recipe)
    require_context(recipe.train, model.max_position_embeddings)
    if model.vocab_size < recipe.tokenizer.vocab_size:
        raise RecipeError(
            f"model.overrides: a vocabulary of {model.vocab_size:,} is smaller than the tokenizer's "
            f"{recipe.tokenizer.vocab_size:,}",
            hint="leave vocab_size away there: it is tokenizer.vocab_size",
        )
    thanked(recipe.release.supporters)
    check_sources(recipe.corpus, documents)


def require_device(recipe: Recipe) -> None:
    """Raise now that the device to train on is not there, which a dry run, made elsewhere, need not know."""
    from tsuzuri.training.devices import choose_device

    choose_device(recipe.train.device)


def check_found(recipe: Recipe, documents: Manifest) -> None:
    """The same, as soon as it is known what the sources hold."""
    sources = documents.counts["sources"]
    uncapped = recipe.train.mixture.model_copy(update={"max_epochs": None})  # tokens are not counted yet
    plan({name: item["documents"] - item["heldout_documents"] for name, item in sources.items()}, uncapped)
    check_terms(sources, recipe.release.allow_restricted, recipe.release.license)


def _closing_words(boxes: dict[str, Path], page: Path) -> Iterator[str]:
    scores = json.loads((boxes["evaluation"] / SCORES).read_text(encoding="utf-8"))
    shown: dict[str, str] = {}
    for sample in scores["samples"]:
        shown.setdefault(sample["prompt"], sample["text"])
    for prompt, text in list(shown.items())[:3]:
        yield f"\n【{prompt}】{text}"
    yield f"\nheld-out bits per character  {scores['bits']['all']['bits_per_character']:.3f}"
    yield f"release  {boxes['release']}"
    yield f"report   {page}"
