"""Specialists as models of a server: all of them under their alias, and each by its own name.

Nobody here can read a prompt: its tokens are estimated, so that a request can be let in, and counted by the
worker that reads it. Who answers is chosen when the answer begins, by the alias' router and mode.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import InputError
from tsuzuri.serving.engines.base import EngineStats
from tsuzuri.serving.models import (
    ModelFacts,
    Prompt,
    PromptTooLong,
    TextDelta,
    TextGeneration,
    TextRequest,
    Usage,
)
from tsuzuri.specialists.gateway.calls import Answer, nobody
from tsuzuri.specialists.gateway.dispatch import Gateway
from tsuzuri.specialists.messages import Ask, Descriptor, Route, Scored
from tsuzuri.specialists.modes import MODES, Asking, ModeConfig
from tsuzuri.specialists.modes import Answer as Together
from tsuzuri.specialists.routing.base import Choice, Router

BEGUN_S = 0.5
"""For a worker to begin, before a client is told that its stream has."""
MARGIN = 1.5
"""Times the tokens that a text of a specialist's domain would have: others have more."""
LONGEST_TOKEN = 64
"""Characters that no token has."""
ANY_ID = 2**31
"""Ids are the workers' to check."""
TURNS = 8
"""Of a conversation, those within which it has to be clear whose it is."""
VECTORS = 16
"""Asked for at once: those of 2,000 numbers each still fit into a record of a megabyte, as text."""
UNSPOKEN = ("embeddings",)
"""Capabilities that mean nothing for several models together."""


@dataclass(frozen=True, slots=True)
class Conversation(Prompt):
    """A prompt that its reader makes of messages; its text is theirs alone."""

    messages: tuple[Mapping[str, Any], ...] = ()

    @property
    def beginnings(self) -> list[str]:
        """What its user has said by each turn, from the first on: the same whatever follows, and whatever was
        answered."""
        turns = [str(one["content"]) for one in self.messages if one["role"] == "user"][:TURNS]
        return ["\n".join(turns[: number + 1]) for number in range(len(turns))] or [self.text]

    @property
    def key(self) -> str:
        """The same at every turn: a sum of all up to the first that its user said."""
        first = next((place for place, one in enumerate(self.messages) if one["role"] == "user"), 0)
        opening = [(one["role"], one["content"]) for one in self.messages[: first + 1]]
        return hashlib.sha256(repr(opening).encode("utf-8", "surrogatepass")).hexdigest()


class Reach:
    """What reaches the specialists of an alias: `modes.Dispatcher`."""

    def __init__(self, gateway: Gateway, alias: str, *, is_strict: bool = False) -> None:
        self.gateway, self.alias, self._is_strict = gateway, alias, is_strict

    def ask(self, specialist: str, request: TextRequest) -> Answer:
        """See `Dispatcher`."""
        return self.gateway.ask(
            self.alias,
            specialist,
            _body(request, self._tokenizer(specialist, request)),
            deadline=request.deadline,
            lane="batch" if request.is_patient else "interactive",
            trace=dict(request.trace),
            is_strict=self._is_strict,
            key=request.prompt.key if isinstance(request.prompt, Conversation) else "",
        )

    async def score(self, specialist: str, texts: Sequence[str], befores: Sequence[str] = ()) -> Scored:
        """See `Dispatcher`."""
        return await self.gateway.score(self.alias, specialist, texts, befores)

    def up(self) -> Collection[str]:
        """See `Dispatcher`."""
        return self.gateway.living.up(self.alias)

    def descriptors(self, names: Collection[str] | None = None) -> list[Descriptor]:
        """Of the revisions that have a share in the answers."""
        route, known = self.gateway.living.routes.get(self.alias), self.gateway.living.descriptors
        if route is None:
            return []
        keys = [
            (name, revision)
            for name, shares in route.shares.items()
            for revision, share in shares.items()
            if share > 0 and (names is None or name in names)
        ]
        return [known[key] for key in keys if key in known]

    def tokenizer(self, specialist: str, what: str) -> str:
        """The one that ids in a request are of, for one specialist by name, or (an empty name) for whoever of
        them all answers; InputError where that is not clear."""
        sums = {one.tokenizer_sha256 for one in self.descriptors({specialist} if specialist else None)}
        if len(sums) == 1 and "" not in sums:
            return sums.pop()
        whose = f"revisions of {specialist}" if specialist else f"specialists of {self.alias}"
        raise InputError(
            f"{what} holds ids, and the {whose} have {len(sums - {''})} tokenizers",
            hint="send text, without logit_bias; or ask one specialist by its own name",
        )

    def _tokenizer(self, specialist: str, request: TextRequest) -> str:
        asked = specialist if self._is_strict else ""
        if request.logit_bias:
            return self.tokenizer(asked, "logit_bias")
        return self.tokenizer(asked, "the prompt") if request.prompt.ids else ""


class Only:
    """A router with one choice: whoever was asked for by name."""

    def __init__(self, name: str) -> None:
        self._choice = Choice(name, {name: 1.0}, "asked for by name", "name")

    async def choose(self, text: str, among: Collection[str], *, field: str = "") -> Choice:
        """See `Router`."""
        return self._choice


class Those:
    """What reaches those specialists that read conversations."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self.ask, self.score = reach.ask, reach.score

    def up(self) -> Collection[str]:
        """See `Dispatcher`."""
        reading = {one.specialist for one in self._reach.descriptors() if one.has_chat}
        return [name for name in self._reach.up() if name in reading]


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


class SentAnswer:
    """An answer that specialists write: `serving.models.TextGeneration`, which says who they are."""

    def __init__(self, answer: Together, request: TextRequest, on_over: Callable[[SentAnswer], None]) -> None:
        self.answer, self.request = answer, request
        self._on_over = on_over
        self._first: asyncio.Task[TextDelta] | None = None
        self._is_over = False

    @property
    def usage(self) -> Usage:
        """See `TextGeneration`; the prompt's tokens are those of whoever reads it, once somebody has."""
        return self.answer.usage

    @property
    def filtered(self) -> Mapping[str, int]:
        """See `TextGeneration`."""
        return self.answer.filtered

    @property
    def written_by(self) -> Answer | None:
        """The answer that is shown, as it was sent."""
        choice = self.answer.choice
        sent: TextGeneration | None = self.answer.asked.get(choice.specialist) if choice else None
        return sent if isinstance(sent, Answer) else None

    @property
    def about(self) -> dict[str, Any]:
        """See `SentGeneration`."""
        choice, sent = self.answer.choice, self.written_by
        call = sent.call if sent is not None else None
        if choice is None:
            return {}
        notes = [choice.why, call.target.note if call else ""]
        return {
            "specialist": call.target.specialist if call else choice.specialist,
            "revision": call.target.revision if call else "",
            "why": "; ".join(filter(None, notes)),
            "posterior": {name: round(share, 4) for name, share in choice.posterior.items()},
        }

    async def begun(self) -> None:
        """See `SentGeneration`."""
        self._first = asyncio.create_task(self._next())
        done, _ = await asyncio.wait([self._first], timeout=BEGUN_S)
        if done and (error := self._first.exception()) is not None:
            self._first = None
            raise error

    def cancel(self) -> None:
        """See `TextGeneration`."""
        self.answer.cancel()

    def __aiter__(self) -> AsyncIterator[TextDelta]:
        return self

    async def __anext__(self) -> TextDelta:
        """See `TextGeneration`."""
        first = self._first
        if first is None:
            return await self._next()
        try:
            return await asyncio.shield(first)  # who stops waiting may come back
        finally:
            if first.done():
                self._first = None

    async def _next(self) -> TextDelta:
        if self._is_over:
            raise StopAsyncIteration
        try:
            delta = await anext(self.answer)
        except Exception:
            self._is_over = True
            self._on_over(self)
            raise
        if delta.finish is not None:
            self._is_over = True
            self._on_over(self)
        return delta


def _body(request: TextRequest, tokenizer: str) -> Ask:
    sampling = request.sampling.model_dump(mode="json", exclude_defaults=True)
    prompt = request.prompt
    messages = prompt.messages if isinstance(prompt, Conversation) else ()
    return Ask(
        specialist="",
        revision="",
        prompt=None if messages or prompt.ids else prompt.text,
        ids=prompt.ids,
        messages=tuple(dict(message) for message in messages),
        sampling=sampling,
        logprobs=request.logprobs,
        echo=request.echo,
        logit_bias={str(index): value for index, value in request.logit_bias.items()},
        tokenizer=tokenizer,
    )


def _common(mappings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all of them say."""
    if not mappings:
        return {}
    first, *others = mappings
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
