"""Every request from its admission to its one end: a state machine without clock, wire or model.

    QUEUED → ACCEPTED (worker, attempt) → STREAMING (seq) → DONE | ERROR | CANCELLED | EXPIRED

Delivery is at least once and workers die, so replies come twice, late, from two workers at a time, or not at
all. The first end wins. What belongs to another attempt or worker, or comes after the end, is counted and
dropped; what is missing (a gap, a sum that does not fit, silence, a death) begins the next attempt, which
goes on after the text that was already shown. What cannot be mended is told: nothing is lost in silence.

Every method returns what is to be done about it; `now` is any clock that only runs forward, in seconds.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from tsuzuri.specialists.gateway.deaths import Deaths, is_poison, suspects
from tsuzuri.specialists.gateway.entry import Effect, End, Entry, Send, Show, State, Withdraw
from tsuzuri.specialists.messages import (
    NEW_S,
    Accepted,
    Body,
    Delta,
    Embedded,
    Envelope,
    Failed,
    Final,
    Scored,
)

BACKOFF_S = (0.2, 1.0)
"""Before the attempts after failures that may pass; there are no more of them."""
UNSENT_S = 1.0
"""Before a record that the broker did not take is sent again, as often as its deadline lets it."""
GRACE_S = 1.0
"""After a deadline, for the worker that writes to say so itself."""
SKEW_S = 2.0
"""A worker that calls a deadline passed so long before it goes by another clock."""


class Ledger:
    """Requests by id."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Of replies dropped (`stale`, `duplicate`), of what was noticed (`gap`, `damaged`, `stalled`,
        `lost`, `poison`, `stranded`), and of what was done about it (`retried`, `resumed`, `handed_back`,
        `resent`)."""
        self._entries: dict[str, Entry] = {}
        self._deaths = Deaths()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __getitem__(self, request_id: str) -> Entry:
        return self._entries[request_id]

    def __contains__(self, request_id: object) -> bool:
        return request_id in self._entries

    def open(self, request_id: str, *, deadline: float, now: float) -> Entry:
        """Hold a request from now on: it is to be sent, and ends exactly once."""
        assert request_id not in self._entries
        self._entries[request_id] = entry = Entry(request_id, deadline, opened_at=now, moved_at=now)
        return entry

    def sent(self, entry: Entry, *, tokenizer: str) -> None:
        """This attempt goes to a revision of that tokenizer."""
        if entry.ids and entry.tokenizer != tokenizer:
            entry.is_mixed = True
            entry.ids.clear()
        entry.tokenizer = tokenizer

    def unsent(self, request_id: str, attempt: int, *, now: float) -> list[Effect]:
        """The broker did not take this attempt; that says nothing of the request."""
        entry = self._entries.get(request_id)
        if entry is None or entry.attempt != attempt or entry.state != "queued":
            return []
        self.counts["resent"] += 1
        return [Withdraw(entry, attempt), *self._again(entry, now, delay_s=UNSENT_S)]  # perhaps it did

    def postpone(self, entry: Entry, *, delay_s: float, now: float) -> None:
        """There is nobody to send this attempt to: it is due again later."""
        entry.due_at = now + delay_s

    def reply(self, envelope: Envelope, *, now: float) -> list[Effect]:
        """What somebody says of a request."""
        entry, body, worker = self._entries.get(envelope.id), envelope.body, envelope.worker
        if entry is None:
            return self._drop("stale")
        if isinstance(body, Accepted):
            self._deaths.hold(entry, worker)
        elif not isinstance(body, Delta):
            self._deaths.let_go(entry, worker)
        if envelope.attempt != entry.attempt or entry.due_at is not None:
            return self._drop("stale")
        if isinstance(body, Accepted):
            return self._accepted(entry, body, worker, now)
        if entry.state == "queued":  # its acceptance is still on the way, or there is none
            entry.worker = worker
        if worker != entry.worker:
            return self._drop("stale")
        if isinstance(body, Failed):
            return self._failed(entry, body, now)
        if isinstance(body, Delta | Final):
            return self._part(entry, body, envelope.seq, now)
        if isinstance(body, Scored | Embedded):
            return self._end(entry, "done", reply=body)
        return self._drop("stale")

    def lost(
        self, worker: str, sent: Iterable[str] = (), *, now: float, is_death: bool = True
    ) -> list[Effect]:
        """A worker is dead, or as good as dead: what it held goes to another; `sent`: all that was ever sent
        to its revision. Where nobody at all is heard that is no death, and says nothing of what it held."""
        entries = (self._entries[request_id] for request_id in sent)
        had = self._deaths.lose(worker, entries, now=now, is_death=is_death)
        self.counts["lost"] += len(had)
        lost = [entry for entry in had if entry.worker in ("", worker)]  # else another one has it already
        suspected = suspects(lost)
        effects: list[Effect] = []
        for entry in lost:
            if is_death and is_poison(entry, lost):
                self.counts["poison"] += 1
                message = f"{entry.deaths} workers were lost over this request, one after the other"
                failed = Failed(code="poison", message=message)
                effects += self._given_up(entry, "error", failed)
                continue
            entry.is_suspect = entry in suspected
            if entry.worker == worker:  # the queue may give the same record again: that is not to be begun
                failed = Failed(code="worker_lost", message="the worker that wrote it was lost")
                effects += [Withdraw(entry, entry.attempt), *self._again(entry, now, failed)]
        return effects

    def stranded(self, request_id: str, *, now: float) -> list[Effect]:
        """All who could begin with an attempt have gone, and none of them had: it goes to another."""
        entry = self._entries.get(request_id)
        if entry is None or entry.state != "queued" or entry.due_at is not None:
            return []
        self.counts["stranded"] += 1
        return [Withdraw(entry, entry.attempt), *self._again(entry, now)]

    def resend(self, *, now: float) -> list[Effect]:
        """The broker came back without its records: everything unanswered is to be sent again."""
        effects: list[Effect] = []
        for entry in list(self._entries.values()):
            self.counts["resent"] += 1
            for worker in list(entry.holders):  # they have dropped it, and may die for other reasons
                self._deaths.let_go(entry, worker)
            effects += self._again(entry, now)
        return effects

    def cancel(self, request_id: str) -> list[Effect]:
        """Nobody wants the rest."""
        entry = self._entries.get(request_id)
        return [] if entry is None else self._given_up(entry, "cancelled")

    def fail(self, request_id: str, failure: Failed) -> list[Effect]:
        """It cannot be answered, as whoever was to send it found."""
        entry = self._entries.get(request_id)
        return [] if entry is None else self._given_up(entry, "error", failure)

    def excuse(self, seconds: float, *, now: float) -> None:
        """So much of the time could bring nothing: nobody was silent in it."""
        for entry in self:
            entry.moved_at = min(now, entry.moved_at + seconds)

    def tick(self, *, now: float, stall_s: Callable[[Entry], float]) -> list[Effect]:
        """What time has brought: deadlines, attempts that are due, and silence of more than `stall_s`."""
        effects: list[Effect] = []
        for entry in list(self._entries.values()):
            is_held = entry.state != "queued"
            if now >= entry.deadline + (GRACE_S if is_held else 0.0):
                effects += self._given_up(entry, "expired", entry.failure)
            elif entry.due_at is not None and now >= entry.due_at and self._is_its_turn(entry):
                entry.due_at, entry.moved_at = None, now
                effects.append(Send(entry))
            elif is_held and now - entry.moved_at > stall_s(entry):
                self.counts["stalled"] += 1
                message = f"its worker said nothing for {now - entry.moved_at:.1f} s"
                failed = Failed(code="stalled", message=message, is_retryable=True)
                effects += [Withdraw(entry, entry.attempt), *self._failed(entry, failed, now)]
        return effects

    def _accepted(self, entry: Entry, body: Accepted, worker: str, now: float) -> list[Effect]:
        if entry.state == "streaming" or (entry.state == "accepted" and entry.worker == worker):
            return self._drop("duplicate" if entry.worker == worker else "stale")
        # Accepted by another before: the broker gave the record again, so that one has left or will be late.
        entry.is_said |= entry.attempt == 1 and now - entry.opened_at < NEW_S
        entry.state, entry.worker, entry.moved_at = "accepted", worker, now
        entry.prompt_tokens = body.prompt_tokens or entry.prompt_tokens
        return []

    def _part(self, entry: Entry, body: Delta | Final, seq: int, now: float) -> list[Effect]:
        if seq < entry.seq:
            return self._drop("duplicate")
        if seq > entry.seq:
            self.counts["gap"] += 1
            message = f"part {entry.seq} of the answer did not arrive"
            failed = Failed(code="gap", message=message, is_retryable=True)
            return [Withdraw(entry, entry.attempt), *self._failed(entry, failed, now)]
        if isinstance(body, Final):
            return self._final(entry, body, now)
        entry.state, entry.moved_at = "streaming", now
        entry.prompt_tokens = body.prompt_tokens or entry.prompt_tokens
        entry.seq += 1
        self._shown(entry, body.text, body.ids)
        entry.completion_tokens += len(body.ids)
        return [Show(entry, body)]

    def _final(self, entry: Entry, body: Final, now: float) -> list[Effect]:
        if body.finish == "cancelled":  # though nobody here has cancelled it
            failed = Failed(code="handed_back", message="its worker stopped", is_retryable=True)
            return self._failed(entry, failed, now)
        if body.finish == "timeout" and now < entry.deadline - SKEW_S:
            message = "its worker's clock says that its time is over"
            return self._failed(entry, Failed(code="deadline", message=message, is_retryable=True), now)
        whole = "".join((*entry.text, body.text))
        if body.sha256 and hashlib.sha256(whole.encode()).hexdigest() != body.sha256:
            self.counts["damaged"] += 1
            failed = Failed(
                code="damaged",
                message="the answer is not what its worker wrote",
                is_retryable=not entry.text,  # what was shown can't be taken back
            )
            return self._failed(entry, failed, now)
        self._shown(entry, body.text, body.ids)
        entry.completion_tokens = body.completion_tokens
        entry.prompt_tokens = body.prompt_tokens or entry.prompt_tokens
        return self._end(entry, "expired" if body.finish == "timeout" else "done", reply=body)

    def _failed(self, entry: Entry, body: Failed, now: float) -> list[Effect]:
        if body.code == "handed_back":
            self.counts["handed_back"] += 1
            delay_s = BACKOFF_S[0] if entry.hand_backs else 0.0
            entry.hand_backs += 1
            return self._again(entry, now, body, delay_s=delay_s)
        is_early = body.code == "deadline" and now < entry.deadline - SKEW_S
        if not (body.is_retryable or is_early) or entry.tries >= len(BACKOFF_S):
            return self._end(entry, "error", failure=body)
        delay_s = max(BACKOFF_S[entry.tries], body.retry_after_s)
        if now + delay_s >= entry.deadline:
            return self._end(entry, "error", failure=body)
        entry.tries += 1
        self.counts["retried"] += 1
        return self._again(entry, now, body, delay_s=delay_s)

    def _again(
        self, entry: Entry, now: float, failure: Failed | None = None, *, delay_s: float = 0.0
    ) -> list[Effect]:
        """Begin the next attempt."""
        entry.attempt += 1
        entry.state, entry.worker, entry.seq = "queued", "", 0
        entry.due_at, entry.moved_at = now + delay_s, now
        entry.failure = failure or entry.failure
        if entry.text:
            self.counts["resumed"] += 1
        if delay_s or not self._is_its_turn(entry):
            return []
        entry.due_at = None
        return [Send(entry)]

    def _is_its_turn(self, entry: Entry) -> bool:
        """Whether it may be sent now, though it might kill whoever it is sent to."""
        if not entry.is_suspect:
            return True
        return not any(one.is_suspect and one is not entry and one.due_at is None for one in self)

    def _given_up(self, entry: Entry, state: State, failure: Failed | None = None) -> list[Effect]:
        """End it though somebody may still write it."""
        return [Withdraw(entry, entry.attempt), *self._end(entry, state, failure=failure)]

    def _end(
        self, entry: Entry, state: State, *, reply: Body | None = None, failure: Failed | None = None
    ) -> list[Effect]:
        del self._entries[entry.id]
        self._deaths.forget(entry)
        entry.state = state
        return [End(entry, state, reply, failure)]

    def _shown(self, entry: Entry, text: str, ids: tuple[int, ...]) -> None:
        if text:
            entry.text.append(text)
        if not entry.is_mixed:
            entry.ids += ids

    def _drop(self, why: str) -> list[Effect]:
        self.counts[why] += 1
        return []
