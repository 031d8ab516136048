"""What speaks for each domain in a text's first characters. Imports no torch.

SmallTalk LM (arXiv 2410.03529): the model that finds the beginning likeliest writes the rest. Who judges may
be an n-gram model of characters for each domain, a small release for each, or the specialists themselves;
the distance to clusters (c-BTM) is told in the same way.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from tsuzuri.core.errors import TsuzuriError
from tsuzuri.serving.models import TextModel
from tsuzuri.specialists.messages import Score, Scored
from tsuzuri.specialists.routing.base import Method
from tsuzuri.specialists.routing.calibration import Evidence
from tsuzuri.specialists.routing.clusters import Clusters
from tsuzuri.specialists.routing.grams import prepared
from tsuzuri.specialists.routing.ngrams import NGramModel, numbers_of
from tsuzuri.specialists.worker.scoring import score

REMEMBERED = 4096
"""Beginnings whose evidence is kept, where it costs a trip."""


class Asked(Protocol):
    """What the specialists' own likelihoods are asked of: a part of `modes.Dispatcher`."""

    async def score(self, specialist: str, texts: Sequence[str], befores: Sequence[str] = ()) -> Scored:
        """How likely texts are to a specialist."""


class Judge(Protocol):
    """What finds evidence."""

    method: Method

    async def evidence(self, text: str, among: Collection[str]) -> Evidence:
        """For every domain that it knows, or of those that are up, in a beginning that is not empty; of no
        domain at all where nobody can judge."""


class NGrams:
    """An n-gram model of characters for each domain: a millisecond, no trip, no tensor."""

    method: Method = "ngrams"

    def __init__(self, models: Mapping[str, NGramModel]) -> None:
        self._models = models

    async def evidence(self, text: str, among: Collection[str]) -> Evidence:
        """See `Judge`."""
        codes = prepared(text, len(text))
        characters = len(codes) - 1
        if not characters:
            return Evidence({}, 0)
        numbers = numbers_of(codes)
        values = {name: -model.nats(numbers) / characters for name, model in self._models.items()}
        return Evidence(values, characters)


class Nearest:
    """Clusters, each of a specialist: one specialist may have several."""

    method: Method = "clusters"

    def __init__(self, clusters: Clusters, names: Sequence[str]) -> None:
        self._clusters, self._names = clusters, tuple(names)

    async def evidence(self, text: str, among: Collection[str]) -> Evidence:
        """See `Judge`."""
        distances = self._clusters.distances([text], characters=len(text))[0]
        values: dict[str, float] = {}
        for name, distance in zip(self._names, distances.tolist(), strict=True):
            values[name] = max(values.get(name, -distance), -distance)
        return Evidence(values, len(text))


class Likelihoods:
    """The specialists' own, over the bus: a trip for every new beginning."""

    method: Method = "specialists"

    def __init__(self, asked: Asked, *, generalist: str, trip_s: float = 2.0) -> None:
        """Who has not judged after `trip_s` has no evidence."""
        self._asked, self._generalist, self._trip_s = asked, generalist, trip_s
        self._known: OrderedDict[tuple[bytes, str], float] = OrderedDict()

    async def evidence(self, text: str, among: Collection[str]) -> Evidence:
        """See `Judge`; the generalist is not asked, and who does not answer has none."""
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        names = sorted(name for name in among if name != self._generalist)
        new = [name for name in names if (key, name) not in self._known]
        trips = {name: asyncio.ensure_future(self._asked.score(name, [text])) for name in new}
        try:
            done = (await asyncio.wait(trips.values(), timeout=self._trip_s))[0] if trips else set()
        finally:
            for trip in trips.values():
                trip.cancel()  # those that are done stay so
        for name, trip in trips.items():
            with suppress(TsuzuriError):
                if trip in done:
                    self._known[key, name] = -trip.result().nats[0] / len(text)
        found = {name: self._known[key, name] for name in names if (key, name) in self._known}
        for name in found:
            self._known.move_to_end((key, name))
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return Evidence(found, len(text))


class SmallModels:
    """A small release for each specialist, in this process."""

    method: Method = "models"

    def __init__(self, models: Mapping[str, TextModel]) -> None:
        self._models = models

    async def evidence(self, text: str, among: Collection[str]) -> Evidence:
        """See `Judge`."""
        asked = Score(specialist="", revision="", texts=(text,))
        scored = await asyncio.gather(*(score(model, asked, width=1) for model in self._models.values()))
        values = {name: -one.nats[0] / len(text) for name, one in zip(self._models, scored, strict=True)}
        return Evidence(values, len(text))
