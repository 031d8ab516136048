"""The whole house over HTTP, with real workers and every kind of broker: one model to OpenAI's client."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from buses import OpenBus, until
from fake_workers import admit
from servers import CHAT_TEMPLATE, ask, running, write_release
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

pytestmark = pytest.mark.slow
ALIAS = "kana"
LAW = RuleConfig(specialist="law", keywords=("民法",))
SPEED = 50.0


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By specialist; each has a tokenizer of its own."""
    folder = tmp_path_factory.mktemp("releases")
    return {
        name: write_release(folder / name, template=CHAT_TEMPLATE, vocabulary=vocabulary)
        for name, vocabulary in (("general", 512), ("law", 520))
    }


class Whole:
    """A server, its gateway, and workers that may be added and killed."""

    def __init__(self, open_bus: OpenBus, prefix: str, releases: dict[str, Path]) -> None:
        self.open_bus, self.prefix, self.releases = open_bus, prefix, releases
        self.topics = Topics(prefix)
        self.stack = contextlib.ExitStack()
        bus = open_bus()
        bus.ensure(self.topics.specs())
        self.registry = Registry(bus, self.topics)
        self.stack.callback(self.registry.close)
        router = RouterConfig(method="table", rules=(LAW,))
        config = SpecialistsConfig(alias=ALIAS, router=router, bus=BusConfig(prefix=prefix))
        self.guest = Specialists(config, bus=open_bus())
        serving = running(ServeConfig(port=0, drain_s=1.0), [self.guest])
        self.address, _ = self.stack.enter_context(serving)
        self.client = OpenAI(base_url=f"{self.address}/v1", api_key="none", max_retries=0)
        self.stack.callback(self.client.close)

    def worker(self, name: str, revision: str = "r1") -> Running:
        """One more, which answers once this returns."""
        engine = {"kind": "mock", "tokens_per_s": SPEED, "slots": 32}
        model: TextModel = load(ModelConfig(path=self.releases[name], engine=engine))
        found = self.stack.enter_context(
            working(model, self.open_bus, self.topics, name=name, revision=revision, delta_ms=0)
        )
        until(lambda: found.instance in self.guest.gateway.living.live.get((name, revision), ()))
        return found

    def settle(self, *workers: Running) -> None:
        """Wait until each has its part of the work: the embedded broker gives nobody anything any more where
        a member leaves while another joins."""
        queues = [running.worker._queue for running in workers if running.worker is not None]
        members = [member for queue in queues for member in getattr(queue, "_members", ())]
        until(lambda: all(member._buffer.owned(member._topics) for member in members))

    def admit(self, **shares: dict[str, float]) -> None:
        """Say who answers."""
        known = {one: body.tokenizer_sha256 for (one, _), body in self.registry.descriptors.items()}
        route = admit(self.registry, ALIAS, shares, tokenizers=known)
        gateway = self.guest.gateway
        until(lambda: ALIAS in gateway.living.routes and gateway.living.routes[ALIAS].epoch >= route.epoch)

    def text(self, prompt: str, tokens: int = 40, **others: Any) -> Any:
        """A completion."""
        return self.client.completions.create(model=ALIAS, prompt=prompt, max_tokens=tokens, seed=1, **others)


@pytest.fixture
def whole(open_bus: OpenBus, prefix: str, releases: dict[str, Path]) -> Iterator[Whole]:
    """A house without workers yet."""
    found = Whole(open_bus, prefix, releases)
    with found.stack:
        yield found


def test_openai_s_client_sees_one_model_that_goes_on_though_workers_die(whole: Whole) -> None:
    first = whole.worker("general")
    whole.worker("law")
    whole.admit(general={"r1": 1.0}, law={"r1": 1.0})
    assert [model.id for model in whole.client.models.list()] == [
        ALIAS,
        f"{ALIAS}/general",
        f"{ALIAS}/law",
    ]
    expected = whole.text("むかし")
    assert expected.tsuzuri["specialist"] == "general"
    assert expected.usage.completion_tokens == 40
    assert whole.text("民法は").tsuzuri["specialist"] == "law"
    chat = whole.client.chat.completions.create(
        model=ALIAS, messages=[{"role": "user", "content": "民法とは"}], max_tokens=8, seed=1
    )
    assert chat.choices[0].message.content

    whole.settle(first, whole.worker("general"))
    streams: dict[int, list[Any]] = {number: [] for number in range(8)}

    def read(number: int) -> None:
        for part in whole.text("むかし", stream=True, stream_options={"include_usage": True}):
            streams[number].append(part)

    threads = [threading.Thread(target=read, args=(number,)) for number in streams]
    for thread in threads:
        thread.start()
    until(lambda: all(len(parts) > 3 for parts in streams.values()))
    first.kill()
    for thread in threads:
        thread.join()
    for parts in streams.values():
        *told, usage = parts
        assert "".join(part.choices[0].text for part in told) == expected.choices[0].text
        assert usage.usage == expected.usage, "nothing is billed twice"
    assert whole.guest.gateway.ledger.counts["resumed"] >= 1


def test_a_specialist_that_is_lost_is_taken_over_by_another_tokenizer(whole: Whole) -> None:
    whole.worker("general")
    law = whole.worker("law")
    whole.admit(general={"r1": 1.0}, law={"r1": 1.0})
    alone = whole.text("民法は").choices[0].text
    text, shown, told = "", "", None
    for part in whole.text("民法は", stream=True, stream_options={"include_usage": True}):
        if not text:
            law.kill()
        if part.choices:
            text += part.choices[0].text
            shown = shown or text
            told = getattr(part, "tsuzuri", None) or told
        else:
            usage = part.usage
    assert shown
    assert alone.startswith(shown)
    assert text.startswith(shown)
    assert len(text) > len(shown)
    assert told is not None
    assert told["specialist"] == "general"
    assert "nobody who should answer for law is up" in told["why"]
    assert usage.completion_tokens == 40


def test_revisions_are_swapped_under_load_and_nobody_notices(whole: Whole) -> None:
    for revision in ("r1", "r2"):
        whole.worker("general", revision)
    whole.admit(general={"r1": 1.0})
    failed: list[BaseException] = []
    seen: list[str] = []
    is_over = threading.Event()

    def load_on() -> None:
        while not is_over.is_set():
            try:
                seen.append(whole.text("むかし", tokens=4).tsuzuri["revision"])
            except BaseException as error:
                failed.append(error)

    threads = [threading.Thread(target=load_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    for swap in range(20):
        revision = f"r{1 + (swap + 1) % 2}"
        whole.admit(general={revision: 1.0})
        until(partial(_is_told, failed, seen, revision))
    is_over.set()
    for thread in threads:
        thread.join()
    assert not failed
    told = ask(whole.address, "/admin/specialists")[2]
    assert sum(one["outcomes"].get("done", 0) for one in told["specialists"]) == sum(
        sum(one["outcomes"].values()) for one in told["specialists"]
    )


def _is_told(failed: list[BaseException], seen: list[str], revision: str) -> bool:
    """Whether the last answer was a revision's, or there is no need to wait for it."""
    return bool(failed) or seen[-1:] == [revision]
