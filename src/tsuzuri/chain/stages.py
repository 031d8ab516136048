"""The stages of the chain, each a command of its own: it makes one box from the boxes before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsuzuri.core.boxes import SAMPLES
from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import MissingExtraError
from tsuzuri.core.progress import say
from tsuzuri.core.ranks import is_first
from tsuzuri.data.components import plan, table
from tsuzuri.evaluate.config import EvaluateConfig
from tsuzuri.lab.forecast import predicted_bytes
from tsuzuri.lab.speed import full_speed
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.ladder import model_config
from tsuzuri.recipe import Recipe, load_recipe
from tsuzuri.training.config import TrainConfig

if TYPE_CHECKING:
    from tsuzuri.core.manifest import Manifest
    from tsuzuri.training.branch import Branch
    from tsuzuri.training.hooks import Hook
    from tsuzuri.training.watch import Watch


def corpus(recipe: Path, out: Path, overrides: Sequence[str] = ()) -> str:
    """Sources → documents."""
    return _summary(out, make_documents(load_recipe(recipe, overrides), out))


def train_tokenizer(recipe: Path, documents: Path, out: Path, overrides: Sequence[str] = ()) -> str:
    """Documents → tokenizer."""
    return _summary(out, make_tokenizer(load_recipe(recipe, overrides), documents, out))


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
    return _summary(out, make_tokens(load_recipe(recipe, overrides), documents, tokenizer, out))


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
    require_torch()
    boxes = {"tokenizer": tokenizer, "tokens": tokens, "run": out}
    watch = watch_of(lambda: make_page(out, boxes, live=True), profile)
    made = make_run(load_recipe(recipe, overrides), tokens, tokenizer, out, amend, watch)
    if is_first():
        make_page(out, boxes)
    return _summary(out, made)


def evaluate(
    path: Path, tokens: Path, out: Path, recipe: Path | None = None, overrides: Sequence[str] = ()
) -> str:
    """A model → held-out bits, repetition and samples."""
    require_torch()
    from tsuzuri.evaluate.evaluate import describe

    return describe(make_evaluation(load_recipe(recipe, overrides), path, tokens, out))


def report(build: Path) -> str:
    """A build, finished or not → its page."""
    return str(make_page(build))


def make_documents(recipe: Recipe, box: Path) -> Manifest:
    """The documents box of a recipe, made now or before."""
    from tsuzuri.corpus.build import build_documents

    say(f"documents → {box}")
    return build_documents(recipe.corpus, box)


def make_tokenizer(recipe: Recipe, documents: Path, box: Path) -> Manifest:
    """The tokenizer box, made now or before."""
    from tsuzuri.tokenizer.train import train_tokenizer

    say(f"tokenizer → {box}")
    return train_tokenizer(recipe.tokenizer, documents, box)


def make_tokens(recipe: Recipe, documents: Path, tokenizer: Path, box: Path) -> Manifest:
    """The box of token shards, made now or before."""
    from tsuzuri.data.pack import pack

    say(f"tokens → {box}")
    return pack(recipe.pack, documents, tokenizer, box)


def make_run(
    recipe: Recipe,
    tokens: Path,
    tokenizer: Path,
    box: Path,
    amend: Sequence[str],
    watch: Watch,
    branch: Branch | None = None,
) -> Manifest:
    """The box of a run, begun, gone on with, or made before; with a `branch` it begins with another's
    weights."""
    from tsuzuri.training.loop import train

    say(f"run → {box}")
    return train(
        model=model_of(recipe),
        config=recipe.train,
        tokens=tokens,
        tokenizer=tokenizer,
        box=box,
        hooks=lambda config, evaluate: _hooks(config, evaluate, tokens, tokenizer),
        evaluate=_seen_in_training(recipe.evaluate),
        amend=amend,
        watch=watch,
        branch=branch,
    )


def make_evaluation(recipe: Recipe, model: Path, tokens: Path, box: Path) -> Manifest:
    """The evaluation box of a model, made now or before."""
    from tsuzuri.evaluate.evaluate import evaluate

    say(f"evaluation → {box}")
    return evaluate(model, tokens, recipe.evaluate, box)


def make_page(out: Path, boxes: Mapping[str, Path] | None = None, *, live: bool = False) -> Path:
    """The page about as much as there is, made anew."""
    from tsuzuri.report.build import build_report

    return build_report(out, boxes, live=live)


def watch_of(report: Callable[[], Path], profile: int) -> Watch:
    """What is shown of a run beside its logs."""
    from tsuzuri.training.watch import Watch

    return Watch(full_speed, predicted_bytes, report, profile)


def model_of(recipe: Recipe) -> ModelConfig:
    """The architecture that a recipe trains."""
    return model_config(
        recipe.model.size, vocab_size=recipe.tokenizer.vocab_size, overrides=recipe.model.overrides
    )


def require_torch() -> None:
    """MissingExtraError where there is no torch."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("torch", "train") from error


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


def _summary(box: Path, manifest: Manifest) -> str:
    facts = [f"{key} {value:,}" for key, value in manifest.counts.items() if isinstance(value, int)]
    fallen = sorted(manifest.counts.get("rejected", {}).items(), key=lambda item: (-item[1], item[0]))
    lost = f"\nfallen out  {', '.join(f'{reason} {count:,}' for reason, count in fallen)}" if fallen else ""
    return f"{manifest.kind}  {box}  {', '.join(facts)}{lost}"
