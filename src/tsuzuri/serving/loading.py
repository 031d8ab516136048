"""From a release's folder to a model that is served: tokenizer, defaults, template, filters and engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsuzuri.core.config import Config, parse_config
from tsuzuri.core.errors import InputError, MissingExtraError, RecipeError, closest
from tsuzuri.core.files import sha256_bytes
from tsuzuri.core.manifest import MANIFEST, read_manifest
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.generation.defaults import sampling_of
from tsuzuri.generation.rules import TokenRules, read_values, token_rules
from tsuzuri.serving.chat import ChatTemplate, special_pieces
from tsuzuri.serving.config import ModelConfig
from tsuzuri.serving.engines.base import Engine, TokenRequest
from tsuzuri.serving.filters import Filters
from tsuzuri.serving.models import ModelFacts, TextModel
from tsuzuri.serving.served import ServedModel
from tsuzuri.serving.tokenizers import check_one_tokenizer
from tsuzuri.tokenizer.codec import Tokenizer

FOLDERS = ("", "release", "model")
"""Where the model of a release, a build or a run lies in its folder."""
WEIGHTS = "model.safetensors"
READ = (".json", ".jinja", ".safetensors")
"""Endings of what is read of a model's folder."""
ENGINES = ("ours", "mixture", "openai", "mock")


class MockConfig(Config):
    """An engine without a model, for trying what stands around it."""

    tokens: int | None = None
    """Written for every request; none: as many as it may."""
    tokens_per_s: float | None = None
    """Of each request; none: all at once."""
    slots: int = 64
    """Requests written together."""
    queue: int = 256
    """Requests that may wait."""


def load(config: ModelConfig) -> TextModel:
    """The model of a release, build or Hugging Face folder; InputError or IntegrityError where it is none."""
    folder = model_folder(config.path)
    tokenizer = Tokenizer.load(folder)
    name, revision, weights = _named(folder)
    values = read_values(folder, "config.json")
    rules = token_rules(tokenizer, int(values.get("vocab_size", tokenizer.vocab_size)), folder)
    filters = Filters(config.filters)
    chat = ChatTemplate.of(folder, tokenizer)
    specials = special_pieces(tokenizer, read_values(folder, "tokenizer_config.json"))
    engine = _engine(folder, config.engine, values, tokenizer, rules, name=config.name or name)
    if config.engine.get("kind") == "mixture":  # another member is another model
        sums = [_named(model_folder(Path(member["path"])))[2] for member in config.engine["members"]]
        weights = sha256_bytes(" ".join(sums).encode())
        revision = f"mixture-{weights[:12]}"
    facts = ModelFacts(
        name=config.name or name,
        revision=revision,
        created_at=int((folder / "config.json").stat().st_mtime),
        context=engine.context,
        vocab_size=engine.vocab_size,
        capabilities=engine.capabilities,
        defaults=sampling_of(read_values(folder, "generation_config.json")),
        filters=tuple(filters.kinds),
        has_chat=chat is not None,
        model_sha256=weights,
        tokenizer_sha256=tokenizer.sha256,
    )
    names = {index: piece for piece, index in specials}
    return ServedModel(facts, engine, tokenizer, rules, filters=filters, chat=chat, special_names=names)


def stamp_of(config: ModelConfig) -> object:
    """What the files of a model are like: where they lie, their times and sizes; None where they are none."""
    try:
        folder = model_folder(config.path).resolve()
        files = sorted(item for item in folder.iterdir() if item.suffix in READ)
        if config.filters.ng_words:
            files.append(config.filters.ng_words.file.resolve())
        found = [(str(file), file.stat()) for file in files]
    except (OSError, InputError):
        return None
    return [(name, stat.st_mtime_ns, stat.st_size) for name, stat in found]


def name_of(path: Path) -> str:
    """What a release, build or Hugging Face folder calls itself; InputError where it is none."""
    return _named(model_folder(path))[0]


def _engine(
    folder: Path,
    asked: Mapping[str, Any],
    values: Mapping[str, Any],
    tokenizer: Tokenizer,
    rules: TokenRules,
    *,
    name: str,
) -> Engine:
    """The engine that `engine.kind` names (`ours`), with its other keys as its configuration."""
    kind, keys = asked.get("kind", "ours"), {key: value for key, value in asked.items() if key != "kind"}
    size = int(values["vocab_size"])
    context = int(values.get("max_position_embeddings") or values["n_positions"])
    if kind == "mock":
        from tsuzuri.serving.engines.mock import MockEngine

        mock = parse_config(MockConfig, keys, where="engine", hint="see docs/serving.md")
        return MockEngine(vocab_size=size, context=context, **mock.model_dump())
    if kind in ("ours", "mixture"):
        engine = _our_engine(folder, keys, tokenizer, rules, name=name, is_mixture=kind == "mixture")
        for _ in engine.submit(TokenRequest((), SamplingConfig(max_new_tokens=2, min_new_tokens=2))):
            pass  # what is compiled or allocated at the first step is not for the first client to wait for
        return engine
    if kind == "openai":
        try:
            from tsuzuri.serving.engines.upstream import UpstreamConfig, UpstreamEngine
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "httpx", "serve") from error
        upstream = parse_config(UpstreamConfig, keys, where="engine", hint="see docs/serving.md")
        return UpstreamEngine(upstream, rules, tokenizer.encode, name=name, vocab_size=size, context=context)
    raise RecipeError(
        f"no engine {kind!r}{closest(str(kind), ENGINES)}", hint=f"engines: {', '.join(ENGINES)}"
    )


def _our_engine(
    folder: Path,
    keys: Mapping[str, Any],
    tokenizer: Tokenizer,
    rules: TokenRules,
    *,
    name: str,
    is_mixture: bool,
) -> Engine:
    """The engine of the release, or of the members that `keys` name in its place."""
    from tsuzuri.serving.engines.ours.config import EngineConfig, MixtureConfig

    hint = "see docs/serving.md"
    try:
        if not is_mixture:
            from tsuzuri.serving.engines.ours.opening import open_engine

            return open_engine(folder, parse_config(EngineConfig, keys, where="engine", hint=hint), name=name)
        from tsuzuri.serving.engines.mixture import open_mixture
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("tsuzuri"):
            raise
        raise MissingExtraError(error.name or "torch", "train") from error
    config = parse_config(MixtureConfig, keys, where="engine", hint=hint)
    folders = [model_folder(member.path) for member in config.members]
    sums = {name: tokenizer.sha256}
    for member, inner in zip(config.members, folders, strict=True):
        sums[member.name or _named(inner)[0]] = Tokenizer.load(inner).sha256
    check_one_tokenizer(sums)
    return open_mixture(folders, rules, config, name=name)


def _named(folder: Path) -> tuple[str, str, str]:
    """What a release calls itself, its revision (its version and the beginning of its weights' sum), and that
    sum."""
    name = folder.resolve().name
    if name in FOLDERS:
        name = folder.resolve().parent.name
    if not (folder / MANIFEST).exists():
        return name, "", ""
    manifest = read_manifest(folder)
    weights = manifest.files.get(WEIGHTS, "")
    version = str(manifest.config.get("version", ""))
    return str(manifest.config.get("name") or name), "-".join(filter(None, (version, weights[:12]))), weights


def model_folder(path: Path) -> Path:
    """Where in the folder of a release, build or run its model lies; InputError where there is none."""
    for inner in FOLDERS:
        if (path / inner / "config.json").exists():
            return path / inner
    raise InputError(
        f"{path} holds no model: it has no config.json", hint="give the folder of a release or of a build"
    )
