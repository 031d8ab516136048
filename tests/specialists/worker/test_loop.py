"""A worker answers what it is asked, once, whatever comes between."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buses import OpenBus, until
from standins import record
from tsuzuri.serving.config import ModelConfig
from tsuzuri.serving.engines.base import EngineFailed, EngineStats
from tsuzuri.serving.loading import load
from tsuzuri.serving.models import Prompt, TextModel
from tsuzuri.specialists.bus.base import Bus, BusDown, BusFull, NoPlace, Record, WorkQueue
from tsuzuri.specialists.bus.memory import MemoryBroker
from tsuzuri.specialists.dead_letters import list_letters
from tsuzuri.specialists.messages import (
    Accepted,
    Cancel,
    Delta,
    Drain,
    Embed,
    Envelope,
    Failed,
    Final,
    Report,
    Resume,
    Score,
    new_id,
    now_ms,
)
from tsuzuri.specialists.registry.registry import LEASE_S
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.worker.request import Request
from workers import KEY, Gate, Heard, Running, working

pytestmark = pytest.mark.parametrize("broker_kind", ["memory"], indirect=True)

Work = Callable[..., Running]
LONG = {"max_new_tokens": 30, "seed": 3}
ENDLESS = {"max_new_tokens": 100_000, "seed": 3}


def accepted(heard: Heard) -> bool:
    return any(isinstance(body, Accepted) for body in heard.bodies)


def shows(heard: Heard) -> bool:
    return bool(heard.text)


def test_an_answer_comes_in_parts_and_is_acknowledged_at_its_end(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    with working(slow, open_bus, topics) as running:
        heard = gate.ask(sampling=LONG)
        gate.ended(heard)
        heard.check()
        begun, *parts, end = heard.bodies
        assert isinstance(begun, Accepted)
        assert parts[0].prompt_tokens == end.prompt_tokens > 0  # type: ignore[union-attr]
        assert len(parts) > 2
        assert all(isinstance(part, Delta) for part in parts)
        assert (end.finish, end.completion_tokens, len(heard.ids)) == ("length", 30, 30)
        assert {reply.worker for reply in heard.replies} == {running.instance}
        until(lambda: gate.lag() == 0)


def test_what_is_written_within_a_moment_goes_out_together(
    release: Path, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    model = load(ModelConfig(path=release, engine={"kind": "mock", "tokens_per_s": 1000.0}))
    with working(model, open_bus, topics, delta_ms=200):
        heard = gate.ask(sampling={"max_new_tokens": 100})
        gate.ended(heard)
        heard.check()
        assert len(heard.parts) < 20


@pytest.mark.parametrize("sampling", [{"seed": 3}, {"seed": 4, "temperature": 0.0}])
def test_another_worker_goes_on_where_one_was_killed(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate, sampling: dict[str, Any]
) -> None:
    sampling = {"max_new_tokens": 40, **sampling}
    with working(slow, open_bus, topics) as first:
        whole, request_id = gate.ask(sampling=sampling), new_id()
        gate.ended(whole)
        cut = gate.ask(sampling=sampling, request_id=request_id)
        until(lambda: len(cut.ids) > 3)
        first.kill()
    resume = Resume(
        text=cut.text,
        ids=cut.ids,
        tokenizer=slow.facts.tokenizer_sha256,
        completion_tokens=len(cut.ids),
    )
    with working(slow, open_bus, topics):
        rest = gate.ask(sampling=sampling, request_id=request_id, attempt=2, resume=resume)
        gate.ended(rest)
        until(lambda: gate.lag() == 0)  # the first attempt came again, and gave way
    rest.check(before=cut.text)
    assert cut.text + rest.text == whole.text
    assert (rest.end.completion_tokens, rest.end.finish) == (40, "length")
    assert cut.ids + rest.ids == whole.ids


def test_what_comes_twice_is_answered_with_the_same_words(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    with working(slow, open_bus, topics):
        request_id = new_id()
        heard = gate.ask(sampling=LONG, request_id=request_id)
        until(lambda: shows(heard))
        gate.ask(sampling=LONG, request_id=request_id)  # while it runs: it joins
        gate.ended(heard)
        heard.check()
        once = list(heard.replies)
        until(lambda: gate.lag() == 0)
        gate.ask(sampling=LONG, request_id=request_id)  # afterwards: it is said again
        until(lambda: len(heard.replies) == 2 * len(once))
        assert [(reply.seq, reply.body) for reply in heard.replies[len(once) :]] == [
            (reply.seq, reply.body) for reply in once
        ]
        until(lambda: gate.lag() == 0)


def test_a_later_attempt_takes_the_place_of_an_earlier_one(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    with working(slow, open_bus, topics):
        request_id = new_id()
        first = gate.ask(sampling=ENDLESS, request_id=request_id)
        until(lambda: shows(first))
        second = gate.ask(sampling=LONG, request_id=request_id, attempt=2)
        gate.ended(second)
        third = gate.ask(sampling=LONG, request_id=request_id, attempt=1)
        until(lambda: gate.lag() == 0)
        assert first.end is None
        assert third is first


def test_who_is_in_a_hurry_goes_first(release: Path, open_bus: OpenBus, topics: Topics, gate: Gate) -> None:
    model = load(ModelConfig(path=release, engine={"kind": "mock", "tokens_per_s": 100.0, "slots": 1}))
    patient = [gate.ask(lane="batch") for _ in range(4)]
    hurried = [gate.ask() for _ in range(4)]
    order: list[int] = []
    with working(model, open_bus, topics, read_ahead=0):
        gate.ended(*patient, *hurried)
    ends = [heard.replies[-1].sent_ms for heard in (*hurried, *patient)]
    order = sorted(range(8), key=lambda index: ends[index])
    assert set(order[:4]) == {0, 1, 2, 3}


def test_no_more_is_taken_than_there_is_room_for(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate, memory_broker: MemoryBroker
) -> None:
    most = 0
    with working(slow, open_bus, topics, read_ahead=1):
        heard = [gate.ask() for _ in range(12)]
        while any(one.end is None for one in heard):
            with memory_broker.changed:
                most = max(most, len(memory_broker.groups[topics.group(*KEY)].out))
        assert most == 3


def test_what_is_cancelled_ends_within_a_step(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    with working(slow, open_bus, topics):
        running = gate.ask(sampling=ENDLESS, request_id="running")
        until(lambda: shows(running))
        gate.control(Cancel(ids=("running", "overtaken")))
        gate.ended(running)
        running.check()
        assert running.end.finish == "cancelled"
        assert running.end.completion_tokens < 100_000
        until(lambda: slow.stats().running == 0)
        overtaken = gate.ask(request_id="overtaken", sent_ms=now_ms() - 60_000)
        until(lambda: gate.lag() == 0)
        assert overtaken.replies == []
        replayed = gate.ask(request_id="overtaken", sent_ms=now_ms() + 1)
        gate.ended(replayed)
        replayed.check()


def test_what_was_cancelled_before_a_worker_came_is_not_begun_and_an_old_order_to_end_is_none(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    deadly = gate.ask(request_id="deadly")  # as a worker that it killed had left it
    gate.control(Cancel(ids=("deadly",), attempts=(1,)))
    gate.control(Drain(specialist=KEY[0]))
    with working(quick, open_bus, topics):
        other = gate.ask()
        gate.ended(other)
        until(lambda: gate.lag() == 0)
        assert deadly.replies == []
        later = gate.ask(request_id="deadly", attempt=2)
        gate.ended(later)


def test_a_prompt_s_ids_are_answered_as_its_text(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    ids = asyncio.run(quick.read("むかし")).ids
    with working(quick, open_bus, topics):
        text = gate.ask("むかし")
        same = gate.ask(prompt=None, ids=ids, tokenizer=quick.facts.tokenizer_sha256)
        gate.ended(text, same)
        assert (same.text, same.end.prompt_tokens) == (text.text, text.end.prompt_tokens)


def test_a_late_cancel_ends_no_newer_attempt(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    with working(slow, open_bus, topics):
        newer = gate.ask(sampling=ENDLESS, request_id="again", attempt=2)
        until(lambda: shows(newer))
        gate.control(Cancel(ids=("again",), attempts=(1,)))
        parts = len(newer.parts)
        until(lambda: len(newer.parts) > parts + 3)
        gate.control(Cancel(ids=("again",), attempts=(2,)))
        gate.ended(newer)
        assert newer.end.finish == "cancelled"


@pytest.mark.parametrize("skew_ms", [-60_000, 0, 60_000])
def test_deadlines_are_those_of_the_gateways_clock(
    quick: TextModel, open_bus: OpenBus, topics: Topics, skew_ms: int
) -> None:
    """Fault test 17 in short."""
    gate = Gate(open_bus, topics, skew_ms=skew_ms)
    with working(quick, open_bus, topics):
        in_time, too_late = gate.ask(left_s=30.0), gate.ask(left_s=-0.001)
        gate.ended(in_time, too_late)
        assert isinstance(in_time.end, Final)
        assert isinstance(too_late.end, Failed)
        assert (too_late.end.code, accepted(too_late)) == ("deadline", False)
        until(lambda: gate.lag() == 0)
    gate.close()


def test_the_clock_of_who_read_a_partition_before_says_nothing_of_the_next(
    quick: TextModel, open_bus: OpenBus, topics: Topics
) -> None:
    before = Gate(open_bus, topics, skew_ms=60_000)
    with working(quick, open_bus, topics):
        before.ended(before.ask())
        before.close()
        gate = Gate(open_bus, topics)
        letter = gate.ask(left_s=120.0, sender="", sent_ms=now_ms() + 60_000)  # again, by an operator's clock
        heard = gate.ask(left_s=30.0)
        gate.ended(letter, heard)
        assert isinstance(letter.end, Final)
        assert isinstance(heard.end, Final)
    gate.close()


def test_time_spent_in_the_queue_counts_once_the_clock_is_known(
    slow: TextModel, open_bus: OpenBus, topics: Topics
) -> None:
    gate = Gate(open_bus, topics, skew_ms=60_000)
    name = gate.registry.holder("replies/0") or ""
    with working(slow, open_bus, topics, slots=1) as running:
        until(lambda: running.worker is not None)
        report = Report(gateway=name, at_ms=now_ms() + 60_000)
        gate.bus.send(record(topics.beats, report, name))
        first = gate.ask(sampling={"max_new_tokens": 60})
        until(lambda: shows(first))
        waits = gate.ask(left_s=0.2)
        gate.ended(first, waits)
        assert isinstance(waits.end, Failed)
        assert waits.end.code == "deadline"
    gate.close()


def test_what_runs_out_of_time_is_the_answer_so_far(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    with working(slow, open_bus, topics):
        heard = gate.ask(sampling=ENDLESS, left_s=0.5)
        gate.ended(heard)
        heard.check()
        assert heard.end.finish == "timeout"


def test_who_drains_finishes_what_runs_and_ends(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    with working(slow, open_bus, topics, slots=1, read_ahead=1) as running:
        until(lambda: running.instance in gate.registry.beats)
        heard = gate.ask(sampling={"max_new_tokens": 100})
        until(lambda: shows(heard))
        others = [gate.ask(), gate.ask()]  # one is taken, one stays with the broker
        until(lambda: gate.registry.beats[running.instance].waiting == 1)
        gate.control(Drain(specialist=KEY[0], revision="another"))
        gate.control(Drain(specialist=KEY[0], revision=KEY[1], instance=running.instance))
        gate.ended(heard)
        running.join()
        assert running.error is None
        heard.check()
        assert (heard.end.finish, heard.end.completion_tokens) == ("length", 100)
        (back,) = [other for other in others if other.replies]
        assert (back.end.code, back.end.is_retryable) == ("handed_back", True)
        assert gate.lag() == 1
        until(lambda: running.instance not in gate.registry.beats)


def test_what_does_not_finish_in_time_is_handed_back(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    with working(slow, open_bus, topics, drain_s=0.1) as running:
        heard = gate.ask(sampling=ENDLESS)
        until(lambda: shows(heard))
        running.drain()
        running.join()
    gate.ended(heard)
    assert (heard.end.code, heard.end.is_retryable) == ("handed_back", True)
    assert gate.lag() == 0


class Broken:
    """A model whose engine fails once it has begun."""

    def __init__(self, model: TextModel, failure: str | None) -> None:
        self.facts, self.read, self._failure = model.facts, model.read, failure

    def complete(self, request: object) -> object:
        raise EngineFailed("a step failed")

    def stats(self) -> EngineStats:
        return EngineStats(slots=2, failure=self._failure)


@pytest.mark.parametrize("failure", [None, "failed: RuntimeError"])
def test_a_failing_engine_is_told_and_a_dead_one_ends_the_worker(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate, failure: str | None
) -> None:
    with working(Broken(quick, failure), open_bus, topics) as running:  # type: ignore[arg-type]
        heard = gate.ask()
        if failure is None:
            gate.ended(heard)
            assert (heard.end.code, heard.end.is_retryable) == ("engine_failed", True)
        else:
            running.join()
            assert isinstance(running.error, EngineFailed)
            assert "RuntimeError" in str(running.error)


def test_what_no_worker_can_do_is_refused_by_name(
    release: Path, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    model = load(ModelConfig(path=release, engine={"kind": "mock"}))
    model.facts = replace(model.facts, capabilities=frozenset())
    with working(model, open_bus, topics):
        asked = {
            "too_long": gate.ask("綴" * 100_000),
            "logprobs": gate.ask(logprobs=1),
            "tokenizer": gate.ask(logit_bias={"5": 1.0}, tokenizer="another"),
            "ids": gate.ask(prompt=None, ids=(5,), tokenizer="another"),
            "sampling": gate.ask(sampling={"temperature": -1}),
            "unknown": gate.ask(sampling={"temprature": 1}),
            "nothing": gate.send(gate_ask(prompt=None)),
            "score": gate.send(Score(specialist=KEY[0], revision=KEY[1], texts=("a",))),
            "embed": gate.send(Embed(specialist=KEY[0], revision=KEY[1], texts=("a",))),
        }
        gate.ended(*asked.values())
        codes = {name: (heard.end.code, heard.end.is_retryable) for name, heard in asked.items()}
        assert codes == {
            "too_long": ("too_long", False),
            "logprobs": ("unsupported", False),
            "tokenizer": ("unsupported", False),
            "ids": ("unsupported", False),
            "sampling": ("invalid", False),
            "unknown": ("invalid", False),
            "nothing": ("invalid", False),
            "score": ("unsupported", False),
            "embed": ("unsupported", False),
        }
        assert "another" in asked["tokenizer"].end.message
        until(lambda: gate.lag() == 0)


def gate_ask(**fields: Any) -> Any:
    from tsuzuri.specialists.messages import Ask

    return Ask(specialist=KEY[0], revision=KEY[1], **fields)


def test_what_is_no_request_becomes_a_dead_letter_and_the_next_is_answered(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    topic = topics.requests(*KEY, "interactive")
    whole = record(topic, gate_ask(prompt="a"), "id", id="id", reply_topic=topics.replies)
    poison = [
        Record(topic, b"{", b"id", whole.headers),
        Record(topic, b"\xff\xfe", b"id", whole.headers),
        Record(topic, whole.value, b"id", ()),
        Record(topic, None, b"id", whole.headers),
        record(topic, gate_ask(prompt="a"), "id"),
        record(topic, Drain(specialist=KEY[0]), "id", id="id", reply_topic=topics.replies),
        record(topic, gate_ask(prompt="a"), "id", id="id", reply_topic="nobody's"),
        record(topic, gate_ask(prompt="a"), "id", id="id", reply_topic=topics.replies, lane="urgent"),
    ]
    with working(quick, open_bus, topics):
        for one in poison:
            gate.bus.send(one)
        heard = gate.ask()
        gate.ended(heard)
        until(lambda: gate.lag() == 0)
        letters = list_letters(gate.bus, topics.dead_letters)
        reasons = sorted(letter.reason for letter in letters)
        assert reasons == ["body"] * 3 + ["kind", "no_body", "no_kind", "no_reply", "no_reply"]
        told = gate.heard("id").bodies
        assert [(body.code, body.is_retryable) for body in told] == [("malformed", False)] * 5


def test_a_conversation_is_read_by_the_models_own_template(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    with working(quick, open_bus, topics):
        heard = gate.send(gate_ask(messages=({"role": "user", "content": "むかし"},)))
        both = gate.send(gate_ask(prompt="a", messages=({"role": "user", "content": "むかし"},)))
        gate.ended(heard, both)
        heard.check()
        assert both.end.code == "invalid"


def test_texts_are_scored_and_turned_into_vectors(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    texts = ("むかし、むかし", "", "おじいさん")
    with working(quick, open_bus, topics):
        scored = gate.send(Score(specialist=KEY[0], revision=KEY[1], texts=texts))
        after = gate.send(Score(specialist=KEY[0], revision=KEY[1], texts=texts, befores=("あ", "", "山へ")))
        wrong = gate.send(Score(specialist=KEY[0], revision=KEY[1], texts=texts, befores=("あ",)))
        vectors = gate.send(Embed(specialist=KEY[0], revision=KEY[1], texts=texts))
        gate.ended(scored, after, wrong, vectors)
    assert scored.end.utf8_bytes == tuple(len(text.encode()) for text in texts)
    assert scored.end.nats == tuple(map(float, scored.end.tokens))  # the mock engine's are all of -1
    assert (after.end.nats, after.end.utf8_bytes) == (scored.end.nats, scored.end.utf8_bytes)
    assert wrong.end.code == "invalid"
    assert [len(vector) for vector in vectors.end.vectors] == [8, 8, 8]


def test_a_long_score_says_that_it_is_on_its_way(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    with working(slow, open_bus, topics, alive_s=0.02):
        scored = gate.send(Score(specialist=KEY[0], revision=KEY[1], texts=("むかし",) * 40))
        gate.ended(scored)
    accepted, *alive, end = scored.bodies
    assert isinstance(accepted, Accepted)
    assert alive
    assert set(alive) == {Delta()}
    assert len(end.nats) == 40  # type: ignore[attr-defined]


class Pondering:
    """A model whose vectors take a while."""

    def __init__(self, model: TextModel) -> None:
        self._model = model

    async def embed(self, prompts: Sequence[Prompt]) -> Any:
        await asyncio.sleep(0.5)
        return await self._model.embed(prompts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def test_vectors_that_take_long_say_that_they_are_on_their_way(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    model: Any = Pondering(quick)
    with working(model, open_bus, topics, alive_s=0.02):
        asked = gate.send(Embed(specialist=KEY[0], revision=KEY[1], texts=("むかし",)))
        gate.ended(asked)
    _, *alive, end = asked.bodies
    assert alive
    assert set(alive) == {Delta()}
    assert len(end.vectors) == 1  # type: ignore[attr-defined]


def test_what_nobody_waits_for_any_more_is_stopped(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    with working(slow, open_bus, topics) as running:
        other = Gate(open_bus, topics, partition=1)
        mine, orphan = gate.ask(sampling=ENDLESS), other.ask(sampling=ENDLESS)
        until(lambda: shows(mine) and shows(orphan))
        waits = other.ask(sampling=ENDLESS)
        until(lambda: gate.registry.beats[running.instance].waiting == 1)
        other.close()
        until(lambda: slow.stats().running == 1)
        until(lambda: gate.registry.beats[running.instance].waiting == 0)
        assert not shows(waits)
        assert mine.end is None
        gate.control(Cancel(ids=(mine.replies[0].id,)))
        gate.ended(mine)


def test_what_nobody_ever_waited_for_is_given_up_after_a_lease(open_bus: OpenBus) -> None:
    request = Request(Envelope(gate_ask(prompt="a"), id="id"), [], None)
    assert not request.is_orphaned(lambda name: None)
    request.taken_at -= LEASE_S
    assert request.is_orphaned(lambda name: None)
    assert not request.is_orphaned({"replies/0": "somebody"}.get)
    assert request.is_orphaned({"replies/0": "another"}.get)


class Endless:
    """A model that comes to no end with one prompt."""

    def __init__(self, model: TextModel) -> None:
        self.facts, self.stats, self._model = model.facts, model.stats, model

    async def read(self, prompt: Any) -> Any:
        return await (asyncio.Event().wait() if prompt == "deadly" else self._model.read(prompt))


def test_that_it_is_begun_with_is_known_before_a_request_is_looked_at(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    """Or nobody would know what it was that killed a worker."""
    with working(Endless(quick), open_bus, topics):  # type: ignore[arg-type]
        heard = gate.ask("deadly")
        until(lambda: accepted(heard))


def test_what_is_cancelled_before_it_has_begun_is_not_written(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    bus = Stubborn(open_bus())
    with working(slow, lambda: bus, topics) as running:  # type: ignore[arg-type, return-value]
        gate.ended(gate.ask())
        bus.is_full = True
        heard = gate.ask(sampling=ENDLESS, request_id="early")
        until(lambda: running.worker is not None and running.worker.is_blocked)
        gate.control(Cancel(ids=("early",)))
        until(lambda: gate.lag() == 0)
        bus.is_full = False
        until(lambda: gate.registry.beats[running.instance].running == 0)
        assert slow.stats().generated_tokens < 1000
        assert not shows(heard)


class Stubborn:
    """A bus that takes nothing for a while, or loses what it has taken."""

    def __init__(self, bus: Bus) -> None:
        self._bus, self.is_full, self.loses = bus, False, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    def send(self, record: Record, on_stored: Any = None) -> None:
        if self.is_full:
            raise BusFull("full")
        if record.partition >= 16:
            raise NoPlace("there is none")
        if self.loses and on_stored is not None:
            self.loses -= 1
            on_stored(record, BusFull("lost"))
            return
        self._bus.send(record, on_stored)


class Told(Stubborn):
    """A bus that tells late what became of the word that something begins."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus)
        self.happened: list[str] = []
        self.delay: Callable[[], object] = lambda: None

    def send(self, record: Record, on_stored: Any = None) -> None:
        kind = dict(record.headers).get("x-tsuzuri-kind")
        super().send(record, self._late(on_stored) if kind == b"accepted" else on_stored)

    def _late(self, on_stored: Any) -> Any:
        def tell(record: Record, error: BaseException | None) -> None:
            self.delay()
            self.happened.append("stored")
            on_stored(record, error)

        return lambda *of: threading.Thread(target=tell, args=of).start()


class Noted:
    """A model that notes when a prompt is read."""

    def __init__(self, model: TextModel, happened: list[str]) -> None:
        self._model, self._happened = model, happened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    async def read(self, prompt: Any) -> Any:
        self._happened.append("read")
        return await self._model.read(prompt)


@pytest.mark.parametrize(
    ("is_heard", "asked", "first"),
    [
        (True, {}, "read"),
        (True, {"attempt": 2}, "stored"),
        (True, {"sent_ms": -5000}, "stored"),
        (False, {}, "stored"),
    ],
    ids=["new", "a later attempt", "old", "by an unknown clock"],
)
def test_who_may_kill_is_begun_with_once_it_is_stored_that_it_is(
    quick: TextModel,
    open_bus: OpenBus,
    topics: Topics,
    is_heard: bool,
    asked: dict[str, Any],
    first: str,
) -> None:
    """A new request is not waited for; one that somebody may have been given and have died of is."""
    gate, bus = Gate(open_bus, topics, skew_ms=60_000), Told(open_bus())
    noted = Noted(quick, bus.happened)
    with working(noted, lambda: bus, topics) as running:  # type: ignore[arg-type, return-value]
        until(lambda: running.instance in gate.registry.beats)
        until(lambda: gate.registry.beats[running.instance].state == "checking")
        gate.ended(gate.ask(sender=""))  # what is made once has been
        if is_heard:
            report = Report(gateway=gate.name, at_ms=now_ms() + 60_000)
            gate.bus.send(record(topics.beats, report, gate.name))
            until(lambda: gate.name in running.worker._intake._reports._ahead_ms)  # type: ignore[union-attr]
        del bus.happened[:]
        bus.delay = (lambda: until(lambda: bus.happened)) if first == "read" else lambda: time.sleep(0.3)
        if "sent_ms" in asked:
            asked = {"sent_ms": now_ms() + 60_000 + asked["sent_ms"]}
        heard = gate.ask(**asked)
        gate.ended(heard)
        until(lambda: len(bus.happened) == 2)
        assert bus.happened[0] == first
    gate.close()


def test_while_the_bus_is_full_answers_wait_and_nothing_is_taken(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    bus = Stubborn(open_bus())
    with working(slow, lambda: bus, topics, slots=1) as running:  # type: ignore[arg-type, return-value]
        heard = gate.ask(sampling=LONG)
        until(lambda: shows(heard))
        bus.is_full = True
        until(lambda: running.worker is not None and running.worker.is_blocked)
        until(lambda: slow.stats().running == 0)  # it has been written, and waits
        late = gate.ask()
        assert heard.end is None
        bus.is_full = False
        gate.ended(heard, late)
        heard.check()
        assert len(heard.ids) == 30


def test_an_answer_that_goes_nowhere_is_in_nobody_s_way_and_is_given_up(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    bus = Stubborn(open_bus())
    with working(slow, lambda: bus, topics, read_ahead=0) as running:  # type: ignore[arg-type, return-value]
        lost = gate.ask(reply_partition=99, deadline_ms=0)
        until(lambda: running.instance in gate.registry.beats)
        until(lambda: gate.registry.beats[running.instance].running == 1)
        heard = gate.ask()
        gate.ended(heard)
        until(lambda: gate.lag() == 0)
        assert lost.replies == []


class Stuck:
    """A queue that fails in a way that nobody had foreseen."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue

    def take(self, timeout_s: float) -> Any:
        raise RuntimeError("closed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


def test_a_worker_that_can_take_nothing_more_ends(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    bus = Stubborn(open_bus())
    bus.queue = lambda *of, **others: Stuck(open_bus().queue(*of, **others))  # type: ignore[attr-defined]
    with working(quick, lambda: bus, topics) as running:  # type: ignore[arg-type, return-value]
        running.join()
        assert isinstance(running.error, BusDown)
        assert "RuntimeError" in running.error.message


def test_a_part_that_is_not_stored_ends_the_attempt_and_an_end_is_sent_again(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    bus = Stubborn(open_bus())
    with working(slow, lambda: bus, topics):  # type: ignore[arg-type, return-value]
        heard = gate.ask(sampling=ENDLESS)
        until(lambda: shows(heard))
        bus.loses = 2
        gate.ended(heard)
        assert (heard.end.code, heard.end.is_retryable) == ("unsent", True)
        until(lambda: gate.lag() == 0)
        late = gate.ask(left_s=-1.0)
        bus.loses = 1
        gate.ended(late)
        until(lambda: gate.lag() == 0)


def test_after_the_broker_came_back_empty_only_what_is_asked_again_is_answered(
    slow: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate, memory_broker: MemoryBroker
) -> None:
    with working(slow, open_bus, topics) as running:
        heard = gate.ask(sampling=ENDLESS, request_id="one")
        until(lambda: shows(heard))
        memory_broker.restart(empty=True)
        until(lambda: slow.stats().running == 0)
        again = gate.ask(sampling=LONG, request_id="one", attempt=2)
        gate.ended(again)
        again.check()
        until(lambda: gate.lag() == 0)
        until(lambda: KEY in gate.registry.descriptors)
        until(lambda: running.instance in gate.registry.beats)


def test_an_answer_of_which_nothing_can_be_shown_says_that_it_is_written(
    release: Path, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    words = release / "words.txt"
    words.write_text("悪人\n", encoding="utf-8")
    filters = {"ng_words": {"file": words}, "hold_characters": 1000}
    engine = {"kind": "mock", "tokens_per_s": 30.0}
    model = load(ModelConfig.model_validate({"path": release, "engine": engine, "filters": filters}))
    with working(model, open_bus, topics, alive_s=0.1):
        heard = gate.ask(sampling={"max_new_tokens": 15})
        gate.ended(heard)
        heard.check()
        silent = [part for part in heard.parts if not part.text]
        assert silent
        assert heard.end.completion_tokens == 15


def test_a_record_is_never_larger_than_brokers_take(
    quick: TextModel, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    with working(quick, open_bus, topics):
        heard = gate.ask(sampling={"max_new_tokens": 3000}, logprobs=20)
        gate.ended(heard)
        heard.check()
        assert len(heard.parts) > 10
        assert len(heard.ids) == 3000
