"""Every request ends exactly once, with the text that was written, whatever arrives in whatever order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tsuzuri.specialists.gateway.deaths import MOST_LOSSES
from tsuzuri.specialists.gateway.entry import Effect, End, Entry, Send, Show, Withdraw
from tsuzuri.specialists.gateway.hearing import Hearing
from tsuzuri.specialists.gateway.ledger import GRACE_S, Ledger
from tsuzuri.specialists.messages import Accepted, Body, Delta, Envelope, Failed, Final, Scored

ID = "request"


def sum_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def said(body: Body, *, worker: str = "w1", attempt: int = 1, seq: int = 0, id: str = ID) -> Envelope:
    return Envelope(body, id=id, worker=worker, attempt=attempt, seq=seq)


def final(text: str, last: str = "", **others: Any) -> Final:
    return Final(finish="stop", text=last, sha256=sum_of(text), **others)


def kinds(effects: Sequence[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


class Held:
    """A ledger with one request, at a clock of its own."""

    def __init__(self, deadline: float = 100.0) -> None:
        self.ledger, self.now = Ledger(), 0.0
        self.entry: Entry = self.ledger.open(ID, deadline=deadline, now=0.0)
        self.ledger.sent(self.entry, tokenizer="t1")

    def hear(self, body: Body, **others: Any) -> list[Effect]:
        return self.ledger.reply(said(body, **others), now=self.now)

    def pass_time(self, seconds: float, stall_s: float = 1e9) -> list[Effect]:
        self.now += seconds
        return self.ledger.tick(now=self.now, stall_s=lambda entry: stall_s)


def test_an_answer_comes_whole_and_ends() -> None:
    held = Held()
    assert held.hear(Accepted(prompt_tokens=7)) == []
    assert kinds(held.hear(Delta(text="吾輩は", ids=(1, 2)), seq=0)) == ["Show"]
    assert held.entry.completion_tokens == 2
    (end,) = held.hear(final("吾輩は猫", "猫", completion_tokens=3), seq=1)
    assert isinstance(end, End)
    assert (end.state, end.entry.prompt_tokens, end.entry.completion_tokens) == ("done", 7, 3)
    assert len(held.ledger) == 0


def test_what_comes_twice_late_or_from_another_is_counted_and_dropped() -> None:
    held = Held()
    held.hear(Accepted())
    held.hear(Delta(text="あ"), seq=0)
    assert held.hear(Delta(text="あ"), seq=0) == []
    assert held.hear(Delta(text="い"), seq=1, worker="w2") == []
    assert held.hear(Delta(text="い"), seq=1, attempt=2) == []
    assert held.hear(Accepted()) == []
    held.hear(final("あ"), seq=1)
    assert held.hear(final("あ"), seq=1) == []
    assert held.ledger.counts == {"duplicate": 2, "stale": 3}


def test_a_lost_worker_is_followed_by_another_that_goes_on() -> None:
    held = Held()
    held.hear(Accepted())
    held.hear(Delta(text="吾輩", ids=(5, 6)), seq=0)
    withdraw, send = held.ledger.lost("w1", now=1.0)
    assert isinstance(withdraw, Withdraw)
    assert withdraw.attempt == 1, "if the queue gives its record again, nobody is to begin with that"
    assert isinstance(send, Send)
    resume = send.entry.resume()
    assert resume is not None
    assert (send.entry.attempt, resume.text, resume.ids, resume.tokenizer) == (2, "吾輩", (5, 6), "t1")
    assert resume.completion_tokens == 2
    assert held.hear(Delta(text="は"), seq=1) == [], "the dead speak no more"
    held.hear(Delta(text="は猫"), seq=0, attempt=2, worker="w2")
    (end,) = held.hear(final("吾輩は猫"), seq=1, attempt=2, worker="w2")
    assert isinstance(end, End)
    assert end.state == "done"


def test_ids_of_two_tokenizers_are_never_sent_together() -> None:
    held = Held()
    held.hear(Delta(text="あ", ids=(1,)), seq=0)
    held.hear(Accepted())
    held.ledger.lost("w1", now=0.0)
    held.ledger.sent(held.entry, tokenizer="t2")
    held.hear(Delta(text="い", ids=(9,)), seq=0, attempt=2, worker="w2")
    resume = held.entry.resume()
    assert resume is not None
    assert (resume.text, resume.ids, resume.tokenizer, resume.completion_tokens) == ("あい", (), "", 2)


def test_a_request_over_which_two_workers_died_is_put_aside() -> None:
    held = Held()
    held.hear(Accepted())
    assert kinds(held.ledger.lost("w1", now=0.0)) == ["Withdraw", "Send"]
    held.hear(Accepted(), attempt=2, worker="w2")
    withdraw, end = held.ledger.lost("w2", now=0.0)
    assert isinstance(withdraw, Withdraw)
    assert isinstance(end, End)
    assert end.failure is not None
    assert (end.state, end.failure.code, len(end.entry.losses)) == ("error", "poison", MOST_LOSSES)


def test_the_same_record_given_again_after_a_death_counts_as_the_next_death() -> None:
    held = Held()
    held.hear(Accepted())
    held.ledger.lost("w1", now=0.0)
    held.hear(Accepted(), attempt=1, worker="w2")  # the queue gave the old record again
    assert kinds(held.ledger.lost("w2", now=0.0)) == ["Withdraw", "End"]


def test_who_is_not_heard_while_nobody_is_and_who_has_dropped_it_is_no_death() -> None:
    held = Held()
    for attempt, worker in ((1, "w1"), (2, "w2"), (3, "w3")):
        held.hear(Accepted(), attempt=attempt, worker=worker)
        assert kinds(held.ledger.lost(worker, now=0.0, is_death=False)) == ["Withdraw", "Send"]
    held.hear(Accepted(), attempt=4, worker="w4")
    held.ledger.resend(now=0.0)
    assert held.ledger.lost("w4", now=0.0) == []
    assert not held.entry.losses


def test_of_several_lost_together_twice_each_is_tried_alone_and_the_deadly_one_alone_is_put_aside() -> None:
    ledger = Ledger()
    for name in ("a", "b", "c"):
        ledger.open(name, deadline=100.0, now=0.0)
        ledger.reply(said(Accepted(), id=name), now=0.0)
    assert kinds(ledger.lost("w1", now=0.5)) == ["Withdraw", "Send"] * 3
    for name in ("a", "b", "c"):
        ledger.reply(said(Accepted(), id=name, attempt=2, worker="w2"), now=0.6)
    first = ledger.lost("w2", now=1.0)
    assert [effect.entry.id for effect in first if isinstance(effect, Send)] == ["a"], "one after the other"
    assert len(ledger) == 3
    ledger.reply(said(final("あ", "あ"), id="a", attempt=3, worker="w3"), now=2.0)
    (next_one,) = ledger.tick(now=2.1, stall_s=lambda entry: 1e9)
    assert isinstance(next_one, Send)
    assert next_one.entry.id == "b"
    ledger.reply(said(Accepted(), id="b", attempt=3, worker="w3"), now=2.2)
    _, end = ledger.lost("w3", now=3.0)
    assert isinstance(end, End)
    assert end.failure is not None
    assert (end.entry.id, end.failure.code, len(end.entry.losses)) == ("b", "poison", MOST_LOSSES + 1)
    (last,) = ledger.tick(now=3.1, stall_s=lambda entry: 1e9)
    assert isinstance(last, Send)
    assert last.entry.id == "c"


def test_a_worker_that_died_without_a_word_counts_once_another_dies_over_the_same_request() -> None:
    held = Held()
    assert held.ledger.lost("w1", [ID], now=3.0) == [], "nobody has it, as far as is known"
    assert held.ledger.lost("w0", [ID], now=3.1) == []
    held.now = 3.5
    held.hear(Accepted(), worker="w2")
    _, end = held.ledger.lost("w2", [ID], now=9.0)
    assert isinstance(end, End)
    assert end.failure is not None
    assert (end.failure.code, end.entry.deaths, end.entry.losses) == ("poison", MOST_LOSSES, {"w2"})


def test_it_counts_as_well_where_it_is_known_only_after_the_next_has_begun() -> None:
    held = Held()
    held.now = 2.6
    held.hear(Accepted(), worker="w2")
    assert held.ledger.lost("w1", [ID], now=6.0) == []
    assert kinds(held.ledger.lost("w2", [ID], now=8.5)) == ["Withdraw", "End"]


def test_a_death_before_which_another_had_begun_or_for_which_it_came_too_late_is_none_of_its() -> None:
    for begins_s, dies_s in ((0.01, 3.0), (0.9, 0.5)):
        held = Held()
        if begins_s < dies_s:
            held.now = begins_s
            held.hear(Accepted(), worker="w2")
        assert held.ledger.lost("w1", [ID], now=dies_s) == []
        held.now = max(begins_s, dies_s)
        held.hear(Accepted(), worker="w2")
        assert kinds(held.ledger.lost("w2", [ID], now=9.0)) == ["Withdraw", "Send"]
        assert held.entry.deaths == 1


def test_what_waited_while_a_worker_died_is_tried_alone_after_a_death_in_company() -> None:
    ledger = Ledger()
    for name in ("a", "b"):
        ledger.open(name, deadline=100.0, now=0.0)
    ledger.lost("w1", ["a", "b"], now=3.0)
    for name in ("a", "b"):
        ledger.reply(said(Accepted(), id=name, worker="w2"), now=3.5)
    effects = ledger.lost("w2", ["a", "b"], now=9.0)
    assert [effect.entry.id for effect in effects if isinstance(effect, Send)] == ["a"]
    assert len(ledger) == 2


def test_an_attempt_that_the_broker_did_not_take_is_withdrawn_for_perhaps_it_did() -> None:
    held = Held()
    withdraw, *_ = held.ledger.unsent(ID, 1, now=0.0)
    assert isinstance(withdraw, Withdraw)
    assert withdraw.attempt == 1
    (send,) = held.pass_time(1.1)
    assert (type(send), held.entry.attempt) == (Send, 2)


def test_time_in_which_nothing_could_be_heard_is_nobody_s_silence() -> None:
    held = Held()
    held.hear(Accepted())
    held.now += 5.0
    held.ledger.excuse(5.0, now=held.now)
    assert held.pass_time(2.9, stall_s=3.0) == []
    assert kinds(held.pass_time(0.2, stall_s=3.0)) == ["Withdraw"]
    assert held.entry.tries == 1


def test_a_gateway_hears_nothing_while_it_stands_still_or_everybody_is_silent() -> None:
    hearing = Hearing(0.0)
    assert hearing.deaf_s(0.5, 9.0) == 0.0, "an answer came half a second ago"
    assert [hearing.deaf_s(now, 9.0) for now in (1.0, 1.5, 2.0, 2.5)] == [0.0] * 4
    assert hearing.deaf_s(3.0, 2.9) == 2.9, "of a silence that is too long all of it"
    assert hearing.deaf_s(3.5, 3.4) == 0.5
    hearing.heard(3.6)
    assert hearing.deaf_s(4.0, 4.0) == 0.0
    assert hearing.deaf_s(9.0, 0.1) == 5.0, "nobody had looked"
    assert hearing.deaf_s(9.5, 0.1) == 0.0


def test_a_hand_back_is_no_death_and_no_failure() -> None:
    held = Held()
    for attempt in range(1, 12):
        held.hear(Accepted(), attempt=attempt, worker=f"w{attempt}")
        held.hear(Failed(code="handed_back", message=""), attempt=attempt, worker=f"w{attempt}")
        held.pass_time(0.3)
        assert held.ledger.lost(f"w{attempt}", now=held.now) == []
    assert held.entry.attempt == 12
    assert not held.entry.losses


def test_failures_that_may_pass_are_tried_three_times_in_all() -> None:
    held = Held()
    busy = Failed(code="overloaded", message="full", is_retryable=True)
    assert held.hear(busy) == []
    assert held.pass_time(0.1) == []
    assert kinds(held.pass_time(0.11)) == ["Send"]
    assert held.hear(busy, attempt=2) == []
    assert held.pass_time(0.9) == []
    assert kinds(held.pass_time(0.11)) == ["Send"]
    (end,) = held.hear(busy, attempt=3)
    assert isinstance(end, End)
    assert end.failure == busy


def test_nothing_is_tried_again_that_could_not_be_ready_in_time() -> None:
    held = Held(deadline=0.15)
    assert kinds(held.hear(Failed(code="overloaded", message="", is_retryable=True))) == ["End"]


def test_what_cannot_pass_ends_at_once() -> None:
    assert kinds(Held().hear(Failed(code="too_long", message=""))) == ["End"]


def test_a_gap_is_mended_by_going_on_from_what_was_shown() -> None:
    held = Held()
    held.hear(Delta(text="あ"), seq=0)
    assert held.hear(Delta(text="う"), seq=2) == [Withdraw(held.entry, 1)], "its worker need not go on"
    assert held.ledger.counts["gap"] == 1
    (send,) = held.pass_time(0.3)
    assert isinstance(send, Send)
    assert "".join(send.entry.text) == "あ"


@pytest.mark.parametrize("shown", ["", "あ"])
def test_a_wrong_sum_is_mended_before_anything_was_shown_and_told_after(shown: str) -> None:
    held = Held()
    if shown:
        held.hear(Delta(text=shown), seq=0)
    effects = held.hear(final("別の文", "文"), seq=len(shown))
    assert held.ledger.counts["damaged"] == 1
    assert kinds(effects) == (["End"] if shown else [])
    assert kinds(held.pass_time(0.3)) == ([] if shown else ["Send"])


def test_silence_is_a_stall_only_of_who_has_it() -> None:
    held = Held()
    assert held.pass_time(50, stall_s=3.0) == [], "nobody has taken it yet: it waits with the broker"
    held.hear(Accepted())
    assert held.pass_time(2.9, stall_s=3.0) == []
    assert held.pass_time(0.2, stall_s=3.0) == [Withdraw(held.entry, 1)], "its worker need not go on"
    assert held.ledger.counts["stalled"] == 1
    assert kinds(held.pass_time(0.2, stall_s=3.0)) == ["Send"]


def test_after_its_deadline_it_ends_though_nobody_says_so() -> None:
    held = Held(deadline=10.0)
    held.hear(Delta(text="あ"), seq=0)
    assert held.pass_time(10.0 + GRACE_S / 2) == []
    withdraw, end = held.pass_time(GRACE_S)
    assert isinstance(withdraw, Withdraw)
    assert isinstance(end, End)
    assert end.state == "expired"


def test_a_worker_by_another_clock_ends_nothing() -> None:
    held = Held()
    held.hear(Accepted())
    assert held.hear(Failed(code="deadline", message="")) == []
    assert kinds(held.pass_time(0.3)) == ["Send"]
    assert held.hear(Final(finish="timeout"), attempt=2, worker="w2") == []
    assert ID in held.ledger


def test_a_broker_that_lost_its_records_is_told_everything_again() -> None:
    held = Held()
    held.ledger.open("other", deadline=100.0, now=0.0)
    held.hear(Delta(text="あ"), seq=0)
    assert kinds(held.ledger.resend(now=1.0)) == ["Send", "Send"]
    assert held.hear(Delta(text="い"), seq=1) == []
    assert held.entry.tries == 0


def test_what_the_broker_did_not_take_is_sent_again_until_the_deadline() -> None:
    held = Held(deadline=20.0)
    for attempt in range(1, 15):
        assert kinds(held.ledger.unsent(ID, attempt, now=held.now)) == ["Withdraw"]
        assert kinds(held.pass_time(1.01)) == ["Send"]
    assert held.ledger.unsent(ID, 3, now=held.now) == [], "of an attempt that is past"


def test_a_cancelled_one_ends_at_once_and_workers_are_told() -> None:
    held = Held()
    held.hear(Accepted())
    assert kinds(held.ledger.cancel(ID)) == ["Withdraw", "End"]
    assert held.ledger.cancel(ID) == []
    assert held.hear(Delta(text="あ")) == []


def test_a_question_ends_with_its_reply() -> None:
    held = Held()
    (end,) = held.hear(Scored(nats=(1.5,)))
    assert isinstance(end, End)
    assert end.reply == Scored(nats=(1.5,))


TEXT = "吾輩は猫である。名前はまだ無い。"


class Interleavings(RuleBasedStateMachine):
    """Workers that answer, repeat themselves, skip, lie, hand back and die, in any order, over time."""

    @initialize()
    def begin(self) -> None:
        self.ledger, self.now = Ledger(), 0.0
        self.ends: dict[str, list[str]] = {}
        self.shown: dict[str, str] = {}
        self.known: list[str] = []
        self.wrote: dict[tuple[str, int, str], tuple[str, int]] = {}
        """(request, attempt, worker) → what its worker has written in all, and parts sent."""
        self.sent: dict[tuple[str, int], str] = {}
        """Attempt → the text that it goes on from."""
        self.log: list[Envelope] = []
        self.deaths = 0

    def do(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            name = effect.entry.id
            if isinstance(effect, Send):
                assert not self.ends[name], "sent after its end"
                resume = effect.entry.resume()
                self.sent[name, effect.entry.attempt] = resume.text if resume else ""
                self.ledger.sent(effect.entry, tokenizer="t")
            elif isinstance(effect, Show):
                assert not self.ends[name], "shown after its end"
                self.shown[name] += effect.part.text
            elif isinstance(effect, End):
                self.ends[name].append(effect.state)
                if isinstance(effect.reply, Final):
                    self.shown[name] += effect.reply.text

    def hear(self, envelope: Envelope) -> None:
        self.log.append(envelope)
        self.do(self.ledger.reply(envelope, now=self.now))

    @rule(seconds=st.floats(1.0, 60.0))
    def ask(self, seconds: float) -> None:
        name = f"r{len(self.known)}"
        self.known.append(name)
        self.ends[name], self.shown[name] = [], ""
        self.do([Send(self.ledger.open(name, deadline=self.now + seconds, now=self.now))])

    @rule(data=st.data(), worker=st.sampled_from(["w1", "w2", "w3"]), what=st.integers(0, 9))
    def work(self, data: st.DataObject, worker: str, what: int) -> None:
        if not self.sent:
            return
        name, attempt = data.draw(st.sampled_from(sorted(self.sent)))
        before = self.sent[name, attempt]
        text, seq = self.wrote.get((name, attempt, worker), (before, 0))

        def tell(body: Body, number: int = seq) -> None:
            self.hear(said(body, worker=worker, attempt=attempt, seq=number, id=name))

        if what == 0:
            tell(Accepted(prompt_tokens=3))
        elif what == 1:
            tell(Failed(code="handed_back", message=""))
        elif what == 2:
            tell(Failed(code="engine_failed", message="", is_retryable=data.draw(st.booleans())))
        elif what == 3:
            tell(Delta(text="嘘"), seq + 1 + data.draw(st.integers(0, 2)))  # the one before is missing
        elif what == 4:
            tell(Final(finish="stop", text="嘘", sha256="0" * 64))
        elif what <= 7 and len(text) < len(TEXT):
            more = TEXT[len(text) : len(text) + data.draw(st.integers(1, 4))]
            self.wrote[name, attempt, worker] = text + more, seq + 1
            tell(Delta(text=more, ids=(1,)))
        else:
            tell(final(TEXT, TEXT[len(text) :]))

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        if self.log:
            self.do(self.ledger.reply(data.draw(st.sampled_from(self.log)), now=self.now))

    @rule(worker=st.sampled_from(["w1", "w2", "w3"]))
    def die(self, worker: str) -> None:
        self.do(self.ledger.lost(worker, now=self.now))

    @rule()
    def lose_broker(self) -> None:
        self.do(self.ledger.resend(now=self.now))

    @rule(data=st.data())
    def go_away(self, data: st.DataObject) -> None:
        if self.known:
            self.do(self.ledger.cancel(data.draw(st.sampled_from(self.known))))

    @rule(seconds=st.floats(0.01, 10.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.do(self.ledger.tick(now=self.now, stall_s=lambda entry: 3.0))

    @invariant()
    def nobody_ends_twice_and_what_is_shown_is_the_text(self) -> None:
        for name in getattr(self, "known", ()):
            assert len(self.ends[name]) <= 1
            assert (name in self.ledger) == (not self.ends[name])
            assert TEXT.startswith(self.shown[name])
            if self.ends[name] == ["done"]:
                assert self.shown[name] == TEXT

    def teardown(self) -> None:
        """However it went, everybody ends once time has run out."""
        for _ in range(3):
            self.now += 100.0
            self.do(self.ledger.tick(now=self.now, stall_s=lambda entry: 3.0))
        for name in getattr(self, "known", ()):
            assert len(self.ends[name]) == 1
        assert len(self.ledger) == 0


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
