"""The command itself, as a process, on a real broker: it answers, drains, dies, and another goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from buses import PATIENCE_S, OpenBus, until
from servers import CONTEXT
from tsuzuri.core.errors import InputError, RecipeError
from tsuzuri.specialists.bus.base import BusDown
from tsuzuri.specialists.messages import Resume
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.up.brokers import Broker
from tsuzuri.specialists.worker.commands import read_config, worker
from tsuzuri.tokenizer.codec import Tokenizer
from workers import KEY, Gate

SETTINGS = ("engine.kind=mock", "engine.tokens_per_s=100", "engine.slots=4", "beat_s=0.2", "drain_s=20")
DIES = """
import os, sys
from tsuzuri.serving.engines.mock import MockEngine
from tsuzuri.serving.loading import load
from tsuzuri.specialists.worker import commands


class Poisoned(MockEngine):
    def _id(self, request, index):
        if index == 7 and request.sampling.seed == 666:
            os._exit(9)
        return super()._id(request, index)


def load_poisoned(config):
    model = load(config)
    model._engine.__class__ = Poisoned
    return model


commands.load = load_poisoned
"""
"""What a worker of these tests has that the product has not: a seed that kills it at the seventh token."""


LOADS = """
import time
from tsuzuri.specialists.worker import commands

commands.load = lambda config: time.sleep(600)
"""
"""A model that takes its time."""


@contextmanager
def process(
    release: Path, broker: Broker, topics: Topics, *more: str, other: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process of its own, with something else in it."""
    given = [*SETTINGS, f"bus.prefix={topics.prefix}", *more]
    call = (
        f"worker(__import__('pathlib').Path({str(release)!r}), name={KEY[0]!r}, revision={KEY[1]!r}, "
        f"kafka={broker.address!r}, overrides={given!r})"
    )
    script = f"from tsuzuri.specialists.worker.commands import worker\n{other}\n{call}"
    running = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        assert running.stderr is not None
        running.stderr.close()


@pytest.mark.slow
@pytest.mark.parametrize("broker_kind", ["embedded"], indirect=True)
def test_a_process_answers_dies_is_followed_by_another_and_drains(
    release: Path, open_bus: OpenBus, embedded_broker: Broker, topics: Topics
) -> None:
    gate = Gate(open_bus, topics)
    sampling = {"max_new_tokens": 60, "seed": 3}
    with process(release, embedded_broker, topics, other=DIES) as first:
        whole = gate.ask(sampling=sampling)
        gate.ended(whole)
        whole.check()
        cut = gate.ask(sampling={"max_new_tokens": 200, "seed": 3}, request_id="cut")
        until(lambda: cut.text)
        poison = gate.ask(sampling={"max_new_tokens": 60, "seed": 666})
        first.wait(PATIENCE_S)
        assert first.returncode == 9
        assert poison.end is None
    with process(release, embedded_broker, topics) as second:
        resumed = Resume(
            text=cut.text,
            ids=cut.ids,
            tokenizer=Tokenizer.load(release).sha256,
            completion_tokens=len(cut.ids),
        )
        rest = gate.ask(
            sampling={"max_new_tokens": 200, "seed": 3}, request_id="cut", attempt=2, resume=resumed
        )
        gate.ended(rest)
        rest.check(before=cut.text)
        assert (cut.text + rest.text).startswith(whole.text[:-3])
        assert len(cut.ids + rest.ids) == rest.end.completion_tokens == 200 < CONTEXT
        running = gate.ask(sampling=sampling)
        until(lambda: running.text)
        second.send_signal(signal.SIGTERM)
        gate.ended(running)
        running.check()
        second.wait(PATIENCE_S)
        assert second.returncode == 0
        assert second.stderr is not None
        lines = [json.loads(line) for line in second.stderr.read().splitlines()]
        assert {"answers", "answered", "ended"} <= {line["event"] for line in lines}
        assert not any(whole.text[:10] in json.dumps(line, ensure_ascii=False) for line in lines)
    gate.close()


@pytest.mark.slow
@pytest.mark.parametrize("broker_kind", ["embedded"], indirect=True)
def test_who_is_told_to_stop_while_it_loads_ends_at_once(
    release: Path, open_bus: OpenBus, embedded_broker: Broker, topics: Topics
) -> None:
    gate = Gate(open_bus, topics)
    with process(release, embedded_broker, topics, "beat_s=60", other=LOADS) as loading:
        until(lambda: gate.registry.beats)
        loading.send_signal(signal.SIGTERM)
        loading.wait(PATIENCE_S)  # the load takes ten minutes
        assert loading.returncode == 0
        until(lambda: not gate.registry.beats)  # it said so: silence would count after three minutes
    gate.close()


def test_what_is_given_goes_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "worker.yaml"
    file.write_text("name: law\nbus: {bootstrap: 'a:1', prefix: mine}\nslots: 3\n")
    config = read_config(
        Path("release"), name="literature", kafka="b:2", config=file, overrides=["slots=5", "title=文学"]
    )
    assert (config.name, config.release, config.slots, config.title) == (
        "literature",
        Path("release"),
        5,
        "文学",
    )
    assert (config.bus.bootstrap, config.bus.prefix) == ("b:2", "mine")


def test_mistakes_are_told(release: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no model is named"):
        worker(name="literature", kafka="127.0.0.1:1")
    with pytest.raises(RecipeError, match="name"):
        worker(release, kafka="127.0.0.1:1")
    with pytest.raises(RecipeError, match="host:port"):
        worker(release, name="literature", kafka="nowhere")
    with pytest.raises(InputError, match="can't be the name"):
        worker(release, name="文学", kafka="127.0.0.1:1")
    with pytest.raises(InputError, match="no model"):
        worker(tmp_path, name="literature", kafka="127.0.0.1:1")
    with pytest.raises(BusDown):
        worker(release, name="literature", kafka="127.0.0.1:1", overrides=["bus.request_s=0.5"])
