"""How specialists answer together: one table, a row a mode, each with its cost. Imports no torch.

    route   the router's first choice answers                                       (the default)
    rerank  the first few answer in whole; the answer that all of them find likeliest is shown
    mix     a specialist that is itself a mixture of several in one process answers (ELMforest)

A row says what it needs and what it costs, and begins an answer; another mode is another row.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import Field

from tsuzuri.core.config import Config
from tsuzuri.core.errors import InputError, ResourceError, TsuzuriError
from tsuzuri.serving.models import TextDelta, TextGeneration, TextRequest, Usage
from tsuzuri.serving.tokenizers import check_one_tokenizer
from tsuzuri.specialists.judging import judgement
from tsuzuri.specialists.messages import Descriptor, Scored
from tsuzuri.specialists.routing.base import Choice, Router


class Dispatcher(Protocol):
    """What reaches specialists by name, wherever they are."""

    def ask(self, specialist: str, request: TextRequest) -> TextGeneration:
        """Begin an answer; of the prompt its text counts. Errors that come later come with it."""

    async def score(
        self,
        specialist: str,
        texts: Sequence[str],
        befores: Sequence[str] = (),
        *,
        like: TextRequest | None = None,
    ) -> Scored:
        """How likely texts are to a specialist, each after what stands before it; as urgent as a request, and
        by its deadline."""

    def up(self) -> Collection[str]:
        """Specialists that answer now."""


class ModeConfig(Config):
    """What the modes go by."""

    candidates: int = Field(default=2, ge=1, le=16)
    """Specialists that write an answer for `rerank`, and judge those of the others."""
    repetition_weight: float = Field(default=1.0, ge=0)
    """Nats a byte that an answer loses which says nothing but the same."""
    repetition_free: float = Field(default=0.1, ge=0, le=1)
    """The share of repeated 4-grams of characters that costs nothing: the lowest tenth of Aozora Bunko
    repeats as much."""
    mixture: str = "mixture"
    """The specialist that answers for `mix`."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one answer, beside that of one model that answers alone."""

    trips: int
    """Over the bus and back, one after another, before the first text."""
    models_per_token: float
    """Active parameters, in those of one specialist, of each written token of the answer."""
    prompt_reads: float
    """Times that the prompt is read."""
    answer_reads: float
    """Times that an answer is read to be judged, at the speed of prompts."""
    is_streamed: bool
    """Whether its beginning is shown before its end is written."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What an answer is begun with."""

    request: TextRequest
    router: Router
    dispatcher: Dispatcher
    config: ModeConfig = field(default_factory=ModeConfig)
    field: str = ""
    """What the client asked for by a field of its own."""
    beginnings: Sequence[str] = ()
    """What a router is to look at, one after the other until it is sure; none: the prompt's text."""


class Answer:
    """An answer of several specialists that act as one: `serving.models.TextGeneration`.

    Who answers is chosen at the first look. `choice` says who, and why, from then on; `inner` is the answer
    of the one that is shown.
    """

    def __init__(self, asking: Asking, begin: Callable[[Answer], Awaitable[TextGeneration]]) -> None:
        self.asking = asking
        self.choice: Choice | None = None
        self.inner: TextGeneration | None = None
        self.asked: dict[str, TextGeneration] = {}
        """Everybody who was asked to write, by name."""
        self.judging: list[asyncio.Future[Scored]] = []
        """Of everybody who was asked to judge."""
        self.is_cancelled = False
        self._begin, self._is_over = begin, False

    @property
    def usage(self) -> Usage:
        """See `TextGeneration`: of the answer that is shown."""
        return Usage() if self.inner is None else self.inner.usage

    @property
    def filtered(self) -> Mapping[str, int]:
        """See `TextGeneration`."""
        return {} if self.inner is None else self.inner.filtered

    def cancel(self) -> None:
        """See `TextGeneration`: nobody who was asked goes on."""
        self.is_cancelled = True
        for generation in self.asked.values():
            generation.cancel()
        for judge in self.judging:
            judge.cancel()

    async def choose(self) -> Choice:
        """Who of those that are up answers the prompt."""
        asking = self.asking
        up = asking.dispatcher.up()
        for text in asking.beginnings or (asking.request.prompt.text,):
            choice = self.choice = await asking.router.choose(text, up, field=asking.field)
            if choice.is_settled:
                break
        return choice

    def ask(self, specialist: str) -> TextGeneration:
        """Let a specialist write; no further than it has to, where nobody wants it any more."""
        generation = self.asking.dispatcher.ask(specialist, self.asking.request)
        self.asked[specialist] = generation
        if self.is_cancelled:
            generation.cancel()
        return generation

    def __aiter__(self) -> AsyncIterator[TextDelta]:
        return self

    async def __anext__(self) -> TextDelta:
        if self._is_over:
            raise StopAsyncIteration
        if self.inner is None and not self.is_cancelled:
            self.inner = await self._begin(self)
        if self.inner is None:
            self._is_over = True
            return TextDelta(finish="cancelled")
        return await anext(self.inner)


@dataclass(frozen=True, slots=True)
class Mode:
    """A row of the table."""

    title: str
    needs: str
    """Of those that take part; in words."""
    cost: Callable[[int], Cost]
    """By the number of candidates."""
    begin: Callable[[Answer], Awaitable[TextGeneration]]
    check: Callable[[Sequence[Descriptor], ModeConfig], None] = lambda descriptors, config: None
    """Refuse, by name, those who can't take part together; InputError."""

    def answer(self, asking: Asking) -> Answer:
        """Begin an answer at the first look at it."""
        return Answer(asking, self.begin)


@dataclass(slots=True)
class Replayed:
    """An answer that is there in whole: `TextGeneration`."""

    deltas: list[TextDelta]
    usage: Usage
    filtered: Mapping[str, int] = field(default_factory=dict)

    def cancel(self) -> None:
        """It is over already."""

    def __aiter__(self) -> AsyncIterator[TextDelta]:
        return self

    async def __anext__(self) -> TextDelta:
        if not self.deltas:
            raise StopAsyncIteration
        return self.deltas.pop(0)


async def route(answer: Answer) -> TextGeneration:
    """The first choice's answer."""
    return answer.ask((await answer.choose()).specialist)


async def mix(answer: Answer) -> TextGeneration:
    """The mixture's answer. InputError where none is up."""
    name = answer.asking.config.mixture
    if name not in answer.asking.dispatcher.up():
        raise InputError(f"no specialist {name!r} is up, by which mix answers", hint="mode: route")
    answer.choice = Choice(name, {name: 1.0}, "the mode is mix", "mix")
    return answer.ask(name)


async def rerank(answer: Answer) -> TextGeneration:
    """Of several whole answers the likeliest by the judgement of all who wrote one (`judgement`).

    Who fails to write or to judge is left out; the error of the last one where nobody writes.
    """
    asking = answer.asking
    shares = (await answer.choose()).best(asking.config.candidates)
    if len(shares) == 1:
        return answer.ask(next(iter(shares)))
    written, error = await _whole_answers(answer, shares)
    if not written:
        raise error or ResourceError("no specialist is up")
    best = next(iter(written))
    deadline = asking.request.deadline
    is_late = deadline is not None and time.monotonic() >= deadline
    if len(written) > 1 and not is_late and not answer.is_cancelled:
        best = await _likeliest(answer, written, shares)
    assert answer.choice is not None
    if best != answer.choice.specialist:
        why = f"of {len(written)} answers the likeliest; {answer.choice.why}"
        answer.choice = Choice(best, answer.choice.posterior, why, answer.choice.method)
    return written[best]


async def _whole_answers(
    answer: Answer, names: Collection[str]
) -> tuple[dict[str, Replayed], TsuzuriError | None]:
    """Everybody's whole answer, and the last error of those who have none."""

    async def whole(name: str) -> Replayed:
        generation = answer.ask(name)
        deltas = [delta async for delta in generation]
        return Replayed(deltas, generation.usage, generation.filtered)

    results = await asyncio.gather(*map(whole, names), return_exceptions=True)
    written, failed = {}, None
    for name, result in zip(names, results, strict=True):
        if isinstance(result, Replayed):
            written[name] = result
        elif isinstance(result, TsuzuriError):
            failed = result
        else:
            raise result
    return written, failed


async def _likeliest(answer: Answer, written: Mapping[str, Replayed], shares: Mapping[str, float]) -> str:
    """Whose answer is best in the judgement of all who judge in time."""
    asking = answer.asking
    prompt = asking.request.prompt.text
    skipped = len(prompt) if asking.request.echo else 0
    texts = {name: "".join(d.text for d in one.deltas)[skipped:] for name, one in written.items()}
    texts = {name: text for name, text in texts.items() if text}
    if not texts:
        return next(iter(written))
    befores = [prompt] * len(texts)
    request = asking.request
    judging: list[asyncio.Future[Scored]] = [
        asyncio.ensure_future(asking.dispatcher.score(name, list(texts.values()), befores, like=request))
        for name in shares
    ]
    answer.judging = judging
    left_s = None if request.deadline is None else request.deadline - time.monotonic()
    try:
        await asyncio.wait(judging, timeout=left_s)
    finally:  # of who is late, and of all where nobody wants the answer any more
        for judge in judging:
            judge.cancel()
    scored = await asyncio.gather(*judging, return_exceptions=True)
    judges = {name: one.nats for name, one in zip(shares, scored, strict=True) if isinstance(one, Scored)}
    for one in scored:
        if not isinstance(one, Scored | TsuzuriError | asyncio.CancelledError):
            raise one
    weight, free = asking.config.repetition_weight, asking.config.repetition_free
    values = judgement(list(texts.values()), judges, shares, repetition_weight=weight, repetition_free=free)
    return max(zip(values, texts, strict=True), key=lambda pair: pair[0])[1]


def check_mixture(descriptors: Sequence[Descriptor], config: ModeConfig) -> None:
    """InputError where there is no mixture; where those there are have several tokenizers, it names two."""
    if any(one.specialist == config.mixture for one in descriptors):
        return
    check_one_tokenizer({one.specialist: one.tokenizer_sha256 for one in descriptors})
    raise InputError(
        f"mix is answered by a specialist {config.mixture!r}, which is not there",
        hint=f"add one with `engine: {{kind: mixture, members: […]}}` as {config.mixture!r}, or mode: route",
    )


MODES: Mapping[str, Mode] = {
    "route": Mode(
        "one specialist answers",
        "nothing: any tokenizer, any architecture",
        lambda candidates: Cost(1, 1, 1, 0, is_streamed=True),
        route,
    ),
    "rerank": Mode(
        "several answer, the likeliest answer is shown",
        "that specialists of ours judge texts; any tokenizer",
        lambda candidates: Cost(2, candidates, 2 * candidates, candidates**2, is_streamed=False),
        rerank,
    ),
    "mix": Mode(
        "every token is drawn from several, weighted by whose text it is",
        "one tokenizer, and one process that holds them all: a specialist of kind mixture",
        lambda candidates: Cost(1, candidates, candidates, 0, is_streamed=True),
        mix,
        check_mixture,
    ),
}
