"""Who may answer and how much of the traffic each gets: the decisions, by what the registry says.

    loading → checking → ready → 5 % → 25 % → 50 % → 100 %, and the old revision drains → gone
                 └→ refused ←──────┴───────┴───────┴ rolled back

Whatever it needs to know stands in the registry, so that another controller goes on where one has ended. It
has neither thread nor clock: `tick` is called with the time. What it does beyond the registry is `Effects`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from tsuzuri.core.errors import InputError
from tsuzuri.serving import logs
from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.control.admission import check_fits
from tsuzuri.specialists.control.draining import Drains, Ending
from tsuzuri.specialists.control.examining import Examination
from tsuzuri.specialists.control.orders import Orders
from tsuzuri.specialists.control.retiring import Retiring
from tsuzuri.specialists.control.standing import OVER, Standing
from tsuzuri.specialists.control.succession import Succession
from tsuzuri.specialists.messages import Descriptor, Order, Report, Wanted
from tsuzuri.specialists.registry.registry import Key, Registry

ADMITTED = ("ready", "draining", "gone")
"""States of a revision that was let in, whatever came then."""

FAILED_LOOKS = 5
"""At a revision about which nothing could be found out, after which it is refused."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Between looks: twice as long after each."""


class Effects(Ending, Protocol):
    """What a conductor has done by others. None of these may block for long."""

    def examine(self, task: Examination) -> None:
        """Look at a revision; the conductor's `decide` is called at the end."""

    def tell(self, order: str, text: str, state: str) -> None:
        """An order's next step, or its end."""


@dataclass(slots=True)
class _Look:
    """What came of looking at a revision."""

    failures: int = 0
    pause_s: float = FIRST_PAUSE_S
    next_at: float = 0.0


class Conductor:
    """Decides for one alias."""

    def __init__(self, registry: Registry, config: SpecialistsConfig, effects: Effects, writer: str) -> None:
        self._registry, self._config, self._effects = registry, config, effects
        self._standing = Standing(registry, config, writer)
        self._drains = Drains(self._standing, effects, config.rollout.drain_s)
        self._orders = Orders(effects.tell)
        self._succession = Succession(self._standing, self._drains, self._orders, config, effects)
        self._retiring = Retiring(self._standing, self._succession, effects)
        self._examining: set[Key] = set()
        self._looks: dict[Key, _Look] = {}
        self._shown: dict[Key, str] = {}

    # What comes in

    def order(self, number: str, order: Order, now: float) -> None:
        """Do what an operator asks, or say why not."""
        actions: dict[str, Callable[[str, Order, float], None]] = {
            "add": self._add,
            "replace": self._replace,
            "rollback": self._rollback,
            "remove": self._remove,
            "drain": self._empty,
        }
        self._orders.begin(number, order.specialist)
        try:
            actions[order.verb](number, order, now)
        except InputError as error:
            self._orders.answer(number, error.message, "failed")

    def report(self, report: Report) -> None:
        """Note what a gateway saw."""
        self._succession.take(report)

    def decide(self, revision: Descriptor | None, key: Key, now: float, problem: str = "") -> None:
        """The end of an examination: the revision, ready or refused. None: nothing was found out, for a
        reason of its own or, without a `problem`, of the bus: it is looked at again, if not too often."""
        self._examining.discard(key)
        before = self._standing.decided.get(key)
        if before is not None and before.state == "refused":  # it was called off
            return
        if revision is None:
            look = self._looks.setdefault(key, _Look())
            look.pause_s, look.failures = 2 * look.pause_s, look.failures + bool(problem)
            look.next_at = now + min(look.pause_s, LONGEST_PAUSE_S)
            if problem:
                self._orders.tell(key[0], f"{'/'.join(key)} could not be looked at: {problem}")
            known = self._standing.of(key)
            if known is None or look.failures < FAILED_LOOKS:
                return
            note = f"it could not be looked at, {look.failures} times: {problem}"
            revision = msgspec.structs.replace(known, state="refused", note=note)
        self._looks.pop(key, None)
        self._standing.decide(revision)
        if revision.state == "refused":
            self._succession.drop(key, f"refused: {revision.note}")
        else:
            self._orders.tell(
                key[0], f"{'/'.join(key)} is admitted{': ' * bool(revision.note)}{revision.note}"
            )

    def tick(self, now: float) -> None:
        """Do what is due."""
        for key, revision in list(self._standing.news()):
            self._settle(key, revision, now)
        self._succession.tick(now)
        for name, _ in self._drains.tick(now):
            if name not in self._drains:
                self._orders.end((name, ""), f"{name} is gone", "done")
        self._retiring.tick(now)

    # Orders

    def _add(self, number: str, order: Order, now: float) -> None:
        if self._standing.shares(order.specialist):
            raise InputError(f"there is a specialist {order.specialist} already: replace it")
        self._want(number, order, now)

    def _replace(self, number: str, order: Order, now: float) -> None:
        if not self._standing.shares(order.specialist) and not self._standing.known(order.specialist):
            raise InputError(f"there is no specialist {order.specialist}: add it")
        if self._standing.shares(order.specialist) == {order.revision: 1.0}:
            raise InputError(f"{order.specialist} is at revision {order.revision} already")
        self._want(number, order, now)

    def _want(self, number: str, order: Order, now: float) -> None:
        if self._succession.rollout(order.specialist) is not None:
            raise InputError(f"{order.specialist} is being replaced: wait, or roll that back")
        key = (order.specialist, order.revision)
        if self._succession.awaited(key[0]) or self._succession.coming(key[0]) not in (None, key[1]):
            raise InputError(
                f"{key[0]}/{self._succession.coming(key[0])} is on its way: wait, or roll that back"
            )
        self._orders.is_about(number, key)
        self._looks.pop(key, None)
        self._standing.reopen(key)
        if order.source:
            old = self._standing.current(order.specialist)
            as_now = self._registry.wanted.get((order.specialist, old.revision)) if old else None
            as_now = as_now or Wanted(specialist=order.specialist)
            self._registry.put_wanted(
                Wanted(
                    specialist=order.specialist,
                    revision=order.revision,
                    source=order.source,
                    workers=order.workers or as_now.workers,
                    engine=order.engine or as_now.engine,
                    title=order.title or as_now.title,
                    texts=order.texts or as_now.texts,
                    has_gate=order.has_gate,
                    filters=as_now.filters if order.filters is None else order.filters,
                )
            )
        self._succession.wait_for(key, now)
        self._orders.tell(order.specialist, f"revision {order.revision} is wanted; its workers load")

    def _rollback(self, number: str, order: Order, now: float) -> None:
        name = order.specialist
        if self._succession.rollout(name) is not None:
            back_at = self._succession.go_back(name, f"{order.actor or 'an operator'} asked for it")
            self._orders.answer(number, f"{name} is at {back_at[1]} again", "done")
            return
        current, coming = self._standing.shares(name), self._succession.coming(name)
        if coming is not None and (current or name != self._config.generalist):
            if self._succession.is_coming_back(name) and order.revision in ("", coming):
                raise InputError(f"{name} goes back to {coming} already, whose workers load: wait")
            note = f"{name}/{coming} is called off: {order.actor or 'an operator'} asked for it"
            self._succession.call_off((name, coming), note, now)
            if order.revision in ("", coming, *current):
                stays = f"stays at {', '.join(current)}" if current else "does not answer"
                self._orders.answer(number, f"{name} {stays}: {coming} is called off", "done")
                return
        before = [
            item
            for item in self._standing.known(name)
            if item.revision not in current and item.state in ADMITTED
        ]
        named = [item for item in before if order.revision in ("", item.revision)]
        if not named:
            raise InputError(f"{name} has no revision {order.revision or 'before this one'} to go back to")
        old = max(named, key=lambda item: item.changed_ms)
        key = (name, old.revision)
        self._orders.is_about(number, key)
        wanted = self._registry.wanted.get(key)
        is_ending = self._drains.stop(key) or (wanted is not None and not wanted.workers)
        self._standing.decide(msgspec.structs.replace(old, state="ready", note=""))
        if self._standing.is_up(old) and not is_ending:
            note = f"rolled back to {old.revision} by {order.actor or 'hand'}"
            self._succession.switch(name, old.revision, note, now)
            return
        wanted = wanted or Wanted(specialist=name, revision=old.revision, source=old.source)
        workers = order.workers or self._workers(name, wanted)
        self._registry.put_wanted(msgspec.structs.replace(wanted, workers=workers))
        self._succession.wait_for(key, now, is_at_once=True)
        self._orders.tell(name, f"revision {old.revision} loads again")

    def _workers(self, name: str, wanted: Wanted) -> int:
        """How many it gets that is brought back: as many as the revision that answers now, or as it had."""
        current, own = self._standing.current(name), self._config.of(name)
        now = self._registry.wanted.get((name, current.revision)) if current is not None else None
        found = [now.workers if now else 0, wanted.workers, wanted.had, own.workers if own else 0, 1]
        return next(workers for workers in found if workers)

    def _remove(self, number: str, order: Order, now: float) -> None:
        self._withdraw(order.specialist, now, is_removed=True)

    def _empty(self, number: str, order: Order, now: float) -> None:
        self._withdraw(order.specialist, now, is_removed=False)

    def _withdraw(self, name: str, now: float, *, is_removed: bool) -> None:
        if name == self._config.generalist:
            raise InputError(f"{name} is the generalist, which answers for everybody: replace it")
        known = self._standing.known(name)
        if not known and not self._standing.shares(name):
            raise InputError(f"there is no specialist {name}")
        note = f"{name} is {'removed' if is_removed else 'drained'}"
        self._succession.forget(name, note)
        self._succession.share_out(name, {}, note, is_removed=is_removed)
        for item in known:
            key = (name, item.revision)
            if item.state in ("loading", "checking") and not is_removed:
                self._succession.call_off(key, note, now)  # or else it would count as one that was let in
            elif is_removed or item.state not in OVER or self._registry.alive(*key):
                self._drains.begin(key, now, is_removed=is_removed)  # though its workers may be dead
        self._orders.tell(name, "it is given no more requests; its workers finish")
        if name not in self._drains:
            self._orders.end((name, ""), f"{name} is gone", "done")

    # Decisions

    def _settle(self, key: Key, revision: Descriptor, now: float) -> None:
        """Keep what was decided about a revision, though its workers say again that they begin."""
        if key[0] in self._orders and self._shown.get(key) != revision.state:
            self._shown[key] = revision.state
            self._orders.tell(key[0], f"{'/'.join(key)}: {revision.state}")
        if revision.state in ("loading", "checking"):
            self._resettle(key, revision, now)
            return
        self._standing.decided[key] = revision
        if revision.state == "draining":
            self._drains.go_on(key)
        if revision.state == "refused" and self._succession.awaited(key[0]) == key[1]:
            self._succession.drop(key, f"refused: {revision.note}")  # its supervisor gave up

    def _resettle(self, key: Key, revision: Descriptor, now: float) -> None:
        decided = self._standing.decided.get(key)
        if decided is None:
            if revision.state == "checking":
                self._examine(key, revision, now)
            return
        try:
            check_fits(decided, revision)
        except InputError as error:
            logs.event("misfit", specialist=key[0], revision=key[1], problem=error.message)
            self._registry.put_descriptor(decided)
            return
        if decided.state == "gone" and revision.state == "checking":
            decided = msgspec.structs.replace(decided, state="ready")
        if decided.state != "gone":
            self._standing.decide(msgspec.structs.replace(decided, source=revision.source or decided.source))

    def _examine(self, key: Key, revision: Descriptor, now: float) -> None:
        name, general = key[0], self._config.generalist
        if key in self._examining or not self._registry.alive(*key):
            return
        if key in self._looks and now < self._looks[key].next_at:
            return
        wanted, own = self._registry.wanted.get(key), self._config.of(name)
        has_gate = wanted.has_gate if wanted else own is None or own.gate != "none"
        texts = Path(wanted.texts) if wanted and wanted.texts else own.texts if own else None
        generalist = self._standing.current(general)
        if name != general and generalist is None:
            return  # it comes first
        old = self._standing.current(name)
        if not has_gate or texts is None or (old is not None and old.revision == revision.revision):
            old = None
        self._examining.add(key)
        is_measured = has_gate and name != general
        self._effects.examine(Examination(revision, texts, generalist if is_measured else None, old))
