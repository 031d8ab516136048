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
from tsuzuri.specialists.admission import check_fits
from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.messages import Descriptor, Order, Report, Route, Wanted
from tsuzuri.specialists.registry import Key, Registry
from tsuzuri.specialists.rollout import Rollout

SETTLE_S = 1.0
"""After a route was changed, until gateways that had not read it have sent what they would."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What is to be looked at."""

    revision: Descriptor
    texts: Path | None
    generalist: Descriptor | None
    """That it has to beat; none: it need not."""
    old: Descriptor | None
    """That it must not be much worse than."""


class Effects(Protocol):
    """What a conductor has done by others. None of these may block for long."""

    def examine(self, task: Examination) -> None:
        """Look at a revision; the conductor's `decide` is called at the end."""

    def drain(self, key: Key) -> None:
        """Let the workers of a revision finish and end."""

    def lag(self, key: Key) -> int:
        """Requests for a revision that nobody has worked off."""

    def tell(self, order: str, text: str, state: str) -> None:
        """An order's next step, or its end."""

    def forget(self, key: Key) -> None:
        """Remove what was kept for a revision."""


@dataclass(slots=True)
class _Target:
    revision: str
    until: float
    """When its workers have to be there."""
    is_at_once: bool = False


@dataclass(slots=True)
class _Drain:
    began: float
    is_told: bool = False
    is_removed: bool = False


class Conductor:
    """Decides for one alias."""

    def __init__(self, registry: Registry, config: SpecialistsConfig, effects: Effects, writer: str) -> None:
        self._registry, self._config, self._effects, self._writer = registry, config, effects, writer
        self._decided: dict[Key, Descriptor] = {}
        self._examining: set[Key] = set()
        self._targets: dict[str, _Target] = {}
        self._rollouts: dict[str, Rollout] = {}
        self._drains: dict[Key, _Drain] = {}
        self._orders: dict[str, list[str]] = {}
        self._shown: dict[Key, str] = {}
        self._stale: dict[Key, Descriptor] = {}
        """What was read of a revision before the last word about it: it counts no more."""
        self._again: set[Key] = set()
        """Of these, those that are to be looked at again once a worker lives."""
        self._put: Route | None = None

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
        self._decide(revision)
        if revision.state == "refused":
            self._stop(key)
            self._end(key[0], f"refused: {revision.note}", "failed")
        else:
            self._tell(key[0], f"{'/'.join(key)} is admitted{': ' * bool(revision.note)}{revision.note}")

    def tick(self, now: float) -> None:
        """Do what is due."""
        descriptors = self._registry.descriptors
        for key, revision in descriptors.items():
            self._settle(key, revision)
        for specialist in list(self._rollouts):
            self._advance(specialist, now)
        for specialist in dict.fromkeys([self._config.generalist, *(key[0] for key in descriptors)]):
            if specialist not in self._rollouts:
                self._enter(specialist, now)
        for specialist, target in list(self._targets.items()):
            if now > target.until:
                del self._targets[specialist]
                self._stop((specialist, target.revision))
                self._end(specialist, f"no worker of {target.revision} was ready in time", "failed")
        for key, drain in list(self._drains.items()):
            self._drain(key, drain, now)

    # Orders

    def _add(self, order: Order, now: float) -> None:
        if self._shares(order.specialist):
            raise InputError(f"there is a specialist {order.specialist} already: replace it")
        self._want(order, now)

    def _replace(self, order: Order, now: float) -> None:
        if not self._shares(order.specialist) and not self._known(order.specialist):
            raise InputError(f"there is no specialist {order.specialist}: add it")
        if self._shares(order.specialist) == {order.revision: 1.0}:
            raise InputError(f"{order.specialist} is at revision {order.revision} already")
        self._want(order, now)

    def _want(self, order: Order, now: float) -> None:
        if order.specialist in self._rollouts:
            raise InputError(f"{order.specialist} is being replaced: wait, or roll that back")
        key = (order.specialist, order.revision)
        known = self._registry.descriptors.get(key)
        if known is not None and known.state in ("refused", "gone"):
            self._decided.pop(key, None)
            self._stale[key] = known
            self._again.add(key)
        if order.source or order.engine:
            self._registry.put_wanted(
                Wanted(
                    specialist=order.specialist,
                    revision=order.revision,
                    source=order.source,
                    workers=order.workers,
                    engine=order.engine,
                    title=order.title,
                    texts=order.texts,
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
        current = self._shares(name)
        before = [
            item for item in self._known(name) if item.revision not in current and item.state != "refused"
        ]
        named = [item for item in before if order.revision in ("", item.revision)]
        if not named:
            raise InputError(f"{name} has no revision {order.revision or 'before this one'} to go back to")
        old = max(named, key=lambda item: item.changed_ms)
        key = (name, old.revision)
        self._drains.pop(key, None)
        self._decide(msgspec.structs.replace(old, state="ready", note=""))
        if self._is_up(old):
            self._switch(name, old.revision, f"rolled back to {old.revision} by {order.actor or 'hand'}", now)
            return
        wanted = self._registry.wanted.get(key) or Wanted(
            specialist=name, revision=old.revision, source=old.source
        )
        self._registry.put_wanted(msgspec.structs.replace(wanted, workers=max(1, order.workers)))
        self._targets[name] = _Target(old.revision, now + self._config.rollout.load_s, is_at_once=True)
        self._tell(name, f"revision {old.revision} loads again")

    def _remove(self, order: Order, now: float) -> None:
        self._withdraw(order.specialist, now, is_removed=True)

    def _empty(self, order: Order, now: float) -> None:
        self._withdraw(order.specialist, now, is_removed=False)

    def _withdraw(self, name: str, now: float, *, is_removed: bool) -> None:
        if name == self._config.generalist:
            raise InputError(f"{name} is the generalist, which answers for everybody: replace it")
        known = self._known(name)
        if not known and not self._shares(name):
            raise InputError(f"there is no specialist {name}")
        self._rollouts.pop(name, None)
        self._targets.pop(name, None)
        self._share(name, {}, f"{name} is {'removed' if is_removed else 'drained'}", is_removed=is_removed)
        for item in known:
            key = (name, item.revision)
            if is_removed or self._registry.alive(*key):
                self._begin_drain(key, now, is_removed=is_removed)
        self._tell(name, "it is given no more requests; its workers finish")

    # Decisions

    def _settle(self, key: Key, revision: Descriptor) -> None:
        """Keep what was decided about a revision, though its workers say again that they begin."""
        if revision == self._stale.get(key):
            if key in self._again and self._registry.alive(*key):
                self._again.discard(key)
                self._registry.put_descriptor(msgspec.structs.replace(revision, state="checking", note=""))
            return
        self._stale.pop(key, None)
        self._again.discard(key)
        if self._orders.get(key[0]) and self._shown.get(key) != revision.state:
            self._shown[key] = revision.state
            self._tell(key[0], f"{'/'.join(key)}: {revision.state}")
        if revision.state in ("loading", "checking"):
            self._resettle(key, revision)
            return
        self._decided[key] = revision
        if revision.state == "draining":
            self._drains.setdefault(key, _Drain(0.0))
        target = self._targets.get(key[0])
        if revision.state == "refused" and target is not None and target.revision == key[1]:
            del self._targets[key[0]]  # its supervisor gave up
            self._stop(key)
            self._end(key[0], f"refused: {revision.note}", "failed")

    def _resettle(self, key: Key, revision: Descriptor) -> None:
        decided = self._decided.get(key)
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
            self._decide(msgspec.structs.replace(decided, source=revision.source or decided.source))

    def _examine(self, key: Key, revision: Descriptor) -> None:
        name, general = key[0], self._config.generalist
        if key in self._examining or not self._registry.alive(*key):
            return
        wanted, own = self._registry.wanted.get(key), self._config.of(name)
        has_gate = wanted.has_gate if wanted else own is None or own.gate != "none"
        texts = Path(wanted.texts) if wanted and wanted.texts else own.texts if own else None
        generalist = self._current(general)
        if name != general and generalist is None:
            return  # it comes first
        self._examining.add(key)
        self._effects.examine(
            Examination(
                revision,
                texts,
                generalist if has_gate and name != general else None,
                self._current(name) if texts is not None else None,
            )
        )

    def _decide(self, revision: Descriptor) -> None:
        key = (revision.specialist, revision.revision)
        self._decided[key] = revision
        if (seen := self._registry.descriptors.get(key)) is not None:
            self._stale[key] = seen
        self._registry.put_descriptor(revision)
        logs.event(
            "revision",
            specialist=revision.specialist,
            revision=revision.revision,
            state=revision.state,
            note=revision.note,
            bpb=revision.domain_bpb,
            generalist_bpb=revision.generalist_bpb,
        )

    def _enter(self, name: str, now: float) -> None:
        """Give a revision that is ready its requests, if it is its turn."""
        current, target = self._shares(name), self._targets.get(name)
        usable = [item for item in self._known(name) if item.state == "ready" and self._is_up(item)]
        if len(current) > 1:  # somebody else began it
            self._go_on(name, current, now)
            return
        if target is not None:
            if any(item.revision == target.revision for item in usable):
                del self._targets[name]
                self._begin(name, target, now)
            return
        pending = [item for item in usable if item.revision not in current and self._is_wanted(item)]
        if current and pending:  # of an order that another controller was given
            newest = max(pending, key=lambda item: item.changed_ms)
            self._begin(name, _Target(newest.revision, now), now)
            return
        if not usable or any(self._is_expected(name, revision) for revision in current):
            return
        newest = max(usable, key=lambda item: item.changed_ms)
        self._switch(name, newest.revision, f"{name} answers", now)

    def _begin(self, name: str, target: _Target, now: float) -> None:
        old = next(iter(self._shares(name)), None)
        baseline = (name, old) if old else None
        if not old and (generalist := self._current(self._config.generalist)) is not None:
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
            self._begin_drain(rollout.baseline, now)
        self._end(name, f"{'/'.join(rollout.new)} has taken over", "done")

    def _show(self, name: str) -> None:
        """Say how the requests for a specialist are shared out by its rollout."""
        rollout = self._rollouts[name]
        shares = {rollout.new[1]: rollout.share}
        if rollout.baseline[0] == name:
            shares[rollout.baseline[1]] = 1 - rollout.share
        self._share(name, shares, f"{'/'.join(rollout.new)} gets {rollout.share:.0%}")

    def _gone_back(self, name: str) -> None:
        rollout = self._rollouts.pop(name)
        note = f"{'/'.join(rollout.new)} is rolled back: {rollout.reason}"
        self._share(name, {rollout.baseline[1]: 1.0} if rollout.baseline[0] == name else {}, note)
        refused = self._registry.descriptors.get(rollout.new)
        if refused is not None:
            self._decide(
                msgspec.structs.replace(refused, state="refused", note=f"rolled back: {rollout.reason}")
            )
        self._stop(rollout.new)
        self._end(name, note, "failed")

    def _switch(self, name: str, revision: str, note: str, now: float) -> None:
        """Give one revision everything at once; others drain."""
        others = [other for other in self._shares(name) if other != revision]
        self._share(name, {revision: 1.0}, note)
        for other in others:
            self._begin_drain((name, other), now)
        self._end(name, note, "done")

    def _stop(self, key: Key) -> None:
        self._registry.drop_wanted(*key)
        self._effects.drain(key)

    # Draining

    def _begin_drain(self, key: Key, now: float, *, is_removed: bool = False) -> None:
        self._drains[key] = _Drain(now, is_removed=is_removed)
        if (revision := self._registry.descriptors.get(key)) is not None:
            self._decide(msgspec.structs.replace(revision, state="draining"))

    def _drain(self, key: Key, drain: _Drain, now: float) -> None:
        elapsed_s = now - drain.began
        if not drain.is_told:
            is_over = elapsed_s > self._config.rollout.drain_s
            if elapsed_s < SETTLE_S or not (is_over or self._effects.lag(key) == 0):
                return
            drain.is_told = True
            if (wanted := self._registry.wanted.get(key)) is not None:  # so that it can be brought back
                self._registry.put_wanted(msgspec.structs.replace(wanted, workers=0))
            self._effects.drain(key)
        if self._registry.alive(*key):
            return
        del self._drains[key]
        if drain.is_removed:
            self._decided.pop(key, None)
            self._registry.drop_descriptor(*key)
            self._registry.drop_wanted(*key)
            self._effects.forget(key)
        elif (revision := self._registry.descriptors.get(key)) is not None:
            self._decide(msgspec.structs.replace(revision, state="gone"))
        if key[0] not in (other[0] for other in self._drains) and not self._shares(key[0]):
            self._end(key[0], f"{key[0]} is gone", "done")

    # What there is

    @property
    def _route(self) -> Route:
        """As it was put last, by whomever."""
        seen = self._registry.route(self._config.alias)
        known = [item for item in (seen, self._put) if item is not None]
        default = Route(epoch=0, generalist=self._config.generalist, mode=self._config.mode)
        return max(known, key=lambda item: item.epoch, default=default)

    def _shares(self, name: str) -> dict[str, float]:
        return {key: share for key, share in self._route.shares.get(name, {}).items() if share > 0}

    def _share(self, name: str, shares: dict[str, float], note: str, *, is_removed: bool = False) -> None:
        route = self._route
        every = {**route.shares, name: shares}
        if is_removed:
            del every[name]
        route = Route(
            epoch=route.epoch,
            shares=every,
            generalist=self._config.generalist,
            mode=self._config.mode,
            note=note,
            writer=self._writer,
        )
        self._put = self._registry.put_route(self._config.alias, route)
        logs.event("route", alias=self._config.alias, epoch=self._put.epoch, note=note)
        self._tell(name, note)

    def _known(self, name: str) -> list[Descriptor]:
        """A specialist's revisions, as decided where a decision is newer than what is seen."""
        seen = {key: item for key, item in self._registry.descriptors.items() if key[0] == name}
        return [self._decided.get(key, item) for key, item in seen.items()]

    def _current(self, name: str) -> Descriptor | None:
        """The revision that answers for a specialist, or would if it were up."""
        shares = self._shares(name)
        found = [item for item in self._known(name) if item.revision in shares]
        return max(found, key=lambda item: shares[item.revision], default=None)

    def _is_expected(self, name: str, revision: str) -> bool:
        """Whether workers of a revision live, or are wanted."""
        wanted = self._registry.wanted.get((name, revision))
        return bool(self._registry.alive(name, revision) or (wanted and wanted.workers))

    def _is_wanted(self, revision: Descriptor) -> bool:
        wanted = self._registry.wanted.get((revision.specialist, revision.revision))
        return wanted is not None and wanted.workers > 0

    def _is_up(self, revision: Descriptor) -> bool:
        beats = self._registry.alive(revision.specialist, revision.revision)
        return any(beat.state in ("checking", "ready") for beat in beats)

    def _tell(self, name: str, text: str) -> None:
        for number in self._orders.get(name, []):
            self._effects.tell(number, text, "working")

    def _end(self, name: str, text: str, state: str) -> None:
        for number in self._orders.pop(name, []):
            self._effects.tell(number, text, state)
