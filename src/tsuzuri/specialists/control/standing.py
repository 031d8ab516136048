"""How things stand for whoever decides: what the registry says, and its own last words where those are newer.

What was said here is read back a moment later; until then the view is stale and counts no more.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tsuzuri.serving import logs
from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.messages import Descriptor, Route
from tsuzuri.specialists.registry.registry import Key, Registry

UP = ("checking", "ready")
"""States of workers that answer."""
OVER = ("refused", "gone")
"""States of revisions that were decided against."""


class Standing:
    """Revisions, their workers, and the route of one alias."""

    def __init__(self, registry: Registry, config: SpecialistsConfig, writer: str) -> None:
        self.registry = registry
        self._config, self._writer = config, writer
        self.decided: dict[Key, Descriptor] = {}
        """The last word about a revision."""
        self._stale: dict[Key, tuple[Descriptor, ...]] = {}
        """What may still be read of a revision though it was said before that."""
        self._again: set[Key] = set()
        """Revisions that are to be looked at again once a worker lives."""
        self._put: Route | None = None

    # Revisions

    def news(self) -> Iterator[tuple[Key, Descriptor]]:
        """Every revision as it is said to be, but what is stale."""
        for key, revision in self.registry.descriptors.items():
            if revision not in self._stale.get(key, ()):
                self._stale.pop(key, None)
                self._again.discard(key)
                yield key, revision
            elif key in self._again and self.registry.alive(*key):
                self._again.discard(key)
                if revision.state in OVER:
                    self.registry.put_descriptor(msgspec.structs.replace(revision, state="checking", note=""))
                else:  # its new worker announced itself before the order to look again was read
                    del self._stale[key]
                    yield key, revision

    def decide(self, revision: Descriptor) -> None:
        """Say the last word about a revision."""
        key = (revision.specialist, revision.revision)
        if (seen := self.registry.descriptors.get(key)) is not None:
            self._stale[key] = (seen,)
        self.decided[key] = self.registry.put_descriptor(revision)
        logs.event(
            "revision",
            specialist=revision.specialist,
            revision=revision.revision,
            state=revision.state,
            note=revision.note,
            bpb=revision.domain_bpb,
            generalist_bpb=revision.generalist_bpb,
        )

    def reopen(self, key: Key) -> None:
        """Take back what was decided against a revision: it is looked at again."""
        seen, decided = self.registry.descriptors.get(key), self.decided.get(key)
        found = [item for item in (seen, decided) if item is not None]
        if any(item.state in OVER for item in found):
            self.decided.pop(key, None)
            self._stale[key] = tuple(found)
            self._again.add(key)

    def of(self, key: Key) -> Descriptor | None:
        """A revision, by the last word about it."""
        return self.decided.get(key, self.registry.descriptors.get(key))

    def forget(self, key: Key) -> None:
        """Say nothing about a revision any more, and want none of it."""
        for said in (self.decided, self._stale):
            said.pop(key, None)
        self._again.discard(key)
        self.registry.drop_descriptor(*key)
        self.registry.drop_wanted(*key)

    def known(self, name: str) -> list[Descriptor]:
        """A specialist's revisions."""
        seen = {key: item for key, item in self.registry.descriptors.items() if key[0] == name}
        return [self.decided.get(key, item) for key, item in seen.items()]

    def current(self, name: str) -> Descriptor | None:
        """The revision that answers for a specialist, or would if it were up."""
        shares = self.shares(name)
        found = [item for item in self.known(name) if item.revision in shares]
        return max(found, key=lambda item: shares[item.revision], default=None)

    # Workers

    def is_up(self, revision: Descriptor) -> bool:
        """Whether it has a worker that answers."""
        beats = self.registry.alive(revision.specialist, revision.revision)
        return any(beat.state in UP for beat in beats)

    def is_wanted(self, key: Key) -> bool:
        """Whether supervisors run workers of it."""
        wanted = self.registry.wanted.get(key)
        return wanted is not None and wanted.workers > 0

    # The route

    @property
    def route(self) -> Route:
        """As it was put last, by whomever."""
        seen = self.registry.route(self._config.alias)
        known = [item for item in (seen, self._put) if item is not None]
        default = Route(epoch=0, generalist=self._config.generalist, mode=self._config.mode)
        return max(known, key=lambda item: item.epoch, default=default)

    def shares(self, name: str) -> dict[str, float]:
        """Revision → share, of those that have one."""
        return {key: share for key, share in self.route.shares.get(name, {}).items() if share > 0}

    def share(self, name: str, shares: dict[str, float], note: str, *, is_removed: bool = False) -> None:
        """Share a specialist's requests out anew."""
        route = self.route
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
        self._put = self.registry.put_route(self._config.alias, route)
        logs.event("route", alias=self._config.alias, epoch=self._put.epoch, note=note)
