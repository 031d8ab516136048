"""A request as the ledger holds it, and what the ledger says is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tsuzuri.specialists.messages import Body, Delta, Failed, Resume

State = Literal["queued", "accepted", "streaming", "done", "error", "cancelled", "expired"]


@dataclass(slots=True, eq=False)
class Entry:
    """A request that has not ended."""

    id: str
    deadline: float
    opened_at: float
    moved_at: float
    """When the last thing happened that brings its end nearer."""
    state: State = "queued"
    attempt: int = 1
    worker: str = ""
    """Whose replies count."""
    seq: int = 0
    """Of the next part of the answer, in this attempt."""
    text: list[str] = field(default_factory=list)
    """What has been shown."""
    ids: list[int] = field(default_factory=list)
    """That wrote it, as long as one tokenizer did."""
    tokenizer: str = ""
    """Whose ids; as `sent` was told."""
    is_mixed: bool = False
    """Whether several tokenizers wrote it."""
    completion_tokens: int = 0
    prompt_tokens: int = 0
    tries: int = 0
    """Failures that may pass, so far."""
    hand_backs: int = 0
    holders: set[str] = field(default_factory=set)
    """Workers that have taken any attempt and did not say that they are done with it."""
    losses: set[str] = field(default_factory=set)
    """Of these, those that died."""
    is_said: bool = False
    """Whether a worker said that it begins as soon as it was sent: so nobody had it without a word."""
    may_have_killed: bool = False
    """Whether a worker died that may have had it without a word (`deaths.py`)."""
    is_suspect: bool = False
    """Whether it may be what kills workers: no other such request is to be with a worker at the same time."""
    due_at: float | None = None
    """When the next attempt is to be sent; None: it has been."""
    failure: Failed | None = None
    """Why the attempt before ended."""

    @property
    def deaths(self) -> int:
        """Workers that have died over it, as far as can be known."""
        return len(self.losses) + self.may_have_killed

    def resume(self) -> Resume | None:
        """What the next attempt goes on from."""
        if not self.text and not self.ids:
            return None
        ids, tokenizer = ((), "") if self.is_mixed else (tuple(self.ids), self.tokenizer)
        return Resume(
            text="".join(self.text), ids=ids, tokenizer=tokenizer, completion_tokens=self.completion_tokens
        )


@dataclass(frozen=True, slots=True)
class Send:
    """The attempt is to be sent to a worker."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Show:
    """A part of the answer is to be shown."""

    entry: Entry
    part: Delta


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Workers are to be told that nobody wants it any more, up to an attempt."""

    entry: Entry
    attempt: int


@dataclass(frozen=True, slots=True)
class End:
    """It has ended; nothing follows."""

    entry: Entry
    state: State
    reply: Body | None = None
    """Final, Scored or Embedded."""
    failure: Failed | None = None


Effect: TypeAlias = Send | Show | Withdraw | End
