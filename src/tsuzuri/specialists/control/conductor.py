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
from tsuzuri.specialists.control.rollout import Rollout
from tsuzuri.specialists.control.standing import Standing
from tsuzuri.specialists.messages import Descriptor, Order, Report, Wanted
from tsuzuri.specialists.registry.registry import Key, Registry


@dataclass(frozen=True, slots=True)
class Examination:
    """What is to be looked at."""

    revision: Descriptor
    texts: Path | None
    generalist: Descriptor | None
    """That it has to beat; none: it need not."""
    old: Descriptor | None
    """That it must not be much worse than."""


class Effects(Ending, Protocol):
    """What a conductor has done by others. None of these may block for long."""

    def examine(self, task: Examination) -> None:
        """Look at a revision; the conductor's `decide` is called at the end."""

    def tell(self, order: str, text: str, state: str) -> None:
        """An order's next step, or its end."""


@dataclass(slots=True)
class _Target:
    revision: str
    until: float
    """When its workers have to be there."""
    is_at_once: bool = False


class Conductor:
    """Decides for one alias."""

    def __init__(self, registry: Registry, config: SpecialistsConfig, effects: Effects, writer: str) -> None:
        self._registry, self._config, self._effects = registry, config, effects
        self._standing = Standing(registry, config, writer)
        self._drains = Drains(self._standing, effects, config.rollout.drain_s)
        self._examining: set[Key] = set()
        self._targets: dict[str, _Target] = {}
        self._rollouts: dict[str, Rollout] = {}
        self._orders: dict[str, list[str]] = {}
        self._shown: dict[Key, str] = {}

    # What comes in

    def order(self, number: str, order: Order, now: float) -> None:
        """Do what an operator asks, or say why not."""
        name = order.specialist
        actions: dict[str, Callable[[Order, float], None]] = {
            "add": self._add,
            "replace": self._replace,
            "rollback": self._rollback,
            "remove": self._remove,
            "drain": self._empty,
        }
        self._orders.setdefault(name, []).append(number)
        try:
            actions[order.verb](order, now)
        except InputError as error:
            self._orders[name].remove(number)
            self._effects.tell(number, error.message, "failed")

    def report(self, report: Report) -> None:
        """Note what a gateway saw."""
        for rollout in self._rollouts.values():
            rollout.take(report)

    def decide(self, revision: Descriptor | None, key: Key) -> None:
        """The end of an examination: the revision, ready or refused; None: it is to be looked at again."""
        self._examining.discard(key)
        if revision is None:
            return
        self._standing.decide(revision)
        if revision.state == "refused":
            self._stop(key)
            self._end(key[0], f"refused: {revision.note}", "failed")
        else:
            self._tell(key[0], f"{'/'.join(key)} is admitted{': ' * bool(revision.note)}{revision.note}")

    def tick(self, now: float) -> None:
        """Do what is due."""
        for key, revision in list(self._standing.news()):
            self._settle(key, revision)
        for specialist in list(self._rollouts):
            self._advance(specialist, now)
        for specialist in dict.fromkeys(
            [self._config.generalist, *(key[0] for key in self._registry.descriptors)]
        ):
            if specialist not in self._rollouts:
                self._enter(specialist, now)
        for specialist, target in list(self._targets.items()):
            if now > target.until:
                del self._targets[specialist]
                self._stop((specialist, target.revision))
                self._end(specialist, f"no worker of {target.revision} was ready in time", "failed")
        for name, _ in self._drains.tick(now):
            if name not in self._drains and not self._standing.shares(name):
                self._end(name, f"{name} is gone", "done")

    # Orders

    def _add(self, order: Order, now: float) -> None:
        if self._standing.shares(order.specialist):
            raise InputError(f"there is a specialist {order.specialist} already: replace it")
        self._want(order, now)

    def _replace(self, order: Order, now: float) -> None:
        if not self._standing.shares(order.specialist) and not self._standing.known(order.specialist):
            raise InputError(f"there is no specialist {order.specialist}: add it")
        if self._standing.shares(order.specialist) == {order.revision: 1.0}:
            raise InputError(f"{order.specialist} is at revision {order.revision} already")
        self._want(order, now)

    def _want(self, order: Order, now: float) -> None:
        if order.specialist in self._rollouts:
            raise InputError(f"{order.specialist} is being replaced: wait, or roll that back")
        key = (order.specialist, order.revision)
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
                )
            )
        self._targets[order.specialist] = _Target(order.revision, now + self._config.rollout.load_s)
        self._tell(order.specialist, f"revision {order.revision} is wanted; its workers load")

    def _rollback(self, order: Order, now: float) -> None:
        name = order.specialist
        if (rollout := self._rollouts.get(name)) is not None:
            number = self._orders[name].pop()  # to which this is no failure
            rollout.back(f"{order.actor or 'an operator'} asked for it")
            self._gone_back(name)
            self._effects.tell(number, f"{name} is at {rollout.baseline[1]} again", "done")
            return
        current = self._standing.shares(name)
        before = [
            item
            for item in self._standing.known(name)
            if item.revision not in current and item.state != "refused"
        ]
        named = [item for item in before if order.revision in ("", item.revision)]
        if not named:
            raise InputError(f"{name} has no revision {order.revision or 'before this one'} to go back to")
        old = max(named, key=lambda item: item.changed_ms)
        key = (name, old.revision)
        self._drains.stop(key)
        self._standing.decide(msgspec.structs.replace(old, state="ready", note=""))
        if self._standing.is_up(old):
            self._switch(name, old.revision, f"rolled back to {old.revision} by {order.actor or 'hand'}", now)
            return
        wanted = self._registry.wanted.get(key) or Wanted(
            specialist=name, revision=old.revision, source=old.source
        )
        self._registry.put_wanted(
            msgspec.structs.replace(wanted, workers=order.workers or max(1, wanted.workers))
        )
        self._targets[name] = _Target(old.revision, now + self._config.rollout.load_s, is_at_once=True)
        self._tell(name, f"revision {old.revision} loads again")

    def _remove(self, order: Order, now: float) -> None:
        self._withdraw(order.specialist, now, is_removed=True)

    def _empty(self, order: Order, now: float) -> None:
        self._withdraw(order.specialist, now, is_removed=False)

    def _withdraw(self, name: str, now: float, *, is_removed: bool) -> None:
        if name == self._config.generalist:
            raise InputError(f"{name} is the generalist, which answers for everybody: replace it")
        known = self._standing.known(name)
        if not known and not self._standing.shares(name):
            raise InputError(f"there is no specialist {name}")
        self._rollouts.pop(name, None)
        self._targets.pop(name, None)
        self._share_out(
            name, {}, f"{name} is {'removed' if is_removed else 'drained'}", is_removed=is_removed
        )
        for item in known:
            key = (name, item.revision)
            if is_removed or self._registry.alive(*key):
                self._drains.begin(key, now, is_removed=is_removed)
        self._tell(name, "it is given no more requests; its workers finish")

    # Decisions

    def _settle(self, key: Key, revision: Descriptor) -> None:
        """Keep what was decided about a revision, though its workers say again that they begin."""
        if self._orders.get(key[0]) and self._shown.get(key) != revision.state:
            self._shown[key] = revision.state
            self._tell(key[0], f"{'/'.join(key)}: {revision.state}")
        if revision.state in ("loading", "checking"):
            self._resettle(key, revision)
            return
        self._standing.decided[key] = revision
        if revision.state == "draining":
            self._drains.go_on(key)
        target = self._targets.get(key[0])
        if revision.state == "refused" and target is not None and target.revision == key[1]:
            del self._targets[key[0]]  # its supervisor gave up
            self._stop(key)
            self._end(key[0], f"refused: {revision.note}", "failed")

    def _resettle(self, key: Key, revision: Descriptor) -> None:
        decided = self._standing.decided.get(key)
        if decided is None:
            if revision.state == "checking":
                self._examine(key, revision)
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

    def _examine(self, key: Key, revision: Descriptor) -> None:
        name, general = key[0], self._config.generalist
        if key in self._examining or not self._registry.alive(*key):
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

    def _enter(self, name: str, now: float) -> None:
        """Give a revision that is ready its requests, if it is its turn."""
        current, target = self._standing.shares(name), self._targets.get(name)
        usable = [
            item
            for item in self._standing.known(name)
            if item.state == "ready" and self._standing.is_up(item)
        ]
        if len(current) > 1:  # somebody else began it
            self._go_on(name, current, now)
            return
        if target is not None:
            if any(item.revision == target.revision for item in usable):
                del self._targets[name]
                self._begin(name, target, now)
            return
        pending = [
            item
            for item in usable
            if item.revision not in current and self._standing.is_wanted((name, item.revision))
        ]
        if current and pending:  # of an order that another controller was given
            newest = max(pending, key=lambda item: item.changed_ms)
            self._begin(name, _Target(newest.revision, now), now)
            return
        if not usable or any(self._is_expected((name, revision)) for revision in current):
            return
        newest = max(usable, key=lambda item: item.changed_ms)
        self._switch(name, newest.revision, f"{name} answers", now)

    def _begin(self, name: str, target: _Target, now: float) -> None:
        old = next(iter(self._standing.shares(name)), None)
        baseline = (name, old) if old else None
        if not old and (generalist := self._standing.current(self._config.generalist)) is not None:
            baseline = (generalist.specialist, generalist.revision)
        if target.is_at_once or baseline is None or baseline == (name, target.revision):
            self._switch(name, target.revision, f"{name} is at {target.revision}", now)
            return
        self._rollouts[name] = Rollout(self._config.rollout, (name, target.revision), baseline, now=now)
        self._show(name)

    def _go_on(self, name: str, current: dict[str, float], now: float) -> None:
        known = self._registry.descriptors
        ages = {revision: item.changed_ms for revision in current if (item := known.get((name, revision)))}
        new = max(ages, key=lambda revision: ages[revision], default=max(current))
        old = next(revision for revision in current if revision != new)
        share = current[new]
        self._rollouts[name] = Rollout(self._config.rollout, (name, new), (name, old), now=now, share=share)

    def _advance(self, name: str, now: float) -> None:
        rollout = self._rollouts[name]
        if not rollout.look(now, is_alive=bool(self._registry.alive(*rollout.new))):
            return
        if rollout.state == "back":
            self._gone_back(name)
            return
        if rollout.state == "ramping":
            self._show(name)
            return
        del self._rollouts[name]
        if rollout.baseline[0] == name:
            self._drains.begin(rollout.baseline, now)
        self._end(name, f"{'/'.join(rollout.new)} has taken over", "done")

    def _show(self, name: str) -> None:
        """Say how the requests for a specialist are shared out by its rollout."""
        rollout = self._rollouts[name]
        shares = {rollout.new[1]: rollout.share}
        if rollout.baseline[0] == name:
            shares[rollout.baseline[1]] = 1 - rollout.share
        self._share_out(name, shares, f"{'/'.join(rollout.new)} gets {rollout.share:.0%}")

    def _gone_back(self, name: str) -> None:
        rollout = self._rollouts.pop(name)
        note = f"{'/'.join(rollout.new)} is rolled back: {rollout.reason}"
        self._share_out(name, {rollout.baseline[1]: 1.0} if rollout.baseline[0] == name else {}, note)
        refused = self._registry.descriptors.get(rollout.new)
        if refused is not None:
            self._standing.decide(
                msgspec.structs.replace(refused, state="refused", note=f"rolled back: {rollout.reason}")
            )
        self._stop(rollout.new)
        self._end(name, note, "failed")

    def _switch(self, name: str, revision: str, note: str, now: float) -> None:
        """Give one revision everything at once; others drain."""
        others = [other for other in self._standing.shares(name) if other != revision]
        self._share_out(name, {revision: 1.0}, note)
        for other in others:
            self._drains.begin((name, other), now)
        self._end(name, note, "done")

    def _stop(self, key: Key) -> None:
        self._registry.drop_wanted(*key)
        self._effects.drain(key)

    # Telling

    def _is_expected(self, key: Key) -> bool:
        """Whether workers of a revision live, or are wanted."""
        return bool(self._registry.alive(*key)) or self._standing.is_wanted(key)

    def _share_out(self, name: str, shares: dict[str, float], note: str, *, is_removed: bool = False) -> None:
        self._standing.share(name, shares, note, is_removed=is_removed)
        self._tell(name, note)

    def _tell(self, name: str, text: str) -> None:
        for number in self._orders.get(name, []):
            self._effects.tell(number, text, "working")

    def _end(self, name: str, text: str, state: str) -> None:
        for number in self._orders.pop(name, []):
            self._effects.tell(number, text, state)
