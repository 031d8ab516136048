"""What reaches the specialists of an alias from a gateway: a request as a worker is asked it.

A conversation is found anew at every turn from its messages alone, so it stays with whom it has found without
anything that is remembered, whichever gateway it comes to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tsuzuri.core.errors import InputError
from tsuzuri.serving.models import Prompt, TextRequest
from tsuzuri.specialists.gateway.calls import Answer
from tsuzuri.specialists.gateway.dispatch import Dispatch
from tsuzuri.specialists.messages import Ask, Descriptor, Scored

TURNS = 8
"""Of a conversation, those within which it has to be clear whose it is."""


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

    def __init__(self, gateway: Dispatch, alias: str, *, is_strict: bool = False) -> None:
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

    async def score(
        self,
        specialist: str,
        texts: Sequence[str],
        befores: Sequence[str] = (),
        *,
        like: TextRequest | None = None,
    ) -> Scored:
        """See `Dispatcher`."""
        return await self.gateway.score(
            self.alias,
            specialist,
            texts,
            befores,
            deadline=like.deadline if like else None,
            lane="batch" if like and like.is_patient else "interactive",
        )

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


class Those:
    """What reaches those specialists that read conversations."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self.ask, self.score = reach.ask, reach.score

    def up(self) -> Collection[str]:
        """See `Dispatcher`."""
        reading = {one.specialist for one in self._reach.descriptors() if one.has_chat}
        return [name for name in self._reach.up() if name in reading]


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
