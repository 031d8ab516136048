"""SPECIALISTS.yaml: who the specialists are, how requests find them, what admits them. Imports no torch.

Paths in the file are relative to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from tsuzuri.core.config import Config, apply_overrides, load_yaml, parse_config
from tsuzuri.core.errors import InputError, TsuzuriError, closest
from tsuzuri.serving.config import FilterConfig, ServeConfig
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.modes import MODES, ModeConfig
from tsuzuri.specialists.registry.view import RESERVED
from tsuzuri.specialists.routing.base import RouterConfig
from tsuzuri.specialists.topics import Topics

Sub = TypeVar("Sub", bound=Config)


class SpecialistConfig(Config):
    """One specialist."""

    name: str
    """What requests, topics and metrics call it: letters, digits, - and _."""
    title: str = ""
    """What people read; none: its name."""
    release: Path
    """The folder of a release or of an imported model; of an upstream, the one whose tokenizer it has."""
    revision: str = ""
    """What its workers call it; none: by the release's version and the sum of its weights."""
    engine: Mapping[str, Any] = {}
    """How it is computed: the keys of an engine's configuration (`docs/serving.md`)."""
    filters: FilterConfig = FilterConfig()
    """What it may not write."""
    workers: int = Field(default=1, ge=0, le=64)
    """Processes that `up` starts for it; 0: others run them."""
    texts: Path | None = None
    """Held-out texts of its domain, JSON lines with a `text` each, on which it has to beat the generalist."""
    gate: Literal["generalist", "none"] = "generalist"
    """`none`: it is let in without beating the generalist, as an upstream that can't score has to be."""

    @property
    def said_filters(self) -> dict[str, Any]:
        """What it may not write, as messages say it."""
        return self.filters.model_dump(mode="json", exclude_defaults=True)

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if value in RESERVED:
            raise ValueError(f"{value!r} has another meaning in the registry: choose another name")
        return _topical(value)

    @model_validator(mode="after")
    def _check(self) -> SpecialistConfig:
        if self.revision:
            try:
                Topics().group(self.name, self.revision)
            except InputError as error:
                raise ValueError(error.message) from None
        return self


class GateConfig(Config):
    """What a revision has to show before it answers anybody."""

    least_gain: float = Field(default=0.02, ge=0, lt=1)
    """Of the generalist's bits a byte on the specialist's own domain, those that it saves at least; the
    interval of the gain has to lie above 0 too."""
    texts: int = Field(default=64, ge=8)
    """Of its domain's held-out texts, those that are scored."""
    characters: int = Field(default=512, ge=16, le=20_000)
    """Of each text; a model that sees fewer tokens reads less of it."""
    resamples: int = Field(default=2000, ge=100)
    """Of the texts, for the 95 % interval of the gain (paired bootstrap)."""
    prompts: tuple[str, ...] = ("昔々、あるところに", "日本の首都は", "今日の天気は")
    """Each has to be answered with text that is no loop and holds nothing forbidden."""
    tokens: int = Field(default=32, ge=1)
    """Of each answer at most."""
    first_token_s: float = Field(default=20.0, gt=0)
    """Within which the second and every later answer has to begin; the first one warms up."""
    forbidden: tuple[str, ...] = ()
    """Texts that no answer may hold: what was planted in data that must not come out (canaries), say."""
    personal_data: Literal["standard", "strict"] | None = None
    """Whether answers are looked through for personal data (extra `anonymize`), and how."""
    timeout_s: float = Field(default=600.0, gt=0)
    """For one answer or one score."""


class RolloutConfig(Config):
    """How a new revision takes over, and what sends it back."""

    shares: tuple[float, ...] = (0.05, 0.25, 0.5, 1.0)
    """Of the specialist's requests, one step after another."""
    watch_s: float = Field(default=30.0, ge=0)
    """For which each step is watched at least, the last one too: then the old revision drains."""
    least_answers: int = Field(default=20, ge=0)
    """Of the new revision in each step, unless `idle_s` is over."""
    idle_s: float = Field(default=120.0, ge=0)
    """After which a step is over, however few asked, unless none of them was answered."""
    errors_above: float = Field(default=0.02, ge=0)
    """Of the old revision's share of failed answers, by which the new one's may surely not exceed it."""
    poor_above: float = Field(default=0.1, ge=0)
    """The same of answers that are empty or end in a loop."""
    slower: float = Field(default=1.5, ge=1)
    """Times the old revision's time to the first text (its median, and its 95 % point)."""
    slower_ms: float = Field(default=100.0, ge=0)
    """More than which it has to be slower, too."""
    worse_bits: float = Field(default=0.02, ge=0)
    """Of the old revision's bits a byte on its domain, by which the new one's may be more at admission."""
    silent_s: float = Field(default=10.0, gt=0)
    """For which the new revision may be without a worker that lives."""
    load_s: float = Field(default=600.0, gt=0)
    """For its first worker to load."""
    drain_s: float = Field(default=60.0, ge=0)
    """For what the old revision still writes."""

    @field_validator("shares")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or sorted(set(value)) != list(value) or value[0] <= 0 or value[-1] != 1:
            raise ValueError("shares rise from above 0 to 1: [0.05, 0.25, 0.5, 1]")
        return value


class SpecialistsConfig(Config):
    """Specialists that act as one model."""

    alias: str = Field(default="tsuzuri", pattern=r"^[\w.:-]{1,60}$")
    """What clients call the whole; a specialist alone is `alias/name`."""
    generalist: str = "generalist"
    """The specialist that answers what is nobody's, and that the others have to beat."""
    specialists: tuple[SpecialistConfig, ...] = ()
    """All of them, the generalist too."""
    router: RouterConfig = RouterConfig()
    """Who answers what."""
    mode: str = "route"
    """How they answer together."""
    modes: ModeConfig = ModeConfig()
    """What the modes go by."""
    gate: GateConfig = GateConfig()
    """What admits a revision."""
    rollout: RolloutConfig = RolloutConfig()
    """How a revision takes over."""
    bus: BusConfig = BusConfig()
    """The broker, where `up` does not start one."""
    server: ServeConfig = ServeConfig()
    """The API."""
    broker_bytes: int = Field(default=2**30, ge=2**26)
    """Memory of the embedded broker, which forgets nothing, above which `up` has it begin anew, empty, once
    nothing is being answered; twice as much: in any case. So it does where a topic has grown long, which
    makes that broker slow. What is unanswered is sent again."""
    beat_s: float = Field(default=2.0, gt=0, le=60)
    """Between two signs of life of a worker; three that are missing are its death."""

    @model_validator(mode="after")
    def _check(self) -> SpecialistsConfig:
        names = [item.name for item in self.specialists]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two specialists are called {min(twice)!r}")
        if names and self.generalist not in names:
            meant = closest(self.generalist, names)
            raise ValueError(f"the generalist {self.generalist!r} is none of the specialists{meant}")
        if self.mode not in MODES:
            others = closest(self.mode, MODES) or f" (modes: {', '.join(MODES)})"
            raise ValueError(f"there is no mode {self.mode!r}{others}")
        if self.mode == "mix" and names and self.modes.mixture not in names:
            raise ValueError(f"mode mix is answered by {self.modes.mixture!r}, which is no specialist")
        return self

    def of(self, name: str) -> SpecialistConfig | None:
        """The specialist of a name."""
        return next((item for item in self.specialists if item.name == name), None)


def read_specialists(path: Path, overrides: Sequence[str] = ()) -> SpecialistsConfig:
    """The configuration in a file, its paths made absolute; InputError, RecipeError."""
    values = apply_overrides(load_yaml(path), overrides)
    router = values.get("router", {})
    if "generalist" in values and isinstance(router, Mapping):  # said once for both
        values["router"] = {"generalist": values["generalist"], **router}
    found = parse_config(
        SpecialistsConfig, values, where=str(path), hint="correct the file or the --set option"
    )
    return within(path.absolute().parent, found)


def within(folder: Path, config: SpecialistsConfig) -> SpecialistsConfig:
    """The configuration with all its paths taken from the folder of the file in which it stands."""
    return config.model_copy(
        update={
            "specialists": tuple(placed(folder, item) for item in config.specialists),
            "router": _within(folder, config.router, "path"),
        }
    )


def placed(folder: Path, config: SpecialistConfig) -> SpecialistConfig:
    """The specialist with all its paths taken from a folder."""
    return _within(folder, _words_within(folder, _members_within(folder, config)), "release", "texts")


def check_files(config: SpecialistsConfig) -> None:
    """InputError where a release, a file of texts or the router is not there."""
    if config.router.path is not None and not config.router.path.exists():
        raise InputError(
            f"there is no router at {config.router.path}",
            hint="put it right in the file (`router.path`), or --set router.path=PATH",
        )
    for number, item in enumerate(config.specialists):
        words = item.filters.ng_words
        for what, path in (
            ("release", item.release),
            ("texts", item.texts),
            ("filters.ng_words.file", words.file if words else None),
        ):
            if path is not None and not path.exists():
                raise InputError(
                    f"specialist {item.name}: there is no {what} at {path}",
                    hint=f"put it right in the file, or --set specialists.{number}.{what}=PATH",
                )
        if item.texts is None and item.gate != "none" and item.name != config.generalist:
            raise InputError(
                f"specialist {item.name} names no texts of its domain on which it could beat the generalist",
                hint=f"--set specialists.{number}.texts=HELDOUT.jsonl, or let it in unmeasured: "
                f"--set specialists.{number}.gate=none",
            )


def _within(folder: Path, config: Sub, *names: str) -> Sub:
    """The configuration with some of its paths made absolute."""
    paths = {name: folder / path for name in names if (path := getattr(config, name)) is not None}
    return config.model_copy(update=paths)


def _members_within(folder: Path, config: SpecialistConfig) -> SpecialistConfig:
    """The specialist with the paths of a mixture's members made absolute."""
    members = config.engine.get("members")
    if not isinstance(members, list | tuple):
        return config
    placed = [
        {**member, "path": str(folder / str(member["path"]))}
        if isinstance(member, Mapping) and "path" in member
        else member
        for member in members
    ]
    return config.model_copy(update={"engine": {**config.engine, "members": placed}})


def _words_within(folder: Path, config: SpecialistConfig) -> SpecialistConfig:
    """The specialist with the path of its list of words made absolute."""
    words = config.filters.ng_words
    if words is None:
        return config
    filters = config.filters.model_copy(update={"ng_words": _within(folder, words, "file")})
    return config.model_copy(update={"filters": filters})


def _topical(name: str) -> str:
    try:
        Topics().group(name, "1")
    except TsuzuriError as error:
        raise ValueError(error.message) from None
    return name
