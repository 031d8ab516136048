"""What a worker says of itself, and what it leaves to whoever decides."""

from __future__ import annotations

import json
from copy import copy
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from buses import OpenBus, until
from tsuzuri.core.errors import InputError
from tsuzuri.serving.config import ModelConfig
from tsuzuri.serving.loading import load
from tsuzuri.serving.models import TextModel
from tsuzuri.specialists.bus.base import Record
from tsuzuri.specialists.messages import Descriptor, State
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.worker.clocks import Clocks
from tsuzuri.specialists.worker.config import WorkerConfig
from tsuzuri.specialists.worker.naming import revision_of
from tsuzuri.specialists.worker.presence import Presence
from tsuzuri.specialists.worker.remembered import MOST_BYTES, Remembered
from workers import KEY, Gate, working

pytestmark = pytest.mark.parametrize("broker_kind", ["memory"], indirect=True)
CONFIG = WorkerConfig(name=KEY[0], revision=KEY[1], beat_s=0.1)


def decide(gate: Gate, state: State) -> None:
    """Say what a controller would."""
    known = gate.registry.descriptors[KEY]
    gate.registry.put_descriptor(msgspec.structs.replace(known, state=state))


def test_a_revision_is_announced_with_what_its_model_is(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate, release: Path, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("むかし" * 9, "山" * 30)))
    with working(quick, open_bus, topics, title="文学", release=release, texts=texts) as running:
        until(lambda: KEY in gate.registry.descriptors and gate.registry.descriptors[KEY].context)
        said = gate.registry.descriptors[KEY]
        facts = quick.facts
        assert (said.state, said.title, said.context) == ("checking", "文学", facts.context)
        assert said.tokenizer_sha256 == facts.tokenizer_sha256 != ""
        assert set(said.capabilities) == facts.capabilities
        assert said.has_chat
        assert said.defaults == {"max_new_tokens": 16} | dict(facts.defaults)
        assert 0 < said.characters_per_token < 10
        assert said.source == str(release)
        until(lambda: running.instance in gate.registry.beats)
        until(lambda: gate.registry.beats[running.instance].state == "checking")
        beat = gate.registry.beats[running.instance]
        assert (beat.specialist, beat.revision, beat.every_ms, beat.slots) == (*KEY, 100, 64)
        assert beat.rss_bytes > 0
        decide(gate, "ready")
        until(lambda: gate.registry.beats[running.instance].state == "ready")


@pytest.mark.parametrize("state", ["ready", "refused", "draining"])
def test_what_was_decided_is_not_said_anew(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate, state: State
) -> None:
    gate.registry.put_descriptor(Descriptor(specialist=KEY[0], revision=KEY[1], state=state, note="why"))
    with working(quick, open_bus, topics) as running:
        until(lambda: running.instance in gate.registry.beats)
        heard = gate.ask()
        gate.ended(heard)
        assert gate.registry.wait(60)
        assert (gate.registry.descriptors[KEY].state, gate.registry.descriptors[KEY].note) == (state, "why")


def test_a_revision_that_is_gone_is_looked_at_again(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    gate.registry.put_descriptor(Descriptor(specialist=KEY[0], revision=KEY[1], state="gone"))
    with working(quick, open_bus, topics):
        until(lambda: gate.registry.descriptors[KEY].state == "checking")


@pytest.mark.parametrize(
    "other", [{"context": 77}, {"tokenizer_sha256": "another"}, {"model_sha256": "another"}]
)
def test_a_model_that_is_not_what_its_revision_is_known_as_does_not_answer(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate, other: dict[str, object]
) -> None:
    known = Descriptor(specialist=KEY[0], revision=KEY[1], state="ready", **other)  # type: ignore[arg-type]
    gate.registry.put_descriptor(known)
    model = copy(quick)
    model.facts = replace(quick.facts, model_sha256="its own")
    with working(model, open_bus, topics) as running:
        running.join()
        assert isinstance(running.error, InputError)
        assert "is known with another" in running.error.message


def test_a_second_worker_shares_the_requests(
    release: Path, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    engine = {"kind": "mock", "tokens_per_s": 200.0, "slots": 2}
    models = [load(ModelConfig(path=release, engine=engine)) for _ in range(2)]
    with working(models[0], open_bus, topics) as one, working(models[1], open_bus, topics) as two:
        until(lambda: {one.instance, two.instance} <= gate.joined())
        heard = [gate.ask() for _ in range(20)]
        gate.ended(*heard)
        assert {reply.worker for each in heard for reply in each.replies} == {one.instance, two.instance}
        for each in heard:
            each.check()


def test_a_presence_beats_while_the_model_loads(open_bus: OpenBus, topics: Topics, gate: Gate) -> None:
    presence = Presence(open_bus(), topics, CONFIG)
    until(lambda: presence.instance in gate.registry.beats)
    assert gate.registry.beats[presence.instance].state == "loading"
    assert gate.registry.descriptors[KEY].state == "loading"
    presence.close()
    until(lambda: presence.instance not in gate.registry.beats)


@pytest.mark.parametrize("ahead_ms", [-60_000, 60_000])
def test_a_clock_is_known_by_the_quickest_message(ahead_ms: int, open_bus: OpenBus) -> None:
    now = 1_000_000_000
    clocks = Clocks(lambda: now)
    for late_ms in (5000, 30, 900):
        clocks.heard("gateway", now - ahead_ms - late_ms)
    assert clocks.ahead_ms("gateway") == ahead_ms + 30
    assert clocks.ahead_ms("nobody") == 0
    assert clocks.ahead_ms("nobody", now - 70) == 70
    assert clocks.deadline(0, "gateway") is None
    for number in range(1000):
        clocks.heard(f"gateway-{number}", now)
    assert clocks.ahead_ms("gateway", now - 70) == 70, "who has not been heard for long is forgotten"


def test_an_answer_that_is_kept_again_takes_no_more_room(open_bus: OpenBus) -> None:
    remembered, large = Remembered(8), [Record("replies", b"x" * (MOST_BYTES // 4))]
    remembered.keep(("other", 1), large)
    for _ in range(10):
        remembered.keep(("one", 1), large)
    assert remembered.get(("other", 1)) == large


def test_a_revision_is_called_by_its_weights_or_by_its_upstream(
    release: Path, tmp_path: Path, open_bus: OpenBus
) -> None:
    upstream = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "org/Name 7B"}
    assert revision_of(release, upstream).startswith("org-Name-7B-")
    imported = tmp_path / "imported"
    imported.mkdir()
    (imported / "config.json").write_text("{}")
    by_description = revision_of(imported, {})
    (imported / "model.safetensors").write_bytes(b"weights")
    assert len(revision_of(imported, {})) == len(by_description) == 12
    assert revision_of(imported, {}) != by_description
    for name in (by_description, revision_of(release, upstream)):
        Topics().group("literature", name)
