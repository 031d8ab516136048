"""Specialists as models of a server: all of them under their alias, and each by its own name.

Nobody here can read a prompt: its tokens are estimated, so that a request can be let in, and counted by the
worker that reads it. Who answers is chosen when the answer begins, by the alias' router and mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import InputError
from tsuzuri.serving.engines.base import EngineStats
from tsuzuri.serving.models import ModelFacts, Prompt, PromptTooLong, TextRequest
from tsuzuri.specialists.gateway.calls import nobody
from tsuzuri.specialists.gateway.reach import Conversation, Reach, Those
from tsuzuri.specialists.gateway.sent import SentAnswer
from tsuzuri.specialists.messages import Route
from tsuzuri.specialists.modes import MODES, Asking, ModeConfig
from tsuzuri.specialists.routing.base import Choice, Router

MARGIN = 1.5
"""Times the tokens that a text of a specialist's domain would have: others have more."""
LONGEST_TOKEN = 64
"""Characters that no token has."""
ANY_ID = 2**31
"""Ids are the workers' to check."""
VECTORS = 16
"""Asked for at once: those of 2,000 numbers each still fit into a record of a megabyte, as text."""
UNSPOKEN = ("embeddings",)
"""Capabilities that mean nothing for several models together."""


class Only:
    """A router with one choice: whoever was asked for by name."""

    def __init__(self, name: str) -> None:
        self._choice = Choice(name, {name: 1.0}, "asked for by name", "name")

    async def choose(self, text: str, among: Collection[str], *, field: str = "") -> Choice:
        """See `Router`."""
        return self._choice


class GatewayModel:
    """`serving.models.TextModel` over Kafka."""

    def __init__(
        self,
        reach: Reach,
        router: Router,
        modes: ModeConfig,
        *,
        specialist: str = "",
        on_over: Callable[[SentAnswer], None] = lambda answer: None,
    ) -> None:
        """All specialists of an alias, or one of them by name."""
        self.specialist = specialist
        self._reach, self._router, self._modes, self._on_over = reach, router, modes, on_over
        self.name = f"{reach.alias}/{specialist}" if specialist else reach.alias
        self._facts = reach.gateway.living.version, self._look()

    @property
    def facts(self) -> ModelFacts:
        """What those who may answer have in common."""
        version = self._reach.gateway.living.version
        if version != self._facts[0]:
            self._facts = version, self._look()
        return self._facts[1]

    def _look(self) -> ModelFacts:
        those = self._reach.descriptors({self.specialist} if self.specialist else None)
        route = self._route
        capabilities = [frozenset(one.capabilities) for one in those]
        shared = frozenset.intersection(*capabilities) if capabilities else frozenset()
        filters = [set(one.filters) for one in those]
        revision = those[0].revision if self.specialist and those else f"route-{route.epoch if route else 0}"
        return ModelFacts(
            name=self.name,
            revision=revision,
            created_at=max((one.changed_ms for one in those), default=0) // 1000,
            context=min((one.context for one in those), default=0),
            vocab_size=ANY_ID,
            capabilities=shared if self.specialist else shared - frozenset(UNSPOKEN),
            defaults=_common([one.defaults for one in those]),
            filters=tuple(sorted(set.intersection(*filters))) if filters else (),
            has_chat=any(one.has_chat for one in those),
        )

    async def read(self, prompt: str | Sequence[int]) -> Prompt:
        """See `TextModel`: with an estimate of its tokens. Ids are their worker's to read, and say nothing to
        a router."""
        if not isinstance(prompt, str):
            self._reach.tokenizer(self.specialist, "the prompt")
            self._check_length(len(prompt), f"{len(prompt):,} tokens")
            return Prompt(tuple(prompt), "")
        return Prompt((), prompt, estimated_tokens=self._estimate(prompt))

    async def read_chat(self, messages: Sequence[Mapping[str, Any]]) -> Prompt:
        """See `TextModel`."""
        if not self.facts.has_chat:
            raise InputError(
                f"{self.name} has no chat template: it continues texts",
                hint="ask /v1/completions, with the text to go on from as the prompt",
            )
        text = "\n".join(str(message["content"]) for message in messages)
        return Conversation((), text, estimated_tokens=self._estimate(text), messages=tuple(messages))

    def complete(self, request: TextRequest) -> SentAnswer:
        """See `TextModel`."""
        asked = self._route.mode if self._route is not None and not self.specialist else "route"
        mode = MODES.get(asked, MODES["route"])
        prompt, is_whole = request.prompt, not self.specialist
        dispatcher = Those(self._reach) if isinstance(prompt, Conversation) and is_whole else self._reach
        if not dispatcher.up():
            raise nobody(self.name)
        beginnings = prompt.beginnings if isinstance(prompt, Conversation) else ()
        asking = Asking(request, self._router, dispatcher, self._modes, request.wish, beginnings)
        return SentAnswer(mode.answer(asking), request, self._on_over)

    async def embed(self, prompts: Sequence[Prompt]) -> npt.NDArray[np.float32]:
        """See `TextModel`."""
        if any(prompt.ids for prompt in prompts):
            raise InputError(f"{self.name} makes vectors of texts, not of ids", hint="send the text itself")
        texts, vectors = [prompt.text for prompt in prompts], list[tuple[float, ...]]()
        for first in range(0, len(texts), VECTORS):
            part = texts[first : first + VECTORS]
            reply = await self._reach.gateway.embed(self._reach.alias, self.specialist, part)
            vectors += reply.vectors
        return np.array(vectors, np.float32)

    def stats(self) -> EngineStats:
        """See `TextModel`: of requests as this gateway holds them."""
        gateway = self._reach.gateway
        keys = {(one.specialist, one.revision) for one in self._reach.descriptors()}
        paces = [
            pace for key, pace in gateway.paces.items() if key in keys and self.specialist in ("", key[0])
        ]
        slots, held = sum(pace.slots for pace in paces), sum(pace.in_flight.total() for pace in paces)
        return EngineStats(running=min(held, slots), waiting=max(0, held - slots), slots=slots)

    async def close(self, *, drain_s: float = 0.0) -> None:
        """See `TextModel`: the gateway lives longer than its models."""

    @property
    def _route(self) -> Route | None:
        return self._reach.gateway.living.routes.get(self._reach.alias)

    def _estimate(self, text: str) -> int:
        """Tokens that a text may well have; InputError where it cannot be read by anybody."""
        most = self._check_length(len(text) / LONGEST_TOKEN, f"{len(text):,} characters")
        those = self._reach.descriptors({self.specialist} if self.specialist else None)
        ratios = [one.characters_per_token for one in those if one.characters_per_token > 0]
        tokens = len(text.encode("utf-8", "replace"))
        if ratios:
            tokens = min(tokens, math.ceil(MARGIN * len(text) / min(ratios)))
        return min(tokens, most) if most else tokens

    def _check_length(self, tokens: float, what: str) -> int:
        """The longest context of those who may answer, 0 where it is not known; PromptTooLong where so many
        tokens are more."""
        those = self._reach.descriptors({self.specialist} if self.specialist else None)
        if not those:
            raise nobody(self.name)
        most = max(one.context for one in those)
        if most and tokens > most:
            raise PromptTooLong(f"the prompt has {what}, and {self.name} sees {most:,} tokens")
        return most


def _common(mappings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all of them say."""
    if not mappings:
        return {}
    first, *others = mappings
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
