"""Who lives of those that a route names, and which of them a request goes to."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from tsuzuri.specialists.messages import Ask, Body, Descriptor, Route
from tsuzuri.specialists.registry.registry import Key, Registry
from tsuzuri.specialists.registry.shares import pick

IDLE_BEATS = 3
"""In a row, from which on a worker that says that it has room is believed."""
KNOWN = 1024
"""Workers of which it is known what they are, though they may be gone."""
UP = ("checking", "ready")
"""States of workers that answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """Who is sent a request."""

    specialist: str
    revision: str
    tokenizer: str = ""
    epoch: int = 0
    note: str = ""
    """Why not the one that was asked for."""

    @property
    def key(self) -> tuple[str, str]:
        """Specialist and revision."""
        return self.specialist, self.revision


class Living:
    """The workers that answer, as they were when last looked at."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.version = 0
        """Another one after every look."""
        self.routes: dict[str, Route] = {}
        self.descriptors: dict[Key, Descriptor] = {}
        self.live: dict[Key, list[str]] = {}
        """Their instances."""
        self.slots: dict[Key, int] = {}
        """Requests that all of a revision write together."""
        self.homes: OrderedDict[str, Key] = OrderedDict()
        """The revision of each instance, also of those that went lately."""
        self._up: dict[str, list[str]] = {}
        self._idle: dict[str, tuple[int, int]] = {}
        """The last beat of a worker, and how many before it said that it has room and nobody waits."""

    def up(self, alias: str) -> list[str]:
        """Specialists of an alias that answer now."""
        return self._up.get(alias, [])

    def target(
        self, alias: str, specialist: str, key: str, *, is_strict: bool, body: Body | None = None
    ) -> Target | None:
        """Who is to be sent a request: as the route shares them out by its key, of those that live; nobody
        else than the specialist who could not read it."""
        route = self.routes.get(alias)
        if route is None:
            return None
        chosen, note = pick(route, specialist, key), ""
        if chosen is not None and chosen[0] != specialist:
            note = f"of the requests for {specialist} a share goes to {chosen[0]}"
            if not self._can_read(chosen, body):
                chosen, note = self._instead(route.shares, [specialist]), ""
        if chosen is None or chosen not in self.live or (is_strict and chosen[0] != specialist):
            names: Collection[str] = [specialist] if is_strict else (specialist, route.generalist)
            chosen = self._instead(route.shares, names)
            if chosen is None or (chosen[0] != specialist and not self._can_read(chosen, body)):
                return None
            note = "" if is_strict else f"nobody who should answer for {specialist} is up"
        descriptor = self.descriptors.get(chosen)
        tokenizer = descriptor.tokenizer_sha256 if descriptor else ""
        return Target(*chosen, tokenizer=tokenizer, epoch=route.epoch, note=note)

    def has_room(self, key: Key) -> bool:
        """Whether a worker of a revision has said for some beats that it could begin with more."""
        return any(self._idle.get(name, (0, 0))[1] >= IDLE_BEATS for name in self.live.get(key, ()))

    def refresh(self) -> None:
        """Look anew who lives."""
        live: defaultdict[Key, list[str]] = defaultdict(list)
        slots: defaultdict[Key, int] = defaultdict(int)
        idle, self._idle = self._idle, {}
        for instance, beat in self._registry.beats.items():
            at_ms, beats = idle.get(instance, (0, 0))
            if beat.running >= beat.slots or beat.waiting:
                beats = 0
            elif beat.at_ms != at_ms:
                beats += 1
            self._idle[instance] = beat.at_ms, beats
            self.homes[instance] = beat.specialist, beat.revision
            if beat.state in UP:
                live[beat.specialist, beat.revision].append(instance)
                slots[beat.specialist, beat.revision] += beat.slots
        while len(self.homes) > KNOWN:
            self.homes.popitem(last=False)
        self.live, self.slots = dict(live), dict(slots)
        self.routes, self.descriptors = self._registry.routes, self._registry.descriptors
        self._up = {
            alias: [name for name in route.shares if self._instead(route.shares, [name])]
            for alias, route in self.routes.items()
        }
        self.version += 1

    def _can_read(self, key: Key, body: Body | None) -> bool:
        """Whether a revision reads what a request holds, as far as is known."""
        known = self.descriptors.get(key)
        if known is None or not isinstance(body, Ask):
            return True
        return (known.has_chat or not body.messages) and (
            not body.ids or known.tokenizer_sha256 == body.tokenizer
        )

    def _instead(self, shares: dict[str, dict[str, float]], names: Collection[str]) -> Key | None:
        for name in names:
            of = shares.get(name, {})
            living = [
                revision for revision, share in of.items() if share > 0 and (name, revision) in self.live
            ]
            if living:
                return name, max(living, key=lambda revision: of[revision])
        return None
