"""Members that settle among themselves who reads what: the rules alone, without a broker."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tsuzuri.specialists.bus.base import Place, Record
from tsuzuri.specialists.bus.kafka_buffer import Buffer, Given
from tsuzuri.specialists.bus.members import MISSED, Members, Word, allot

NAMES = st.lists(st.text("abcdef0123", min_size=1, max_size=6), min_size=1, max_size=9, unique=True)


@given(names=NAMES, partitions=st.integers(1, 24))
def test_everybody_has_as_many_as_any_other_or_one_more(names: list[str], partitions: int) -> None:
    owners = allot("t", partitions, tuple(sorted(names)))
    counts = [owners.count(name) for name in names]
    assert sum(counts) == partitions
    assert max(counts) - min(counts) <= 1


def test_few_partitions_move_when_somebody_goes() -> None:
    names = [f"m{number}" for number in range(8)]
    moved = Counter[str]()
    for topic in map(str, range(50)):
        before = allot(topic, 32, tuple(names))
        after = allot(topic, 32, tuple(names[:-1]))
        moved[topic] = sum(old != new for old, new in zip(before, after, strict=True))
    assert moved.total() / len(moved) < 12  # at least 4 have to; by turns 28 would


def test_who_says_nothing_while_another_ticks_is_gone_and_comes_back_with_a_word() -> None:
    members = Members()
    members.hear("a", Word(1, ("t",)))
    for tick in range(1, MISSED + 1):
        members.hear("b", Word(tick, ("t",)))
        members.hear("b", Word(tick, ("t",), has=(("t", tick),)))  # no tick
    assert set(members.living) == {"a", "b"}
    members.hear("b", Word(MISSED + 1, ("t",)))
    assert set(members.living) == {"b"}
    members.hear("a", Word(2, ("t",)))
    assert set(members.living) == {"a", "b"}
    for tick in range(3, 30):
        members.hear("a", Word(tick, ("t",)))
        members.hear("b", Word(tick + MISSED, ("t",)))
    assert set(members.living) == {"a", "b"}


def test_who_reads_from_later_on_knows_the_same() -> None:
    said = [("a", 1), ("b", 1), ("c", 1), *(pair for n in range(2, 12) for pair in (("a", n), ("b", n)))]
    early, late = Members(), Members()
    for number, (name, tick) in enumerate(said):
        early.hear(name, Word(tick, ("t",)))
        if number >= 4:
            late.hear(name, Word(tick, ("t",)))
    assert early.living.keys() == late.living.keys() == {"a", "b"}


def test_what_another_has_is_waited_for() -> None:
    members = Members()
    members.hear("a", Word(1, ("t",), has=(("t", 0), ("t", 1))))
    members.hear("b", Word(1, ("t",)))
    (mine,) = [("t", number) for number, owner in enumerate(members.owners("t", 2)) if owner == "b"]
    assert members.moves("b", {"t": 2}, set()) == (set(), set())
    assert members.moves("a", {"t": 2}, {("t", 0), ("t", 1)}) == ({mine}, set())
    members.hear("a", Word(1, ("t",), has=tuple({("t", 0), ("t", 1)} - {mine})))
    assert members.moves("b", {"t": 2}, set()) == (set(), {mine})


def test_what_nobody_wants_is_kept() -> None:
    members = Members()
    members.hear("a", Word(1, (), has=(("t", 0),)))
    assert members.moves("a", {"t": 1}, {("t", 0)}) == (set(), set())


def test_who_counts_as_gone_gives_up_what_another_wants() -> None:
    members = Members()
    members.hear("b", Word(1, ("t",)))
    assert members.moves("a", {"t": 1}, {("t", 0)}) == ({("t", 0)}, set())


@pytest.mark.parametrize(("is_done", "is_given"), [(True, False), (False, True)])
def test_what_is_lent_is_given_only_if_the_lender_leaves_it(is_done: bool, is_given: bool) -> None:
    members, buffer = Members(), Buffer(["t"], 9)
    position = ("t", 0, 7)
    members.hear("a", Word(1, ("t",), lent=(position,)))
    buffer.own([("t", 0)])
    buffer.settle(members.lent("b"), members.is_left)
    buffer.add([Record("t", b"x", partition=0, offset=7), Record("t", b"y", partition=0, offset=8)])
    second = buffer.take(0)
    assert second is not None
    assert second.record.offset == 8
    buffer.finish(second)
    assert not buffer.to_commit(["t"])  # nothing is passed by that is not done
    members.hear("a", Word(1, lent=() if is_done else (position,), is_last=True))
    buffer.settle(members.lent("b"), members.is_left)
    again = buffer.take(0)
    assert (again is not None) == is_given
    buffer.finish(again)
    assert buffer.to_commit(["t"]) == {("t", 0): 9}


def test_what_one_has_lent_itself_is_not_given_again() -> None:
    buffer = Buffer(["t"], 9)
    buffer.own([("t", 0)])
    buffer.add([Record("t", b"x", partition=0, offset=0)])
    out = buffer.take(0)
    assert buffer.lend([("t", 0)]) == {}
    assert buffer.claims() == ((), (("t", 0, 0),))
    buffer.own([("t", 0)])
    buffer.add([Record("t", b"x", partition=0, offset=0)])
    assert buffer.take(0) is None
    buffer.finish(out)
    buffer.settle({}, lambda lender, position: True)
    assert buffer.claims() == ((("t", 0),), ())
    assert buffer.to_commit(["t"]) == {("t", 0): 1}


def test_what_is_put_back_is_lent_until_it_is_done() -> None:
    buffer = Buffer(["t"], 9)
    buffer.own([("t", 0)])
    buffer.add([Record("t", b"x", partition=0, offset=0)])
    out = buffer.take(0)
    buffer.lend([("t", 0)])
    buffer.put_back(out, 0)
    assert buffer.claims() == ((), (("t", 0, 0),))
    again = buffer.take(0)
    assert again is not None
    assert again.deliveries == 2
    buffer.finish(again)
    assert buffer.claims() == ((), ())


PARTITIONS = 3
TOPIC = "t"


class Simulated:
    """A member as `kafka_assign` is one, over lists in place of a broker."""

    def __init__(self, name: str, world: World) -> None:
        self.name, self.world = name, world
        self.members, self.buffer = Members(), Buffer([TOPIC], 3)
        self.heard = self.tick = 0
        self.wanted: tuple[str, ...] = (TOPIC,)
        self.unsaid: Word | None = None
        self.began = len(world.words)
        self.reads: dict[Place, int] = {}
        self.late: list[dict[Place, int]] = []
        """Commits that are on their way."""
        self.out: list[Given] = []

    def hear(self, most: int) -> None:
        for name, word in self.world.words[self.heard : self.heard + most]:
            self.members.hear(name, word)
            self.heard += 1

    def share_out(self) -> None:
        self.buffer.settle(self.members.lent(self.name), self.members.is_left)
        if not self.is_caught_up:
            return
        lost, new = self.members.moves(self.name, {TOPIC: PARTITIONS}, self.buffer.owned([TOPIC]))
        for place in lost:
            del self.reads[place]
        if lost:
            self.late.append(self.buffer.lend(lost))
        self.buffer.own(new)
        self.reads.update({place: self.world.committed[place] for place in new})

    @property
    def is_caught_up(self) -> bool:
        return self.heard >= self.began

    def read(self, most: int) -> None:
        for place in list(self.reads):
            log = self.world.logs[place[1]]
            records = log[self.reads[place] : self.reads[place] + most]
            self.buffer.add(records)
            self.reads[place] += len(records)

    def say(self, *, is_tick: bool) -> None:
        if self.unsaid is None and self.is_caught_up:
            self.tick += is_tick
            self.unsaid = Word(self.tick, self.wanted, *self.buffer.claims())

    def store(self) -> None:
        if self.unsaid is not None:
            self.world.words.append((self.name, self.unsaid))
            self.unsaid = None

    def take(self) -> None:
        if (given := self.buffer.take(0)) is not None:
            self.out.append(given)

    def finish(self, number: int) -> None:
        given = self.out.pop(number % len(self.out))
        self.world.finished.add(given.position)  # whatever becomes of the acknowledgement
        self.buffer.finish(given)

    def commit(self) -> None:
        self.late.append(self.buffer.to_commit([TOPIC]))

    def step(self) -> None:
        self.hear(10**6)
        self.share_out()
        self.read(100)
        while (given := self.buffer.take(0)) is not None:
            self.out.append(given)
            self.finish(0)
        self.commit()
        self.world.arrive(self, 100)
        self.say(is_tick=True)
        self.store()


class World(RuleBasedStateMachine):
    """Members join, leave, die, stand still, read late, and commits come when they do: nothing is lost."""

    @initialize()
    def begin(self) -> None:
        self.words: list[tuple[str, Word]] = []
        self.logs: list[list[Record]] = [[] for _ in range(PARTITIONS)]
        self.committed: Counter[Place] = Counter()
        self.finished: set[tuple[str, int, int]] = set()
        self.alive: list[Simulated] = []
        self.ghosts: list[Simulated] = []
        """Dead, with commits on their way."""
        self.count = 0
        self.join()
        self.join()
        for _ in range(4):
            self.send()
        self.all_go_on(3)

    def one(self, number: int) -> Simulated:
        assume(self.alive)
        return self.alive[number % len(self.alive)]

    @precondition(lambda self: len(self.alive) < 4)
    @rule()
    def join(self) -> None:
        self.alive.append(Simulated(f"m{self.count}", self))
        self.count += 1

    @rule()
    def send(self) -> None:
        for partition, log in enumerate(self.logs):
            log.append(Record(TOPIC, b"x", partition=partition, offset=len(log)))

    @rule(number=st.integers(0, 3), most=st.integers(1, 5))
    def hear(self, number: int, most: int) -> None:
        self.one(number).hear(most)

    @rule(number=st.integers(0, 3), most=st.integers(1, 3))
    def share_out(self, number: int, most: int) -> None:
        member = self.one(number)
        member.share_out()
        member.read(most)

    @rule(most=st.integers(1, 3))
    def all_go_on(self, most: int) -> None:
        for member in self.alive:
            member.store()
            member.hear(10**6)
            member.share_out()
            member.read(most)
            member.take()
            member.commit()
            self.arrive(member, 1)
            member.say(is_tick=False)
            member.store()

    @rule(number=st.integers(0, 3), times=st.integers(1, MISSED + 1))
    def tick(self, number: int, times: int) -> None:
        for _ in range(times):
            self.one(number).say(is_tick=True)
            self.one(number).store()

    @rule(number=st.integers(0, 3))
    def say(self, number: int) -> None:
        self.one(number).say(is_tick=False)

    @rule(number=st.integers(0, 3))
    def store(self, number: int) -> None:
        self.one(number).store()

    @rule(number=st.integers(0, 3))
    def take(self, number: int) -> None:
        self.one(number).take()

    @rule(number=st.integers(0, 3), which=st.integers(0, 8))
    def finish(self, number: int, which: int) -> None:
        member = self.one(number)
        assume(member.out)
        member.finish(which)

    @rule(number=st.integers(0, 3), which=st.integers(0, 8))
    def put_back(self, number: int, which: int) -> None:
        member = self.one(number)
        assume(member.out)
        member.buffer.put_back(member.out.pop(which % len(member.out)), 0)

    @rule(number=st.integers(0, 3))
    def commit(self, number: int) -> None:
        self.one(number).commit()

    @rule(number=st.integers(0, 7), count=st.integers(1, 3))
    def arrives(self, number: int, count: int) -> None:
        everybody = [*self.alive, *self.ghosts]
        assume(everybody)
        self.arrive(everybody[number % len(everybody)], count)

    def arrive(self, member: Simulated, count: int) -> None:
        for _ in range(min(count, len(member.late))):
            for place, offset in member.late.pop(0).items():
                self.committed[place] = offset  # as the broker: whatever comes last

    @rule(number=st.integers(0, 3))
    def retire(self, number: int) -> None:
        self.one(number).wanted = ()

    @rule(number=st.integers(0, 3))
    def leave(self, number: int) -> None:
        member = self.one(number)
        member.commit()
        self.words.append((member.name, Word(member.tick, lent=member.buffer.claims()[1], is_last=True)))
        self.alive.remove(member)
        self.ghosts.append(member)

    @rule(number=st.integers(0, 3))
    def die(self, number: int) -> None:
        member = self.one(number)
        self.alive.remove(member)
        self.ghosts.append(member)

    @invariant()
    def nothing_is_passed_by(self) -> None:
        for (_, partition), offset in getattr(self, "committed", Counter()).items():
            assert all((TOPIC, partition, before) in self.finished for before in range(offset))

    def teardown(self) -> None:
        """Once all is calm, everything was worked off, and each partition has one reader."""
        if not hasattr(self, "alive"):
            return
        self.join()
        for member in self.alive:
            member.wanted = (TOPIC,)
            while member.out:
                member.finish(0)
        for _ in range(2 * MISSED + 6):
            for member in self.alive:
                member.step()
        for ghost in self.ghosts:
            self.arrive(ghost, 100)
            self.nothing_is_passed_by()
        sent = {(TOPIC, number, offset) for number, log in enumerate(self.logs) for offset in range(len(log))}
        assert self.finished == sent
        has = Counter(place for member in self.alive for place in member.buffer.owned([TOPIC]))
        assert has == {(TOPIC, number): 1 for number in range(PARTITIONS)}


World.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestWorld = World.TestCase
