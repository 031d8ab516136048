"""The workers of this machine: a process for each that the registry wants, started and ended by that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from tsuzuri.core.files import write_text
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.messages import Descriptor, Wanted
from tsuzuri.specialists.registry.registry import Key, Registry
from tsuzuri.specialists.topics import partitions_for
from tsuzuri.specialists.up.children import GRACE_S, USER_ERROR, Child
from tsuzuri.specialists.worker.config import WorkerConfig

FAILED_STARTS = 3
"""Of a worker that never had loaded, after which its revision counts as one that can't be."""
UNDECIDED = ("loading", "checking", "refused")
"""States of a revision of which it can still be said that it can't be."""


class Workers:
    """Those that run, and those that finish."""

    def __init__(self, registry: Registry, bus: BusConfig, folder: Path, *, beat_s: float) -> None:
        self._registry, self._bus, self._folder, self._beat_s = registry, bus, folder, beat_s
        self._running: dict[tuple[Key, int], Child] = {}
        self._leaving: list[Child] = []
        """Those that are no longer wanted, and finish."""
        self._heard: set[Key] = set()
        """Revisions of which some worker has loaded."""

    @property
    def children(self) -> list[Child]:
        """All of them."""
        return [*self._running.values(), *self._leaving]

    def tend(self) -> None:
        """Start and end what is due."""
        wanted = self._registry.wanted
        places = {(key, number) for key, item in wanted.items() for number in range(item.workers)}
        self._let_go([place for place in self._running if place not in places])
        self._leaving = [child for child in self._leaving if child.tend() is None and child.process]
        for key, number in sorted(places - set(self._running)):
            self._running[key, number] = self._child(wanted[key], number)
        beats = self._registry.beats.values()
        self._heard |= {(beat.specialist, beat.revision) for beat in beats if beat.state != "loading"}
        for (key, _), child in list(self._running.items()):
            status = child.tend()
            if status is None:
                continue
            is_hopeless = child.ends >= FAILED_STARTS and (status == USER_ERROR or key not in self._heard)
            known = self._registry.descriptors.get(key)
            if is_hopeless and (known is None or known.state in UNDECIDED):
                self._give_up(key, child, known)

    def _let_go(self, places: Sequence[tuple[Key, int]]) -> None:
        """Let workers finish that are no longer wanted; those that don't are killed."""
        for place in places:
            child = self._running.pop(place)
            child.stop(patience_s=WorkerConfig(name=place[0][0]).drain_s + GRACE_S)
            self._leaving.append(child)

    def _child(self, wanted: Wanted, number: int) -> Child:
        name = f"{wanted.specialist}-{wanted.revision}-{number}"
        bus = self._bus.model_dump(mode="json")
        bus["security"] = {key: item.get_secret_value() for key, item in self._bus.security.items()}
        values = {
            "name": wanted.specialist,
            "title": wanted.title,
            "revision": wanted.revision,
            "release": wanted.source,
            "engine": wanted.engine,
            "filters": wanted.filters,
            "texts": wanted.texts or None,
            "bus": bus,
            "beat_s": self._beat_s,
            "partitions": partitions_for(wanted.workers),
        }
        folder = self._folder / "workers"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # the settings of a bus may hold a password
        write_text(folder / f"{name}.yaml", yaml.safe_dump(values, allow_unicode=True, sort_keys=False))
        arguments = ["specialists", "worker", f"--config={folder / f'{name}.yaml'}"]
        return Child(name, arguments, self._folder / "logs")

    def _give_up(self, key: Key, child: Child, known: Descriptor | None) -> None:
        """Say that a revision can't be loaded, and want it no more."""
        note = f"its worker ends at once: {child.said()}"
        title = known.title if known is not None else ""
        self._registry.put_descriptor(
            Descriptor(specialist=key[0], revision=key[1], state="refused", title=title, note=note)
        )
        self._registry.drop_wanted(*key)
        self._let_go([place for place in self._running if place[0] == key])
