"""`tsuzuri build` and the commands of its stages: each makes one box from the boxes before it.

Boxes already complete are not made again, so the same command resumes wherever a killed one stopped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsuzuri.core.boxes import RUN_FILE, SAMPLES, SCORES
from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import InputError, MissingExtraError, RecipeError
from tsuzuri.core.manifest import box_sha256, facts_of, read_manifest
from tsuzuri.core.progress import say
from tsuzuri.core.ranks import is_first
from tsuzuri.data.components import plan, table
from tsuzuri.evaluate.config import EvaluateConfig
from tsuzuri.lab.forecast import predicted_bytes
from tsuzuri.lab.speed import full_speed
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.ladder import model_config, rung
from tsuzuri.publish import make_release
from tsuzuri.recipe import Recipe, load_recipe
from tsuzuri.release.terms import check_terms
from tsuzuri.release.thanks import thanked
from tsuzuri.report.boxes import boxes_of
from tsuzuri.training.config import TrainConfig, require_context

if TYPE_CHECKING:
    from tsuzuri.core.manifest import Manifest
    from tsuzuri.training.hooks import Hook
    from tsuzuri.training.watch import Watch


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
    _check(wanted, boxes_of(boxes_from or out)["documents"])
    if dry_run:
        yield from describe(wanted)
        return
    _require_torch()
    if not (amend or (boxes["run"] / RUN_FILE).exists()):  # a run may go on elsewhere than the recipe says
        _require_device(wanted)
    if is_first():  # the other processes that torchrun started wait for it within the training
        if boxes_from:
            link_boxes(boxes_of(boxes_from), boxes)
        _check_sources(wanted, _make_documents(wanted, boxes["documents"]))
        _make_tokenizer(wanted, boxes["documents"], boxes["tokenizer"])
        _pack(wanted, boxes["documents"], boxes["tokenizer"], boxes["tokens"])
    watch = _watch(lambda: _page(out, live=True), profile)
    _train(wanted, boxes["tokens"], boxes["tokenizer"], boxes["run"], amend, watch)
    if not is_first():
        return
    remove_outdated(boxes)
    _evaluate(wanted, boxes["run"], boxes["tokens"], boxes["evaluation"])
    make_release(wanted, boxes)
    page = _page(out)
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
    model, train, row = _model(recipe), recipe.train, rung(recipe.model.size)
    tokens = train.steps * train.tokens_per_step
    yield f"sources     {', '.join(source.name or source.kind for source in recipe.corpus.source)}"
    yield f"tokenizer   {recipe.tokenizer.vocab_size:,} pieces, {recipe.tokenizer.form.value} form"
    yield f"model       {recipe.model.size}: {model.num_parameters:,} parameters, {model.model_type}"
    yield f"training    {train.steps:,} steps of {train.tokens_per_step:,} tokens = {tokens:,} tokens"
    yield f"            (the ladder: steps of {row.batch_tokens:,} tokens, AdamW at {row.learning_rate:g})"
    operations = 6 * model.num_matrix_parameters * tokens
    yield f"compute     {operations:.2e} floating-point operations (6 a matrix weight and token)"


def corpus(recipe: Path, out: Path, overrides: Sequence[str] = ()) -> str:
    """Sources → documents."""
    return _summary(out, _make_documents(load_recipe(recipe, overrides), out))


def train_tokenizer(recipe: Path, documents: Path, out: Path, overrides: Sequence[str] = ()) -> str:
    """Documents → tokenizer."""
    return _summary(out, _make_tokenizer(load_recipe(recipe, overrides), documents, out))


def mix(recipe: Path, tokens: Path, overrides: Sequence[str] = ()) -> Iterator[str]:
    """The mixture of a recipe over token shards, as a table of its components."""
    from tsuzuri.data.box import TokenBox

    config = load_recipe(recipe, overrides).train
    sizes = {
        source: counts["train_tokens"]
        for source, counts in TokenBox.open(tokens, verify=False).counts.items()
    }
    yield from table(plan(sizes, config.mixture, config.steps * config.tokens_per_step))


def pack(recipe: Path, documents: Path, tokenizer: Path, out: Path, overrides: Sequence[str] = ()) -> str:
    """Documents and a tokenizer → token shards."""
    return _summary(out, _pack(load_recipe(recipe, overrides), documents, tokenizer, out))


def train(
    recipe: Path,
    tokens: Path,
    tokenizer: Path,
    out: Path,
    overrides: Sequence[str] = (),
    amend: Sequence[str] = (),
    profile: int = 0,
) -> str:
    """Token shards → weights, and a page about them in `out`, made anew now and then meanwhile."""
    _require_torch()
    boxes = {"tokenizer": tokenizer, "tokens": tokens, "run": out}
    watch = _watch(lambda: _page(out, boxes, live=True), profile)
    made = _train(load_recipe(recipe, overrides), tokens, tokenizer, out, amend, watch)
    if is_first():
        _page(out, boxes)
    return _summary(out, made)


def evaluate(
    path: Path, tokens: Path, out: Path, recipe: Path | None = None, overrides: Sequence[str] = ()
) -> str:
    """A model → held-out bits, repetition and samples."""
    _require_torch()
    from tsuzuri.evaluate.evaluate import describe

    return describe(_evaluate(load_recipe(recipe, overrides), path, tokens, out))


def report(build: Path) -> str:
    """A build, finished or not → its page."""
    return str(_page(build))


def _check(recipe: Recipe, documents: Path) -> None:
    """Raise now what a late stage would raise after hours of work."""
    from tsuzuri.corpus.build import check_sources

    model = _model(recipe)
    require_context(recipe.train, model.max_position_embeddings)
    if model.vocab_size < recipe.tokenizer.vocab_size:
        raise RecipeError(
            f"model.overrides: a vocabulary of {model.vocab_size:,} is smaller than the tokenizer's "
            f"{recipe.tokenizer.vocab_size:,}",
            hint="leave vocab_size away there: it is tokenizer.vocab_size",
        )
    thanked(recipe.release.supporters)
    check_sources(recipe.corpus, documents)


def _require_device(recipe: Recipe) -> None:
    """Raise now that the device to train on is not there, which a dry run, made elsewhere, need not know."""
    from tsuzuri.training.devices import choose_device

    choose_device(recipe.train.device)


def _check_sources(recipe: Recipe, documents: Manifest) -> None:
    """The same, as soon as it is known what the sources hold."""
    sources = documents.counts["sources"]
    uncapped = recipe.train.mixture.model_copy(update={"max_epochs": None})  # tokens are not counted yet
    plan({name: item["documents"] - item["heldout_documents"] for name, item in sources.items()}, uncapped)
    check_terms(sources, recipe.release.allow_restricted, recipe.release.license)


def _model(recipe: Recipe) -> ModelConfig:
    return model_config(
        recipe.model.size, vocab_size=recipe.tokenizer.vocab_size, overrides=recipe.model.overrides
    )


def _make_documents(recipe: Recipe, box: Path) -> Manifest:
    from tsuzuri.corpus.build import build_documents

    say(f"documents → {box}")
    return build_documents(recipe.corpus, box)


def _make_tokenizer(recipe: Recipe, documents: Path, box: Path) -> Manifest:
    from tsuzuri.tokenizer.train import train_tokenizer

    say(f"tokenizer → {box}")
    return train_tokenizer(recipe.tokenizer, documents, box)


def _pack(recipe: Recipe, documents: Path, tokenizer: Path, box: Path) -> Manifest:
    from tsuzuri.data.pack import pack

    say(f"tokens → {box}")
    return pack(recipe.pack, documents, tokenizer, box)


def _page(out: Path, boxes: Mapping[str, Path] | None = None, *, live: bool = False) -> Path:
    """The page about as much as there is, made anew."""
    from tsuzuri.report.build import build_report

    return build_report(out, boxes, live=live)


def _watch(report: Callable[[], Path], profile: int) -> Watch:
    """What is shown of a run beside its logs."""
    from tsuzuri.training.watch import Watch

    return Watch(full_speed, predicted_bytes, report, profile)


def _train(
    recipe: Recipe, tokens: Path, tokenizer: Path, box: Path, amend: Sequence[str], watch: Watch
) -> Manifest:
    from tsuzuri.training.loop import train

    say(f"run → {box}")
    return train(
        model=_model(recipe),
        config=recipe.train,
        tokens=tokens,
        tokenizer=tokenizer,
        box=box,
        hooks=lambda config, evaluate: _hooks(config, evaluate, tokens, tokenizer),
        evaluate=_seen_in_training(recipe.evaluate),
        amend=amend,
        watch=watch,
    )


def _seen_in_training(config: EvaluateConfig) -> dict[str, Any]:
    """What of the evaluation shapes the logs of a run, where one sample is written for each prompt."""
    values = config.as_mapping()
    del values["max_tokens"], values["sampling"]["samples"]
    return values


def _hooks(
    train: TrainConfig, evaluate: Mapping[str, Any], tokens: Path, tokenizer: Path
) -> tuple[Hook, ...]:
    """Held-out bits, and samples with how much they repeat themselves, while a model trains."""
    import torch

    from tsuzuri.data.box import TokenBox
    from tsuzuri.evaluate.bits import heldout_bits
    from tsuzuri.evaluate.repetition import repetition
    from tsuzuri.generation.language_model import LanguageModel
    from tsuzuri.model.gpt import GPT
    from tsuzuri.tokenizer.codec import Tokenizer
    from tsuzuri.training.hooks import Hook

    config = parse_config(EvaluateConfig, evaluate, where="evaluate")
    data, codec = TokenBox.open(tokens, verify=False), Tokenizer.load(tokenizer)
    one = config.sampling.model_copy(update={"samples": 1})
    written: list[str] = []  # by `samples`, which comes before `repeated` at every step that either is due

    def heldout(model: GPT, dtype: torch.dtype) -> dict[str, Any]:
        bits = heldout_bits(
            model,
            data,
            max_tokens=config.max_tokens_in_training,
            length=config.sequence_length,
            batch_rows=config.batch_rows,
            dtype=dtype,
        )
        return {source: dict(values) for source, values in bits.items()}

    def samples(model: GPT, dtype: torch.dtype) -> list[dict[str, str]]:
        writer = LanguageModel(model, codec, dtype=dtype)
        written[:] = [writer.samples(prompt, one)[0] for prompt in config.prompts]
        return [
            {"prompt": prompt, "text": text} for prompt, text in zip(config.prompts, written, strict=True)
        ]

    def repeated(model: GPT, dtype: torch.dtype) -> dict[str, Any]:
        return dict(repetition(written))

    return (
        Hook("heldout", train.evaluate_every, heldout),
        Hook("samples", train.sample_every, samples, log=SAMPLES),
        Hook("repetition", train.sample_every, repeated, log=SAMPLES),
    )


def _evaluate(recipe: Recipe, model: Path, tokens: Path, box: Path) -> Manifest:
    from tsuzuri.evaluate.evaluate import evaluate

    say(f"evaluation → {box}")
    return evaluate(model, tokens, recipe.evaluate, box)


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


def _summary(box: Path, manifest: Manifest) -> str:
    facts = [f"{key} {value:,}" for key, value in manifest.counts.items() if isinstance(value, int)]
    fallen = sorted(manifest.counts.get("rejected", {}).items(), key=lambda item: (-item[1], item[0]))
    lost = f"\nfallen out  {', '.join(f'{reason} {count:,}' for reason, count in fallen)}" if fallen else ""
    return f"{manifest.kind}  {box}  {', '.join(facts)}{lost}"


def _require_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("torch", "train") from error
