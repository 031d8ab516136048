"""What a gateway does when workers and brokers do what they do: every request ends once, its text whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fake_workers import TEXT, FakeWorker, answer_of, failing
from houses import ALIAS, House, ask, request, text_of, until
from standins import record as message
from tsuzuri.core.errors import InputError
from tsuzuri.serving.engines.base import EngineFailed, Overloaded
from tsuzuri.serving.errors import ApiError
from tsuzuri.serving.models import PromptTooLong
from tsuzuri.specialists.bus.base import BusDown, BusFull, Work
from tsuzuri.specialists.dead_letters import list_letters
from tsuzuri.specialists.gateway.gateway import Gateway
from tsuzuri.specialists.gateway.pace import FIRST_STALL_S, Pace
from tsuzuri.specialists.gateway.reach import Reach
from tsuzuri.specialists.messages import NEW_S, Ask, Beat, Delta, Descriptor, Envelope, Final, Route, now_ms

WANTED = f"general:{TEXT}"[:16]


def running(house: House, test: Callable[[Gateway], Awaitable[None]]) -> None:
    """Run a test with a gateway."""

    async def run() -> None:
        async with asyncio.timeout(120), house.gateway() as gateway:
            await test(gateway)
            await until(lambda: len(gateway.ledger) == 0)
            assert all(pace.in_flight.total() == 0 for pace in gateway.paces.values())

    asyncio.run(run())


def test_an_answer_comes_whole_with_its_bill(house: House) -> None:
    house.admit()
    house.worker()

    async def test(gateway: Gateway) -> None:
        answer = ask(gateway)
        assert await text_of(answer) == WANTED
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 16)
        (asked,) = house.workers[0].asked
        assert isinstance(asked.body, Ask)
        assert (asked.body.specialist, asked.body.revision, asked.epoch) == ("general", "r1", 1)
        assert asked.body.sampling == {"max_new_tokens": 16}

    running(house, test)


def test_many_at_once_are_all_answered_once(house: House) -> None:
    house.admit()
    house.worker(slots=32)
    house.worker(slots=32)

    async def test(gateway: Gateway) -> None:
        answers = [ask(gateway, most=1 + number % 20) for number in range(100)]
        texts = await asyncio.gather(*map(text_of, answers))
        assert texts == [f"general:{TEXT}"[: 1 + number % 20] for number in range(100)]
        assert not gateway.ledger.counts

    running(house, test)


def test_a_worker_that_dies_in_mid_answer_is_replaced_and_the_text_is_whole(house: House) -> None:
    house.admit()
    first = house.worker(stop_after=11)

    async def test(gateway: Gateway) -> None:
        answer = ask(gateway)
        got = ""
        while len(got) < 11:
            got += (await anext(answer)).text
        second = house.worker()
        await until(lambda: second.instance in gateway.registry.beats)
        await asyncio.to_thread(first.die)
        got += await text_of(answer)
        assert got == WANTED
        assert answer.usage.completion_tokens == 16
        resumed = next(one for one in second.asked if one.attempt == 2)
        assert isinstance(resumed.body, Ask)
        assert resumed.body.resume is not None
        assert (resumed.body.resume.text, resumed.body.resume.tokenizer) == (WANTED[:11], "t")
        assert resumed.body.resume.ids == tuple(range(11))
        assert gateway.ledger.counts["resumed"] == 1

    running(house, test)


def test_a_worker_that_falls_silent_is_not_waited_for(house: House) -> None:
    house.admit()

    def fall_silent(worker: FakeWorker, envelope: Any) -> None:
        worker.stop_after = None

    house.worker(stop_after=11, at_stop=fall_silent)

    async def test(gateway: Gateway) -> None:
        assert await text_of(ask(gateway)) == WANTED
        assert gateway.ledger.counts["stalled"] >= 1

    running(house, test)


def test_a_zombie_that_comes_back_is_not_heard(house: House) -> None:
    house.admit()
    late: list[Any] = []

    def stop(worker: FakeWorker, envelope: Any) -> None:
        worker.stop_after = None
        late.append(envelope)

    zombie = house.worker(stop_after=5, at_stop=stop)

    async def test(gateway: Gateway) -> None:
        answer = ask(gateway)
        await until(lambda: late)
        gateway._lost(zombie.instance)
        assert await text_of(answer) == WANTED
        zombie.say(Delta(text="嘘", ids=(9,)), late[0], seq=5)
        zombie.say(Final(finish="stop"), late[0], seq=6)
        await until(lambda: gateway.ledger.counts["stale"] == 2)

    running(house, test)


def test_a_request_that_kills_workers_is_put_aside(house: House) -> None:
    house.admit()
    deaths: list[str] = []

    def kill(worker: FakeWorker, envelope: Any) -> None:
        deaths.append(worker.instance)
        worker.die()

    first = house.worker(stop_after=3, at_stop=kill, slots=1)
    house.worker(stop_after=3, at_stop=kill, slots=1)

    async def test(gateway: Gateway) -> None:
        answer = ask(gateway)
        with pytest.raises(ApiError) as told:
            await text_of(answer)
        assert told.value.code == "request_put_aside"
        assert len(deaths) == 2
        assert first.instance in deaths
        await until(lambda: list_letters(house.bus, house.topics.dead_letters))
        (letter,) = list_letters(house.bus, house.topics.dead_letters)
        assert (letter.reason, letter.deaths) == ("poison", 2)
        house.worker()
        await until(lambda: gateway.living.live)
        assert await text_of(ask(gateway)) == WANTED, "others are not affected"

    running(house, test)


def test_a_request_that_kills_before_a_word_is_said_is_put_aside_after_two_deaths(house: House) -> None:
    house.admit()
    first = house.worker(dies_at_once=True)

    async def test(gateway: Gateway) -> None:
        answer = ask(gateway)
        await until(lambda: first.instance not in gateway.registry.beats)
        await until(lambda: gateway.ledger.counts["stranded"])
        house.worker(stop_after=3, at_stop=lambda worker, envelope: worker.die(), slots=1)
        with pytest.raises(ApiError) as told:
            await text_of(answer)
        assert told.value.code == "request_put_aside"
        await until(lambda: list_letters(house.bus, house.topics.dead_letters))
        (letter,) = list_letters(house.bus, house.topics.dead_letters)
        assert (letter.reason, letter.deaths) == ("poison", 2)

    running(house, test)


def test_who_says_that_it_goes_has_not_died_of_what_waits(house: House) -> None:
    house.admit()
    first = house.worker(slots=1, stop_after=3)

    async def test(gateway: Gateway) -> None:
        answers = ask(gateway), ask(gateway)
        await until(lambda: first.busy)  # with one of them: which, is the queue's affair
        gone = Beat(
            instance=first.instance,
            specialist="general",
            revision="r1",
            at_ms=now_ms(),
            every_ms=100,
            state="gone",
        )
        await asyncio.sleep(NEW_S)
        await asyncio.to_thread(first.die)
        house.bus.send(message(house.topics.beats, gone, first.instance))
        await until(lambda: gateway.ledger.counts["lost"])
        assert [entry.may_have_killed for entry in gateway.ledger] == [False, False]
        house.worker()
        assert await asyncio.gather(*map(text_of, answers)) == [WANTED, WANTED]

    running(house, test)


def test_what_is_handed_back_goes_to_another(house: House) -> None:
    house.admit()
    house.worker(stop_after=4, at_stop=failing("handed_back", is_once=True), slots=1)

    async def test(gateway: Gateway) -> None:
        house.worker()
        assert await text_of(ask(gateway)) == WANTED
        assert not gateway.ledger.counts["lost"]

    running(house, test)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        *(("too_long", PromptTooLong), ("invalid", InputError), ("unsupported", ApiError)),
        *(("malformed", ApiError), ("odd", EngineFailed)),
    ],
)
def test_what_a_worker_refuses_is_told(house: House, code: str, error: type[Exception]) -> None:
    house.admit()
    house.worker(stop_after=0, at_stop=failing(code, is_retryable=False))

    async def test(gateway: Gateway) -> None:
        with pytest.raises(error):
            await text_of(ask(gateway))

    running(house, test)


def test_a_failure_that_may_pass_is_tried_again_and_then_told(house: House) -> None:
    house.admit()
    worker = house.worker(stop_after=0, at_stop=failing("engine_failed"))

    async def test(gateway: Gateway) -> None:
        with pytest.raises(EngineFailed):
            await text_of(ask(gateway))
        assert [one.attempt for one in worker.asked] == [1, 2, 3]
        assert gateway.paces["general", "r1"].failed == 3

    running(house, test)


def test_nobody_there_is_503_and_come_again(house: House) -> None:
    house.admit()

    async def test(gateway: Gateway) -> None:
        with pytest.raises(ApiError) as told:
            ask(gateway)
        assert (told.value.status, told.value.retry_after_s) == (503, 5.0)

    running(house, test)


@pytest.mark.parametrize(("error", "code"), [(BusDown, "bus_down"), (BusFull, "bus_full")])
def test_a_broker_that_takes_nothing_is_503_and_come_again(
    house: House, error: type[Exception], code: str
) -> None:
    house.worker()
    house.admit()

    class Away:
        def send(self, *_: Any) -> None:
            raise error("as asked")

    async def test(gateway: Gateway) -> None:
        bus, gateway.bus = gateway.bus, Away()  # type: ignore[assignment]
        with pytest.raises(ApiError) as told:
            ask(gateway)
        gateway.bus = bus
        assert (told.value.status, told.value.code, told.value.retry_after_s) == (503, code, 5.0)

    running(house, test)


def test_the_generalist_answers_for_a_specialist_without_a_worker(house: House) -> None:
    house.admit("general", "law")
    house.worker()

    async def test(gateway: Gateway) -> None:
        answer = ask(gateway, "law")
        assert await text_of(answer) == WANTED
        assert answer.call is not None
        assert answer.call.target.specialist == "general"
        assert "nobody who should answer for law is up" in answer.call.target.note
        with pytest.raises(ApiError):
            Reach(gateway, ALIAS, is_strict=True).ask("law", request())

    running(house, test)


def test_a_conversation_is_not_sent_to_a_generalist_that_reads_none(house: House) -> None:
    house.admit("general", "law")
    house.registry.put_descriptor(Descriptor(specialist="general", revision="r1", state="ready"))
    house.registry.put_route(
        ALIAS, Route(epoch=0, shares={"general": {"r1": 1.0}, "law": {"r1": 0.05}}, generalist="general")
    )
    house.worker()
    house.worker("law")
    talk = Ask(specialist="", revision="", messages=({"role": "user", "content": "むかし"},))
    text = Ask(specialist="", revision="", prompt="むかし")

    async def test(gateway: Gateway) -> None:
        def asked(body: Ask, name: str = "law") -> set[str]:
            found = [
                gateway.living.target(ALIAS, name, str(number), is_strict=False, body=body)
                for number in range(200)
            ]
            return {target.specialist if target else "" for target in found}

        await until(lambda: gateway.living.routes[ALIAS].epoch == 2)
        assert asked(text) == {"law", "general"}
        assert asked(talk) == {"law"}
        assert asked(talk, "news") == {""}, "nobody is up who could answer it"

    running(house, test)


def test_more_than_can_be_answered_are_told_at_once(house: House) -> None:
    house.admit()
    house.worker(slots=2, step_s=0.02)

    async def test(gateway: Gateway) -> None:
        answers = [ask(gateway) for _ in range(4)]
        with pytest.raises(Overloaded):
            ask(gateway)
        flex = Reach(gateway, ALIAS).ask("general", request(is_patient=True))
        assert flex.call is not None
        assert flex.call.lane == "batch"
        assert await asyncio.gather(*map(text_of, [*answers, flex])) == [WANTED] * 5
        pace = gateway.paces["general", "r1"]
        pace.service_s = 100.0
        pace.in_flight["interactive"] += 3
        with pytest.raises(Overloaded, match="would wait"):
            ask(gateway, within_s=5.0)
        pace.in_flight["interactive"] -= 3

    running(house, test)


def test_what_waits_with_a_revision_that_has_gone_is_sent_to_another(house: House) -> None:
    house.admit("general", "law")
    law = house.worker("law", slots=1, stop_after=0)
    house.worker()

    async def test(gateway: Gateway) -> None:
        answers = [ask(gateway, "law") for _ in range(2)]
        await until(lambda: law.busy == 1 and len(law.asked) == 1)
        await asyncio.to_thread(law.die)
        assert await asyncio.gather(*map(text_of, answers)) == [WANTED] * 2
        assert gateway.ledger.counts["stranded"] == 1
        assert gateway.ledger.counts["lost"] == 1

    running(house, test)


class Wedged(FakeWorker):
    """Begins with none of the first attempts that it is given, and says all the while that it has room."""

    def _answer(self, work: Work, envelope: Envelope) -> None:
        if envelope.attempt > 1:
            super()._answer(work, envelope)


def test_what_nobody_begins_with_though_there_is_room_is_sent_again(house: House) -> None:
    house.admit()
    worker = Wedged(house.open_bus(), house.topics, "general", "r1", "wedged")
    house.workers.append(worker)

    async def test(gateway: Gateway) -> None:
        assert await text_of(ask(gateway)) == WANTED
        assert [one.attempt for one in worker.asked] == [1, 2]
        assert gateway.ledger.counts == {"stranded": 1}
        await until(lambda: worker.cancelled)

    running(house, test)


def test_a_revision_that_shows_nothing_until_the_time_is_over_has_failed(house: House) -> None:
    house.admit()
    house.worker(stop_after=0)

    async def test(gateway: Gateway) -> None:
        deltas = [delta async for delta in ask(gateway, within_s=0.5)]
        assert [delta.finish for delta in deltas] == ["timeout"]
        assert gateway.paces["general", "r1"].failed == 1

    running(house, test)


def test_who_leaves_after_a_long_wait_for_the_first_text_has_waited_that_long() -> None:
    pace = Pace()
    pace.first(0.1)
    pace.waited(0.05)
    pace.waited(20.0)
    told = pace.report("general", "r1")
    assert told is not None
    assert told.first_token_ms == (100.0, 20_000.0)
    assert pace.stall_s(is_streaming=False) == FIRST_STALL_S, "nobody is given more time for it"


def test_what_is_sent_is_reported_though_nothing_comes_of_it() -> None:
    pace = Pace()
    pace.begin("batch")
    assert pace.in_flight == {"batch": 1}
    told = [pace.report("general", "r1") for _ in range(2)]
    assert [item.sent for item in told if item is not None] == [1, 0]


def test_who_goes_away_is_not_written_for(house: House) -> None:
    house.admit()
    worker = house.worker(step_s=0.02)

    async def test(gateway: Gateway) -> None:
        answer = ask(gateway, most=200)
        await anext(answer)
        answer.cancel()
        deltas = [delta async for delta in answer]
        assert deltas[-1].finish == "cancelled"
        shown = answer.usage.completion_tokens
        assert 1 <= shown < len(answer_of("general", Ask(specialist="", revision="")))
        await until(lambda: worker.busy == 0)
        assert answer.usage.completion_tokens == shown, "what came after is not billed"

    running(house, test)


def test_time_that_is_over_ends_an_answer_with_what_there_is(house: House) -> None:
    house.admit()
    house.worker(stop_after=5)

    async def test(gateway: Gateway) -> None:
        answer = ask(gateway, within_s=0.5)
        deltas = [delta async for delta in answer]
        assert deltas[-1].finish == "timeout"
        assert "".join(delta.text for delta in deltas) == WANTED[:5]
        assert answer.usage.completion_tokens == 5

    running(house, test)


def test_a_broker_that_comes_back_empty_is_told_what_is_unanswered(house: House) -> None:
    house.admit()
    house.worker(step_s=0.02, slots=8)

    async def test(gateway: Gateway) -> None:
        answers = [ask(gateway) for _ in range(6)]
        await until(lambda: sum(len(answer.tail) for answer in answers) > 10)
        await asyncio.to_thread(house.broker.restart, empty=True)
        assert await asyncio.gather(*map(text_of, answers)) == [WANTED] * 6
        assert gateway.ledger.counts["resent"] >= 1
        await until(lambda: gateway.living.up(ALIAS))
        assert await text_of(ask(gateway)) == WANTED

    running(house, test)


def test_records_that_are_none_harm_nobody(house: House) -> None:
    from tsuzuri.specialists.bus.base import Record

    house.admit()
    house.worker()

    async def test(gateway: Gateway) -> None:
        for value, headers in ((b"{", ()), (None, ()), (b"{}", (("x-tsuzuri-kind", b"nothing"),))):
            record = Record(house.topics.replies, value, b"k", headers, partition=gateway.seat.partition)
            house.bus.send(record)
        assert await text_of(ask(gateway)) == WANTED
        assert gateway.malformed == 3

    running(house, test)


def test_questions_are_answered(house: House) -> None:
    house.admit()
    house.worker()

    async def test(gateway: Gateway) -> None:
        reach = Reach(gateway, ALIAS)
        assert (await reach.score("general", ["朝", "夜明け"])).nats == (1.0, 3.0)
        assert (await gateway.embed(ALIAS, "general", ["朝"])).vectors == ((1.0, 0.0),)

    running(house, test)


def test_two_gateways_let_in_together_what_fits_and_each_its_part(house: House) -> None:
    house.admit()
    house.worker(slots=4, step_s=0.1)

    async def test(gateway: Gateway) -> None:
        async with house.gateway() as other:
            await until(lambda: all(one.paces["general", "r1"].gateways == 2 for one in (gateway, other)))
            answers = [ask(gateway) for _ in range(8)]
            await until(lambda: other.paces["general", "r1"].others["interactive"] == 8)
            late = [ask(other) for _ in range(4)]
            with pytest.raises(Overloaded, match="12 requests"):
                ask(other)
            assert await asyncio.gather(*map(text_of, [*answers, *late])) == [WANTED] * 12
            await until(lambda: not other.paces["general", "r1"].others)

    running(house, test)


def test_scores_say_nothing_of_how_long_a_text_takes() -> None:
    pace = Pace(slots=1)
    pace.served(0.01, 0.01, is_text=False, is_poor=False)
    assert pace.service_s == 0.0
    pace.served(8.0, 8.0, is_text=True, is_poor=False)
    pace.served(0.01, 0.01, is_text=False, is_poor=False)
    assert pace.service_s == 8.0


def test_two_gateways_read_partitions_of_their_own(house: House) -> None:
    house.admit()
    house.worker()

    async def test(gateway: Gateway) -> None:
        async with house.gateway() as other:
            assert gateway.seat.partition != other.seat.partition
            answers = [ask(gateway), ask(other)]
            assert await asyncio.gather(*map(text_of, answers)) == [WANTED] * 2
            assert not other.ledger.counts["stale"]

    running(house, test)


def test_no_partition_left_is_said(house: House) -> None:
    async def run() -> None:
        async with house.gateway() as gateway:
            partitions = house.bus.topics()[house.topics.replies]
            for number in range(partitions):
                if number != gateway.seat.partition:
                    await asyncio.to_thread(house.registry.lease, f"replies/{number}", "somebody")
            with pytest.raises(BusDown, match="no gateway more can join"):
                async with house.gateway():
                    pass

    asyncio.run(run())
