"""A worker as others see it: what its revision is, and every few seconds that it lives and how it is.

A thread of its own says so, from before the model is loaded on. What was decided about the revision (that it
is admitted, refused, or drained) is not for a worker to say: it says `loading` and `checking` of one about
which nobody has decided.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from tsuzuri.core.processes import resident_bytes
from tsuzuri.serving import logs
from tsuzuri.serving.models import ModelFacts
from tsuzuri.specialists.bus.base import Bus, BusDown, BusFull, Record
from tsuzuri.specialists.control.admission import check_fits
from tsuzuri.specialists.messages import Beat, Descriptor, Drain, Envelope, State, encode, now_ms
from tsuzuri.specialists.registry.registry import Registry
from tsuzuri.specialists.topics import Topics, make_topics
from tsuzuri.specialists.worker.config import WorkerConfig

KNOWN_S = 20.0
"""For the registry to be read once."""
UNDECIDED = ("loading", "checking", "gone")
"""States of a revision that a worker may take further."""
SEEN: tuple[State, ...] = ("checking", "ready", "refused")
"""States of a revision that its workers have too."""


class Presence:
    """What a process says of itself while it is a worker. `close` says that it has gone."""

    def __init__(self, bus: Bus, topics: Topics, config: WorkerConfig) -> None:
        """Make the topics that are missing and read who there is; BusDown."""
        self.config, self.topics = config, topics
        self.key = config.name, config.revision
        self.instance = f"{config.name}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.figures: Callable[[], Mapping[str, Any]] = dict
        """Those of the next beat."""
        self._bus, self._state = bus, "loading"
        requests = topics.request_specs(*self.key, partitions=config.partitions)
        make_topics(bus, [*topics.specs(), *requests])
        self.registry = Registry(bus, topics)
        if not self.registry.wait(KNOWN_S):
            self.registry.close()
            raise BusDown(f"the broker did not hand over {topics.registry} within {KNOWN_S:.0f} s")
        self._say(self._descriptor("loading"))
        self._wakes = threading.Event()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._thread.start()

    @property
    def state(self) -> State:
        """As its next beat says: until it drains, that of its revision."""
        if self._state != "checking":
            return self._state  # type: ignore[return-value]
        known = self.registry.descriptors.get(self.key)
        return known.state if known is not None and known.state in SEEN else "checking"

    def is_meant(self, order: Drain) -> bool:
        """Whether an order is for this worker."""
        name, revision = self.key
        return (
            order.specialist == name
            and order.revision in ("", revision)
            and order.instance in ("", self.instance)
        )

    def loaded(self, facts: ModelFacts, characters_per_token: float) -> None:
        """The model is there; InputError where the revision is known as another one."""
        own = self._descriptor("checking", facts, characters_per_token)
        known = self.registry.descriptors.get(self.key)
        if known is not None:
            check_fits(known, own)
        self._state = "checking"
        self._say(own)
        self._wakes.set()

    def drains(self) -> None:
        """It takes nothing more."""
        self._state = "draining"
        self._wakes.set()

    def close(self) -> None:
        """It has gone."""
        self._is_closed = True
        self._wakes.set()
        self._thread.join()
        self._state = "gone"
        self._beat()
        self.registry.close()

    def _descriptor(
        self, state: State, facts: ModelFacts | None = None, characters_per_token: float = 0.0
    ) -> Descriptor:
        config = self.config
        engine = config.engine
        source = str(engine.get("base_url", "")) if engine.get("kind") == "openai" else ""
        own = Descriptor(
            specialist=config.name,
            revision=config.revision,
            state=state,
            title=config.title or config.name,
            source=source or str((config.release or "") and config.release.absolute()),  # type: ignore[union-attr]
        )
        if facts is None:
            return own
        return msgspec.structs.replace(
            own,
            model_sha256=facts.model_sha256,
            tokenizer_sha256=facts.tokenizer_sha256,
            context=facts.context,
            characters_per_token=characters_per_token,
            capabilities=tuple(sorted(facts.capabilities)),
            defaults={
                name: list(value) if isinstance(value, tuple) else value
                for name, value in facts.defaults.items()
            },
            filters=facts.filters,
            has_chat=facts.has_chat,
        )

    def _say(self, own: Descriptor) -> None:
        """Put the descriptor, unless more is known of the revision."""
        known = self.registry.descriptors.get(self.key)
        if known is not None and known.state not in UNDECIDED:
            return
        if own.state == "loading" and known is not None and known.state != "gone":
            return  # another worker is further
        self.registry.put_descriptor(own)
        logs.event("announced", specialist=own.specialist, revision=own.revision, state=own.state)

    def _run(self) -> None:
        while not self._is_closed:
            self._beat()
            self._wakes.wait(self.config.beat_s)
            self._wakes.clear()

    def _beat(self) -> None:
        beat = Beat(
            instance=self.instance,
            specialist=self.config.name,
            revision=self.config.revision,
            at_ms=now_ms(),
            every_ms=round(1000 * self.config.beat_s),
            state=self.state,
            rss_bytes=resident_bytes(os.getpid()),
            host=socket.gethostname(),
            pid=os.getpid(),
            **self.figures(),
        )
        value, headers = encode(Envelope(beat, sent_ms=beat.at_ms))
        with suppress(BusFull, BusDown):  # the next one says it
            self._bus.send(Record(self.topics.beats, value, self.instance.encode(), tuple(headers)))
