"""What a router is: a text in, a specialist out, and why. Imports no torch.

A generalist is always in the pool: it answers what is of nobody's domain, what might be of several, and
what is no text at all. A specialist that is not up is not chosen, nor is it an error that it is unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field

from tsuzuri.core.config import Config

Method = Literal["table", "clusters", "ngrams", "models", "specialists"]
"""Rules alone; nearest cluster of texts (c-BTM); likelihood of the first characters (SmallTalk LM) by n-gram
models of characters, by small releases in this process, or by the specialists themselves over the bus.
`trained.train_router` says which of them is best at what."""

LEAST_SHARE = 0.02
"""Of the posterior: who has less is not worth being asked."""


class RuleConfig(Config):
    """A text that meets every condition given goes to a specialist."""

    specialist: str
    pattern: str = ""
    """A regular expression, sought in the first characters."""
    keywords: tuple[str, ...] = ()
    """One of these stands in the first characters, as NFKC and lower case have both."""
    script: Literal["", "hiragana", "katakana", "kanji", "latin", "digit", "other"] = ""
    """Of the characters that are no space, at least `share` are of it."""
    share: float = Field(default=0.5, gt=0, le=1)
    field: str = ""
    """The client asks for this by the request's own field."""


class RouterConfig(Config):
    """How requests are divided among specialists."""

    method: Method | None = None
    """Of what no rule decides. None: what the folder at `path` holds; without one, `table`."""
    path: Path | None = None
    """A folder that `trained.train_router` wrote; for `models`, one with a small release for each
    specialist, by its name."""
    generalist: str = "generalist"
    """Who answers what is of no domain."""
    prefix_characters: int = Field(default=256, ge=1, le=4096)
    """What is looked at of a text."""
    least_posterior: float = Field(default=0.5, ge=0, le=1)
    """A specialist that is less probable leaves the answer to the generalist."""
    trip_s: float = Field(default=2.0, gt=0)
    """After which specialists that are asked for their judgement (`specialists`) have none."""
    rules: tuple[RuleConfig, ...] = ()
    """The first one that is met decides, before any method."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is to answer."""

    specialist: str
    posterior: Mapping[str, float] = field(default_factory=dict)
    """Of every specialist that is up, the generalist too; sums to 1."""
    why: str = ""
    """For people and logs: a short sentence that holds no text of the client."""
    method: str = ""
    """What decided: `rule`, a `Method`, `only` (nobody else is up) or `empty` (there is no text)."""
    is_settled: bool = True
    """Whether it would stay so though the text went on; not where it speaks for nobody yet."""

    def best(self, count: int) -> dict[str, float]:
        """The most probable, the chosen one first, with their shares among themselves; nobody who has hardly
        any."""
        ranked = sorted(self.posterior, key=lambda name: (name != self.specialist, -self.posterior[name]))
        names = [name for name in ranked if name == self.specialist or self.posterior[name] >= LEAST_SHARE]
        kept = {name: self.posterior[name] for name in names[:count]} or {self.specialist: 1.0}
        total = sum(kept.values())
        return {name: share / total if total else 1 / len(kept) for name, share in kept.items()}


class Router(Protocol):
    """What chooses. For one event loop; it never takes longer than its prefix of the text asks for."""

    async def choose(self, text: str, among: Collection[str], *, field: str = "") -> Choice:
        """Who of those that are up answers a text, of whatever length, with whatever in it. `field` is what
        the client asked for by a field of its own. ResourceError where nobody is up."""
