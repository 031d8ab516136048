"""What the engine does for somebody: writing a sample, or reading a text for its states or logits."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tsuzuri.generation.rules import TokenRules
from tsuzuri.serving.engines.base import Finish, Generation, Token, TokenEvent, TokenRequest
from tsuzuri.serving.engines.ours.slots import Slot

UNIFORMS_AT_ONCE = 256
NO_SLOT = Slot(-1)


class Task(ABC):
    """Something to be read in a slot; what comes of it is for the kinds below to say."""

    def __init__(self, to_read: list[int], *, reuses: bool) -> None:
        self.to_read = to_read
        """Tokens that the cache does not hold yet."""
        self.reuses = reuses
        """Whether what another has read will do: not where the states of all tokens are asked for."""
        self.slot = NO_SLOT
        self.asked_at = time.monotonic()

    def begin(self, slot: Slot) -> None:
        """It has a slot, which may hold a part of what it is to read."""
        self.slot = slot
        del self.to_read[: len(slot.tokens)]

    def ended(self) -> Finish | None:
        """Why it is over though it is not done, if it is."""
        return None

    @abstractmethod
    def end(self, finish: Finish) -> None:
        """Say so."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """It can't be done."""


class Writing(Task):
    """One sample of one prompt."""

    def __init__(self, request: TokenRequest, rules: TokenRules, context: int) -> None:
        self.request, self.generation = request, Generation()
        self.text = [*request.prompt, *request.written]
        """The prompt and what has been written."""
        self.prompt: list[Token] = []
        """The prompt's tokens, as far as they have been judged."""
        self.written, self.cached_tokens = len(request.written), 0
        self._opening = rules.opening if request.prompt else (rules.start,)
        self._context = context
        self._random = torch.Generator().manual_seed(request.sampling.seed)
        self._uniforms: list[float] = []
        for _ in range(-(-self.written // UNIFORMS_AT_ONCE)):
            self._draw_uniforms()
        super().__init__(
            [*self._opening, *self.text[self._first_held() :]], reuses=not request.prompt_logprobs
        )

    @property
    def is_first(self) -> bool:
        """Whether this attempt has written nothing yet."""
        return self.written == len(self.request.written)

    @property
    def tells(self) -> bool:
        """Whether log-probabilities are asked for."""
        return self.request.logprobs or self.request.top_logprobs > 0

    def begin(self, slot: Slot) -> None:
        """See `Task`."""
        self.cached_tokens = min(max(0, len(slot.tokens) - len(self._opening)), len(self.request.prompt))
        super().begin(slot)

    def ended(self) -> Finish | None:
        """See `Task`."""
        if self.generation.is_cancelled:
            return "cancelled"
        deadline = self.request.deadline
        return "timeout" if deadline is not None and time.monotonic() >= deadline else None

    def end(self, finish: Finish) -> None:
        """See `Task`."""
        self.generation.push(TokenEvent(finish=finish))

    def fail(self, error: BaseException) -> None:
        """See `Task`."""
        self.generation.fail(error)

    def uniform(self) -> float:
        """The random number of the next token: a stream for each seed, that of `sampling.uniform_streams`."""
        place = self.written % UNIFORMS_AT_ONCE
        if place == 0:
            self._draw_uniforms()
        return self._uniforms[place]

    def _draw_uniforms(self) -> None:
        drawn = torch.rand(UNIFORMS_AT_ONCE, dtype=torch.float64, generator=self._random)
        self._uniforms = drawn.tolist()

    def write(self, token: Token, *, is_end: bool) -> Finish | None:
        """Tell the token, unless it closes the text; how the request is over, if it is."""
        finish: Finish | None = "stop" if is_end else None
        is_first = self.is_first
        if not is_end:
            self.text.append(token.id)
            self.written += 1
            if self.written == self.request.sampling.max_new_tokens:
                finish = "length"
        event = TokenEvent(() if is_end else (token,), finish)
        if is_first:
            event = TokenEvent(prompt=tuple(self.prompt), cached_tokens=self.cached_tokens) + event
        self.generation.push(event)
        if finish is None:
            self.to_read = [token.id]
            if len(self.slot.tokens) == self._context:
                self.slot.tokens, self.to_read = [], self._recent()
        return finish

    def _first_held(self) -> int:
        """Where in the text the cache begins, as it would had this attempt written all of it: the prompt's
        beginning, or that of what was read at the last time that the text outgrew the context."""
        half, opening, prompt = self._context // 2, len(self._opening), len(self.request.prompt)
        first, held = 0, opening + prompt
        if held > self._context:
            first, held = prompt - half, opening + half
        beyond = self.written - (self._context - held + 1)
        if beyond < 0:
            return first
        every = self._context - opening - half + 1
        return prompt + self.written - beyond % every - half

    def _recent(self) -> list[int]:
        """What is read where the text has outgrown the context."""
        return [*self._opening, *self.text[-(self._context // 2) :]]


class Reading(Task):
    """A text that is only read, for its last logits (V); `ReadingStates`: for the sum of its states (D)."""

    def __init__(self, tokens: list[int], *, reuses: bool = True) -> None:
        super().__init__(tokens, reuses=reuses)
        self.result: Future[npt.NDArray[np.float32]] = Future()

    def end(self, finish: Finish) -> None:
        """Nobody is told: it is never over before it is done."""

    def fail(self, error: BaseException) -> None:
        """See `Task`."""
        self.result.set_exception(error)

    def deliver(self, result: Tensor) -> None:
        """Everything has been read."""
        self.result.set_result(result.float().cpu().numpy().copy())


class ReadingStates(Reading):
    """The states of its tokens from the `first` on, summed."""

    def __init__(self, tokens: list[int], *, first: int) -> None:
        super().__init__(tokens, reuses=False)
        self._first = first
        self.sum = torch.zeros(())

    def add(self, states: Tensor, position: int) -> None:
        """The states (n, D) of its tokens from a position on."""
        self.sum = self.sum.to(states.device) + states[max(0, self._first - position) :].double().sum(0)
