"""What every bus does, whatever it stands on: the same tests on each."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence

import pytest
from confluent_kafka import Producer

from buses import PATIENCE_S, OpenBus, store, take, until
from tsuzuri.core.errors import InputError
from tsuzuri.specialists.bus.base import Bus, Record, TopicSpec, Work, WorkQueue
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.bus.opening import open_bus as opened
from tsuzuri.specialists.dead_letters import drop_letters, list_letters, replay_letters, show_letter
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.up.brokers import Broker


@pytest.fixture
def knows_lag(broker_kind: str) -> None:
    if broker_kind == "share":
        pytest.skip("the client can't ask how far a share group is")


@pytest.fixture
def by_record(broker_kind: str) -> None:
    if broker_kind == "share":
        pytest.skip("the client gives a member of a share group more only once all is answered")


def values(works: Sequence[Work]) -> list[bytes | None]:
    return [work.record.value for work in works]


@pytest.fixture
def bus(open_bus: OpenBus) -> Bus:
    return open_bus()


@pytest.fixture
def topic(bus: Bus, prefix: str) -> str:
    """With one partition."""
    name = f"{prefix}.one"
    bus.ensure([TopicSpec(name)])
    return name


@pytest.fixture
def wide(bus: Bus, prefix: str) -> str:
    """With eight."""
    name = f"{prefix}.wide"
    bus.ensure([TopicSpec(name, partitions=8)])
    return name


def numbered(topic: str, count: int, *, keys: bool = False) -> list[Record]:
    return [Record(topic, b"%d" % i, key=b"key %d" % i if keys else None) for i in range(count)]


def whereabouts(records: Sequence[Record]) -> list[tuple[int | None, int | None, bytes | None]]:
    """Where each stands."""
    return sorted((record.partition, record.offset, record.value) for record in records)


def test_what_is_sent_is_followed_in_order_and_whole(bus: Bus, topic: str) -> None:
    record = Record(
        topic, "値".encode(), key="鍵".encode(), headers=(("a", b"\x00\xff"), ("a", b""), ("b", b"2"))
    )
    seen: list[Record] = []
    following = bus.follow(topic, seen.extend)
    stored = store(bus, [record, *numbered(topic, 20)])
    until(lambda: len(seen) == 21)
    assert (seen[0].value, seen[0].key, seen[0].headers) == (record.value, record.key, record.headers)
    assert [item.offset for item in seen] == [item.offset for item in stored] == list(range(21))
    assert all(abs(item.appended_ms / 1000 - time.time()) < 600 for item in seen)
    following.close()
    store(bus, numbered(topic, 1))
    assert len(seen) == 21


def test_what_was_there_before_is_followed_from_the_beginning_and_not_from_the_end(
    bus: Bus, wide: str
) -> None:
    stored = store(bus, numbered(wide, 40, keys=True))
    old: list[Record] = []
    new: list[Record] = []
    assert bus.follow(wide, old.extend, begin="beginning").wait(PATIENCE_S)
    assert whereabouts(old) == whereabouts(stored)
    assert sorted(int(record.value or b"") for record in old) == list(range(40))
    assert bus.follow(wide, new.extend).wait(PATIENCE_S)
    store(bus, [Record(wide, b"later", partition=3)])
    until(lambda: new)
    assert [(record.value, record.partition) for record in new] == [(b"later", 3)]


def test_one_partition_is_followed_without_the_others(bus: Bus, wide: str) -> None:
    seen: list[Record] = []
    bus.follow(wide, seen.extend, partitions=[5], begin="beginning")
    store(bus, [Record(wide, b"%d" % partition, partition=partition) for partition in (4, 5, 6, 5)])
    until(lambda: len(seen) == 2)
    assert {record.partition for record in seen} == {5}


def test_a_key_always_goes_to_the_same_partition(bus: Bus, wide: str) -> None:
    stored = store(bus, numbered(wide, 30, keys=True) + numbered(wide, 30, keys=True))
    places = {(record.key, record.partition) for record in stored}
    assert len(places) == 30
    assert len({partition for _, partition in places}) > 3


def test_the_last_record_of_a_key_is_kept_and_one_without_a_value_ends_it(bus: Bus, prefix: str) -> None:
    name = f"{prefix}.compacted"
    bus.ensure([TopicSpec(name, is_compacted=True)])
    for value in (b"1", b"2"):
        store(bus, [Record(name, value, key=key) for key in (b"a", b"b")])
    store(bus, [Record(name, None, key=b"b"), Record(name, b"3", key=b"c")])
    seen: dict[bytes | None, bytes | None] = {}
    following = bus.follow(
        name, lambda records: seen.update({r.key: r.value for r in records}), begin="beginning"
    )
    assert following.wait(PATIENCE_S)
    assert {key: value for key, value in seen.items() if value is not None} == {b"a": b"2", b"c": b"3"}


@pytest.mark.usefixtures("knows_lag")
def test_every_record_is_given_once_to_one_of_a_group(open_bus: OpenBus, bus: Bus, wide: str) -> None:
    queues = [bus.queue([wide], "g", capacity=4), open_bus().queue([wide], "g", capacity=4)]
    until(lambda: _settled(bus, wide, queues))
    records = store(bus, numbered(wide, 60, keys=True))
    got: list[Work] = []
    threads = [threading.Thread(target=_work_off, args=(queue, got, len(records))) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(values(got)) == Counter({b"%d" % i: 1 for i in range(60)})
    for queue in queues:
        queue.close()
    until(lambda: not bus.lag("g", [wide])[wide].records)


@pytest.mark.usefixtures("by_record")
def test_every_member_has_its_part_of_every_topic(open_bus: OpenBus, bus: Bus, prefix: str) -> None:
    lanes = [f"{prefix}.interactive", f"{prefix}.batch"]
    bus.ensure([TopicSpec(lane, partitions=2) for lane in lanes])
    queues = [bus.queue(lanes, "g", capacity=4), open_bus().queue(lanes, "g", capacity=4)]
    for lane in lanes:
        until(lambda lane=lane: _settled(bus, lane, queues))


def _settled(bus: Bus, topic: str, queues: Sequence[WorkQueue]) -> bool:
    """Whether each member gets records when every partition is sent some; they are acknowledged."""
    partitions = bus.topics()[topic]
    store(bus, [Record(topic, b"probe", partition=partition) for partition in range(partitions)])
    given = Counter[int]()
    deadline = time.monotonic() + 5
    while given.total() < partitions and time.monotonic() < deadline:
        for number, queue in enumerate(queues):
            while work := queue.take(0.05):
                given[number] += 1
                queue.ack(work)
    return given.total() == partitions and len(given) == len(queues)


def _work_off(queue: WorkQueue, got: list[Work], count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(got) < count and time.monotonic() < deadline:
        if work := queue.take(0.1):
            queue.ack(work)
            got.append(work)


def test_two_groups_both_get_everything(bus: Bus, topic: str) -> None:
    store(bus, numbered(topic, 3))
    for group in ("a", "b"):
        queue = bus.queue([topic], group, capacity=8)
        assert values([take(queue) for _ in range(3)]) == [b"0", b"1", b"2"]
        queue.close()


def test_no_more_than_the_capacity_is_out(bus: Bus, topic: str) -> None:
    store(bus, numbered(topic, 10))
    queue = bus.queue([topic], "g", capacity=3)
    works = [take(queue) for _ in range(3)]
    assert queue.take(0.2) is None
    queue.ack(works[1])
    assert take(queue).record.value == b"3"
    assert queue.take(0.1) is None
    queue.close()


@pytest.mark.usefixtures("by_record")
def test_topics_that_come_first_are_drained_first(bus: Bus, prefix: str) -> None:
    fast, slow = f"{prefix}.fast", f"{prefix}.slow"
    bus.ensure([TopicSpec(fast), TopicSpec(slow)])
    store(bus, numbered(slow, 4))
    queue = bus.queue([fast, slow], "g", capacity=1)
    first = take(queue)
    store(bus, numbered(fast, 3))
    time.sleep(1.0)  # what was sent last is at the member, too
    queue.ack(first)
    order = []
    for _ in range(6):
        work = take(queue)
        order.append(work.record.topic)
        queue.ack(work)
    assert order == [fast] * 3 + [slow] * 3
    queue.close()


@pytest.mark.usefixtures("by_record")
def test_what_is_released_is_given_again_and_counted(bus: Bus, topic: str) -> None:
    store(bus, numbered(topic, 2))
    queue = bus.queue([topic], "g", capacity=2)
    work = take(queue)
    assert work.deliveries == 1
    queue.release(work)
    again = [take(queue), take(queue)]
    assert {(item.record.value, item.deliveries) for item in again} == {(b"0", 2), (b"1", 1)}
    for item in again:
        queue.ack(item)
    assert queue.take(0.2) is None
    queue.close()


def test_a_record_alone_is_released_and_counted(bus: Bus, topic: str) -> None:
    store(bus, numbered(topic, 1))
    queue = bus.queue([topic], "g", capacity=1)
    for deliveries in (1, 2, 3):
        work = take(queue)
        assert (work.record.value, work.deliveries) == (b"0", deliveries)
        queue.release(work)
    queue.ack(take(queue))
    queue.close()


@pytest.mark.usefixtures("by_record")
def test_what_is_released_with_a_delay_lets_others_by(bus: Bus, topic: str) -> None:
    store(bus, numbered(topic, 2))
    queue = bus.queue([topic], "g", capacity=2)
    released_at = time.monotonic()
    queue.release(take(queue), delay_s=1.0)
    assert take(queue).record.value == b"1"
    assert take(queue).record.value == b"0"
    assert time.monotonic() - released_at >= 0.95
    queue.close()


def test_what_was_not_acknowledged_is_given_to_the_next_member(
    open_bus: OpenBus, bus: Bus, topic: str
) -> None:
    store(bus, numbered(topic, 5))
    queue = bus.queue([topic], "g", capacity=5)
    works = [take(queue) for _ in range(5)]
    for number in (0, 1, 3):
        queue.ack(works[number])
    queue.close()
    following = open_bus().queue([topic], "g", capacity=5)
    first, second = take(following), take(following)
    assert {first.record.value, second.record.value} >= {b"2"}
    assert {first.record.value, second.record.value} <= {b"2", b"3", b"4"}
    following.close()


@pytest.mark.usefixtures("knows_lag")
def test_a_member_that_closes_waits_for_what_is_out(bus: Bus, topic: str) -> None:
    store(bus, numbered(topic, 3))
    queue = bus.queue([topic], "g", capacity=1)
    work = take(queue)
    closing = threading.Thread(target=queue.close, kwargs={"drain_s": PATIENCE_S})
    closing.start()
    assert queue.take(0.3) is None
    queue.ack(work)
    closing.join()
    assert bus.lag("g", [topic])[topic].records == 2


def test_who_acknowledges_late_or_twice_does_no_harm(bus: Bus, topic: str) -> None:
    store(bus, numbered(topic, 2))
    queue = bus.queue([topic], "g", capacity=2)
    work = take(queue)
    queue.release(work)
    queue.ack(work)  # it is no longer out
    again = take(queue)
    queue.ack(again)
    queue.ack(again)
    rest = [take(queue)]
    while more := queue.take(0.2):
        rest.append(more)
    assert {item.record.value for item in (again, *rest)} == {b"0", b"1"}
    queue.close()
    queue.ack(rest[0])


@pytest.mark.usefixtures("knows_lag")
def test_lag_counts_what_is_not_worked_off(bus: Bus, wide: str) -> None:
    queue = bus.queue([wide], "g", capacity=100)
    before_ms = int(time.time() * 1000)
    store(bus, numbered(wide, 10, keys=True))
    works = [take(queue) for _ in range(10)]
    lag = bus.lag("g", [wide])[wide]
    assert lag.records == 10
    assert before_ms - 2000 <= lag.oldest_ms <= int(time.time() * 1000) + 2000
    for work in works:
        queue.ack(work)
    until(lambda: bus.lag("g", [wide])[wide].records == 0)
    assert bus.lag("nobody", [wide])[wide].records == 10
    queue.close()


@pytest.mark.usefixtures("knows_lag")
def test_what_cannot_be_worked_off_becomes_a_dead_letter(bus: Bus, prefix: str) -> None:
    topics = Topics(prefix)
    name = topics.requests("novel", "r1", "interactive")
    bus.ensure([*topics.specs(gateways=2), *topics.request_specs("novel", "r1", partitions=1)])
    poison = Record(name, b"\xff\x00{", key=b"k", headers=(("x-tsuzuri-kind", b"ask"), ("own", b"1")))
    store(bus, [poison, Record(name, b"good")])
    queue = bus.queue([name], "g", capacity=1)
    queue.reject(take(queue), reason="body", message="これは読めない")
    assert take(queue).record.value == b"good"  # the partition goes on
    until(lambda: list_letters(bus, topics.dead_letters))
    (letter,) = list_letters(bus, topics.dead_letters)
    assert (letter.record.topic, letter.record.offset, letter.reason) == (name, 0, "body")
    assert (letter.record.value, letter.record.key, letter.record.headers) == (
        poison.value,
        poison.key,
        poison.headers,
    )
    assert (letter.message, letter.group) == ("これは読めない", "g")
    queue.close()
    until(lambda: bus.lag("g", [name])[name].records <= 1)


def test_dead_letters_are_shown_replayed_and_dropped(bus: Bus, prefix: str) -> None:
    topics = Topics(prefix)
    name = topics.requests("novel", "r1", "batch")
    bus.ensure([*topics.specs(gateways=2), *topics.request_specs("novel", "r1", partitions=1)])
    dead = topics.dead_letters
    old = (("x-tsuzuri-deadline", b"90000"), ("x-tsuzuri-sent", b"30000"))
    store(bus, [Record(name, b"0", headers=old), *numbered(name, 3)[1:]])
    queue = bus.queue([name], "g", capacity=1)
    for _ in range(3):
        queue.reject(take(queue), reason="poison")
    until(lambda: len(list_letters(bus, dead)) == 3)
    letters = list_letters(bus, dead)
    assert [letter.record.value for letter in letters] == [b"0", b"1", b"2"]
    assert show_letter(bus, dead, letters[1].place) == letters[1]
    assert replay_letters(bus, dead, letters[:1], read={name}) == 1
    again = take(queue).record
    assert again.value == b"0"
    headers = {name: int(content) for name, content in again.headers}
    assert headers["x-tsuzuri-deadline"] - headers["x-tsuzuri-sent"] == 60000
    assert headers["x-tsuzuri-sent"] > 1_000_000_000_000
    assert drop_letters(bus, dead, letters[1:2]) == 1
    assert list_letters(bus, dead) == letters[2:]
    with pytest.raises(InputError, match="no dead letter"):
        show_letter(bus, dead, letters[0].place)
    queue.close()


def test_a_letter_of_a_topic_that_nobody_reads_is_not_replayed(bus: Bus, prefix: str) -> None:
    topics = Topics(prefix)
    name = f"{prefix}.gone"
    bus.ensure([*topics.specs(gateways=2), TopicSpec(name)])
    kept = f"{prefix}.kept-on"
    bus.ensure([TopicSpec(kept)])
    store(bus, [*numbered(name, 1), *numbered(kept, 1)])
    queue = bus.queue([name, kept], "g", capacity=2)
    for _ in range(2):
        queue.reject(take(queue), reason="poison")
    until(lambda: len(list_letters(bus, topics.dead_letters)) == 2)
    queue.close()
    letters = list_letters(bus, topics.dead_letters)
    with pytest.raises(InputError, match=r"1 were sent again; 1 came from .*nobody reads") as refusal:
        replay_letters(bus, topics.dead_letters, letters, read={kept})
    until(lambda: len(list_letters(bus, topics.dead_letters)) == 1)
    left = list_letters(bus, topics.dead_letters)[0]
    assert left.record.topic == name
    assert left.place in refusal.value.hint


def test_topics_are_made_once_and_have_to_be_as_they_are_wanted(
    bus: Bus, broker_kind: str, prefix: str
) -> None:
    spec = TopicSpec(f"{prefix}.kept", partitions=3, is_compacted=True)
    bus.ensure([spec])
    bus.ensure([spec])
    assert bus.topics()[spec.name] == 3
    with pytest.raises(InputError, match="has 3 partitions and is compacted"):
        bus.ensure([TopicSpec(spec.name, partitions=4, is_compacted=True)])
    with pytest.raises(InputError, match="has to have 3 and be not compacted"):
        bus.ensure([TopicSpec(spec.name, partitions=3)])
    bus.remove([spec.name, f"{prefix}.never"])
    until(lambda: (spec.name in bus.topics()) is (broker_kind == "embedded"))


def test_who_asks_is_told_how_much_went_into_each_partition(bus: Bus, wide: str, prefix: str) -> None:
    for _ in range(2):
        store(bus, [Record(wide, b"x", partition=partition) for partition in (1, 1, 1, 5)])
    found = bus.appended([wide, f"{prefix}.none"])
    assert set(found) == {(wide, partition) for partition in range(8)}
    assert {place[1]: count for place, count in found.items() if count}.keys() == {1, 5}
    assert found[wide, 5] == 2
    assert 4 <= found[wide, 1] <= 6, "of the embedded broker's last batch one is counted"


@pytest.mark.slow
def test_records_have_the_time_of_apache_kafka_whatever_their_sender_says(
    apache_broker: Broker, prefix: str
) -> None:
    bus = opened(BusConfig(bootstrap=apache_broker.address, prefix=prefix))
    bus.ensure([TopicSpec(f"{prefix}.timed")])
    producer = Producer({"bootstrap.servers": apache_broker.address})
    producer.produce(f"{prefix}.timed", b"x", timestamp=1000)
    producer.flush(PATIENCE_S)
    seen: list[Record] = []
    assert bus.follow(f"{prefix}.timed", seen.extend, begin="beginning").wait(PATIENCE_S)
    assert abs(seen[0].appended_ms / 1000 - time.time()) < 600
    bus.close()


def test_a_topic_that_is_not_there_is_not_followed(bus: Bus, topic: str) -> None:
    with pytest.raises(InputError, match="no topic"):
        bus.follow("nothing.of.the.kind", lambda _: None)
    with pytest.raises(InputError, match="no partition 7"):
        bus.follow(topic, lambda _: None, partitions=[7])
    assert "nothing.of.the.kind" not in bus.topics()


def test_a_record_that_is_too_large_is_refused_before_it_is_sent(bus: Bus, topic: str) -> None:
    with pytest.raises(InputError, match="at most 1,000,000 are sent"):
        bus.send(Record(topic, b"x" * 1_000_001))
    store(bus, [Record(topic, b"x" * 999_000)])


def test_identity_is_one_for_all_and_lasts(open_bus: OpenBus, bus: Bus) -> None:
    assert bus.identity() == open_bus().identity() == bus.identity() != ""


def test_a_callback_that_fails_stops_nothing(bus: Bus, topic: str, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Record] = []

    def fail(records: Sequence[Record]) -> None:
        seen.extend(records)
        raise RuntimeError("a mistake of whoever follows")

    bus.follow(topic, fail)
    store(bus, numbered(topic, 1))
    until(lambda: len(seen) == 1)
    store(bus, numbered(topic, 1))
    until(lambda: len(seen) == 2)
    until(lambda: "a mistake of whoever follows" in caplog.text)
