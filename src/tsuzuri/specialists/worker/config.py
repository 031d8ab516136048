"""How one worker runs. Imports no torch and no client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tsuzuri.core.config import Config
from tsuzuri.serving.config import FilterConfig
from tsuzuri.specialists.bus.config import BusConfig


class WorkerConfig(Config):
    """One worker: whom it answers for, by which model, and how."""

    name: str
    """The specialist that it is one of the workers of."""
    title: str = ""
    """What people call the specialist; none: its name."""
    revision: str = ""
    """What its revision is called; none: by the release's version and the sum of its weights."""
    release: Path | None = None
    """The folder of a release or of an imported model; of an upstream, the one whose tokenizer it has."""
    engine: Mapping[str, Any] = {}
    """How the model is computed: the keys of an engine's configuration (`docs/serving.md`)."""
    filters: FilterConfig = FilterConfig()
    """What it may not write."""
    texts: Path | None = None
    """Texts of its domain, JSON lines with a `text` each, by which its characters a token are measured."""
    bus: BusConfig = BusConfig()
    """The broker."""
    beat_s: float = Field(default=2.0, ge=0.1, le=60)
    """Between two signs of life; three times that is death."""
    delta_ms: float = Field(default=30.0, ge=0, le=1000)
    """What is written within this time of the last part of an answer goes out together."""
    alive_s: float = Field(default=1.0, gt=0)
    """After which an answer of which nothing can be shown yet says that it is still written."""
    read_ahead: int = Field(default=2, ge=0)
    """Requests taken beyond those that the engine writes together."""
    slots: int = Field(default=0, ge=0)
    """Requests answered together; 0: as many as the engine has room for."""
    partitions: int = Field(default=4, ge=1)
    """Of the topics of its requests, where they are not there yet; at most so many workers share them."""
    drain_s: float = Field(default=30.0, ge=0)
    """For what runs when it is to end; the rest is handed back."""
    remembered: int = Field(default=256, ge=0)
    """Answers that are kept, in case a request comes twice."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is written to the log; a line is a JSON object."""
