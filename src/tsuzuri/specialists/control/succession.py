"""Which revision follows which: awaited until it is up, then given its share, step by step or at once.

What answered before drains. Who is let in is not decided here (`conductor.py`), nor what a step shows
(`rollout.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.control.draining import Drains, Ending
from tsuzuri.specialists.control.orders import Orders
from tsuzuri.specialists.control.rollout import Rollout
from tsuzuri.specialists.control.standing import Standing
from tsuzuri.specialists.messages import Descriptor, Report, State
from tsuzuri.specialists.registry.registry import Key

COMING: tuple[State, ...] = ("loading", "checking", "ready")
"""States of a revision that may yet take over."""


@dataclass(slots=True)
class _Target:
    revision: str
    until: float
    """When its workers have to be there."""
    is_at_once: bool = False


class Succession:
    """Of every specialist."""

    def __init__(
        self, standing: Standing, drains: Drains, orders: Orders, config: SpecialistsConfig, ending: Ending
    ) -> None:
        self._standing, self._drains, self._orders = standing, drains, orders
        self._registry, self._config, self._ending = standing.registry, config, ending
        self._targets: dict[str, _Target] = {}
        self._rollouts: dict[str, Rollout] = {}

    # What is asked for

    def rollout(self, name: str) -> Rollout | None:
        """A specialist's, while there is one."""
        return self._rollouts.get(name)

    def wait_for(self, key: Key, now: float, *, is_at_once: bool = False) -> None:
        """Let a revision take over once its workers are there."""
        until = now + self._config.rollout.load_s
        self._targets[key[0]] = _Target(key[1], until, is_at_once)

    def coming(self, name: str) -> str | None:
        """The revision that is to take over and has no share yet, whoever was told to see to it."""
        if name in self._targets:
            return self._targets[name].revision
        states = {item.revision: item.state for item in self._standing.known(name)}
        current = self._standing.shares(name)
        for (of, revision), wanted in self._registry.wanted.items():
            is_on_its_way = wanted.workers > 0 and states.get(revision, "loading") in COMING
            if of == name and revision not in current and is_on_its_way:
                return revision
        return None

    def is_coming_back(self, name: str) -> bool:
        """Whether what is to take over has answered before."""
        return name in self._targets and self._targets[name].is_at_once

    def call_off(self, key: Key, note: str, now: float) -> None:
        """A revision that has no share yet gets none: it is refused, or gone again if it had answered."""
        if self.is_coming_back(key[0]):
            del self._targets[key[0]]
            self._drains.begin(key, now)
            self._orders.end(key, note, "failed")
            return
        known = self._standing.of(key) or Descriptor(specialist=key[0], revision=key[1], state="refused")
        self._standing.decide(msgspec.structs.replace(known, state="refused", note=note))
        self.drop(key, note)

    def awaited(self, name: str) -> str | None:
        """The revision that takes over once its workers are there."""
        return self._targets[name].revision if name in self._targets else None

    def drop(self, key: Key, note: str) -> None:
        """A revision does not take over, and nobody wants it any more."""
        if self.awaited(key[0]) == key[1]:
            del self._targets[key[0]]
        self._registry.drop_wanted(*key)
        self._ending.drain(key)
        self._orders.end(key, note, "failed")

    def forget(self, name: str, note: str) -> None:
        """Whatever takes over does not: the specialist is withdrawn."""
        rollout, awaited = self._rollouts.pop(name, None), self.awaited(name)
        self._targets.pop(name, None)
        if rollout is not None:
            self._orders.end(rollout.new, note, "failed")
        if awaited is not None:
            self._orders.end((name, awaited), note, "failed")

    def take(self, report: Report) -> None:
        """Note what a gateway saw."""
        for rollout in self._rollouts.values():
            rollout.take(report)

    def go_back(self, name: str, reason: str) -> Key:
        """End a rollout with the revision before it, which is returned."""
        rollout = self._rollouts[name]
        rollout.back(reason)
        self._gone_back(name)
        return rollout.baseline

    def switch(self, name: str, revision: str, note: str, now: float) -> None:
        """Give one revision everything at once; others drain."""
        others = [other for other in self._standing.shares(name) if other != revision]
        self._conclude(name, {revision: 1.0}, note, (name, revision), "done")
        for other in others:
            self._drains.begin((name, other), now)

    def share_out(self, name: str, shares: dict[str, float], note: str, *, is_removed: bool = False) -> None:
        """Share a specialist's requests out anew, and say so."""
        self._standing.share(name, shares, note, is_removed=is_removed)
        self._orders.tell(name, note)

    def _conclude(self, name: str, shares: dict[str, float], note: str, key: Key, state: str) -> None:
        """Share a specialist's requests out anew: the end for who waits for a revision, a step for others."""
        self._standing.share(name, shares, note)
        self._orders.end(key, note, state)
        self._orders.tell(name, note)

    # What is due

    def tick(self, now: float) -> None:
        """Do it."""
        for name in list(self._rollouts):
            self._advance(name, now)
        for name in dict.fromkeys([self._config.generalist, *(key[0] for key in self._registry.descriptors)]):
            if name not in self._rollouts:
                self._enter(name, now)
        for name, target in list(self._targets.items()):
            if now > target.until:
                note = f"no worker of {target.revision} was ready in time"
                self.call_off((name, target.revision), note, now)

    def _enter(self, name: str, now: float) -> None:
        """Give a revision that is ready its requests, if it is its turn."""
        current, target = self._standing.shares(name), self._targets.get(name)
        usable = [
            item
            for item in self._standing.known(name)
            if item.state == "ready" and self._standing.is_up(item)
        ]
        route = self._standing.route.shares.get(name, {})
        if len(route) > 1 or (current and sum(current.values()) < 1):  # somebody else began it
            self._go_on(name, route, now)
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
        self.switch(name, newest.revision, f"{name} answers", now)

    def _begin(self, name: str, target: _Target, now: float) -> None:
        baseline = self._baseline(name, next(iter(self._standing.shares(name)), None))
        if target.is_at_once or baseline is None or baseline == (name, target.revision):
            self.switch(name, target.revision, f"{name} is at {target.revision}", now)
            return
        self._rollouts[name] = Rollout(self._config.rollout, (name, target.revision), baseline, now=now)
        self._show(name)

    def _go_on(self, name: str, route: dict[str, float], now: float) -> None:
        new, *others = route  # as `_show` wrote them
        if (baseline := self._baseline(name, others[0] if others else None)) is not None:
            share = route[new]
            self._rollouts[name] = Rollout(self._config.rollout, (name, new), baseline, now=now, share=share)

    def _baseline(self, name: str, old: str | None) -> Key | None:
        """What a new revision is compared with: the old one, or for a new specialist the generalist."""
        if old is not None:
            return name, old
        generalist = self._standing.current(self._config.generalist)
        return None if generalist is None else (generalist.specialist, generalist.revision)

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
        note = f"{'/'.join(rollout.new)} has taken over"
        if rollout.baseline[0] == name:
            self._conclude(name, {rollout.new[1]: 1.0}, note, rollout.new, "done")
            self._drains.begin(rollout.baseline, now)
        else:
            self._orders.end(rollout.new, note, "done")

    def _show(self, name: str) -> None:
        """Say how the requests for a specialist are shared out by its rollout: the new revision first, and
        the old one though it gets none in the last step, so that another controller can go on."""
        rollout = self._rollouts[name]
        shares = {rollout.new[1]: rollout.share}
        if rollout.baseline[0] == name:
            shares[rollout.baseline[1]] = 1 - rollout.share
        self.share_out(name, shares, f"{'/'.join(rollout.new)} gets {rollout.share:.0%}")

    def _gone_back(self, name: str) -> None:
        rollout = self._rollouts.pop(name)
        note = f"{'/'.join(rollout.new)} is rolled back: {rollout.reason}"
        shares = {rollout.baseline[1]: 1.0} if rollout.baseline[0] == name else {}
        self._conclude(name, shares, note, rollout.new, "failed")
        refused = self._registry.descriptors.get(rollout.new)
        if refused is not None:
            self._standing.decide(
                msgspec.structs.replace(refused, state="refused", note=f"rolled back: {rollout.reason}")
            )
        self.drop(rollout.new, note)

    def _is_expected(self, key: Key) -> bool:
        """Whether workers of a revision live, or are wanted."""
        return bool(self._registry.alive(*key)) or self._standing.is_wanted(key)
