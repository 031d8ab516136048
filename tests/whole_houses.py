"""A whole house in one process, for tests over any broker: a server, its gateway, real workers, HTTP."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from openai import OpenAI

from buses import OpenBus, until
from fake_workers import admit
from servers import CHAT_TEMPLATE, running, write_release
from tsuzuri.serving.config import ModelConfig, ServeConfig
from tsuzuri.serving.loading import load
from tsuzuri.serving.models import TextModel
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.gateway.server import Specialists
from tsuzuri.specialists.registry.registry import Registry
from tsuzuri.specialists.routing.base import RouterConfig, RuleConfig
from tsuzuri.specialists.topics import Topics
from workers import Running, working

ALIAS = "kana"
LAW = RuleConfig(specialist="law", keywords=("民法",))
SPEED = 50.0


def write_releases(folder: Path) -> dict[str, Path]:
    """By specialist; each has a tokenizer of its own."""
    return {
        name: write_release(folder / name, template=CHAT_TEMPLATE, vocabulary=vocabulary)
        for name, vocabulary in (("general", 512), ("law", 520))
    }


class Whole:
    """A server, its gateway, and workers that may be added and killed."""

    def __init__(
        self, open_bus: OpenBus, prefix: str, releases: dict[str, Path], serve: ServeConfig | None = None
    ) -> None:
        self.open_bus, self.prefix, self.releases = open_bus, prefix, releases
        self.topics = Topics(prefix)
        self.stack = contextlib.ExitStack()
        bus = open_bus()
        bus.ensure(self.topics.specs())
        self.registry = Registry(bus, self.topics)
        self.stack.callback(self.registry.close)
        self.guest = self.gateway()
        serving = running(serve or ServeConfig(port=0, drain_s=1.0), [self.guest])
        self.address, _ = self.stack.enter_context(serving)
        self.client = OpenAI(base_url=f"{self.address}/v1", api_key="none", max_retries=0)
        self.stack.callback(self.client.close)

    def gateway(self) -> Specialists:
        """One more, for a server of its own."""
        router = RouterConfig(method="table", rules=(LAW,))
        config = SpecialistsConfig(alias=ALIAS, router=router, bus=BusConfig(prefix=self.prefix))
        return Specialists(config, bus=self.open_bus())

    def worker(self, name: str, revision: str = "r1", *, speed: float = SPEED, slots: int = 32) -> Running:
        """One more, which answers once this returns."""
        engine = {"kind": "mock", "tokens_per_s": speed, "slots": slots}
        model: TextModel = load(ModelConfig(path=self.releases[name], engine=engine))
        found = self.stack.enter_context(
            working(model, self.open_bus, self.topics, name=name, revision=revision, delta_ms=0)
        )
        until(lambda: found.instance in self.guest.gateway.living.live.get((name, revision), ()))
        return found

    def admit(self, **shares: dict[str, float]) -> None:
        """Say who answers."""
        known = {one: body.tokenizer_sha256 for (one, _), body in self.registry.descriptors.items()}
        route = admit(self.registry, ALIAS, shares, tokenizers=known)
        gateway = self.guest.gateway
        until(lambda: ALIAS in gateway.living.routes and gateway.living.routes[ALIAS].epoch >= route.epoch)

    def text(self, prompt: str, tokens: int = 40, **others: Any) -> Any:
        """A completion."""
        return self.client.completions.create(model=ALIAS, prompt=prompt, max_tokens=tokens, seed=1, **others)
