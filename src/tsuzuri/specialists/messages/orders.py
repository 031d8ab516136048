"""What everybody, or the controller, is to do."""

from __future__ import annotations

from typing import Any, Literal

from tsuzuri.specialists.messages.body import Body


class Cancel(Body, frozen=True):
    """Nobody wants the rest of these any more."""

    ids: tuple[str, ...]
    attempts: tuple[int, ...] = ()
    """Of each the last attempt that is meant, beside the ids; none: every one."""


class Drain(Body, frozen=True):
    """Finish what runs, take nothing more, and end."""

    specialist: str
    revision: str = ""
    """None: every one."""
    instance: str = ""
    """One worker; none: every one."""


class Order(Body, frozen=True):
    """What an operator asks of the controller, which answers with outcomes of the same id."""

    verb: Literal["add", "replace", "rollback", "remove", "drain"]
    specialist: str
    revision: str = ""
    """What its workers call it; of `rollback`: none, the one before."""
    source: str = ""
    """A release's folder, as the workers' machine sees it; none: somebody else starts its workers."""
    engine: dict[str, Any] = {}
    """None: as the revision before it has."""
    workers: int = 0
    """0: as many as the revision before it has, or one."""
    title: str = ""
    texts: str = ""
    """The file of its domain's held-out texts; none: as the controller's configuration says."""
    has_gate: bool = True
    """Whether it has to beat the generalist."""
    actor: str = ""
    """Who asks."""
    filters: dict[str, Any] | None = None
    """What it may not write (`serving.config.FilterConfig`); none: as the revision before it. Empty: it may
    write anything."""


class Outcome(Body, frozen=True):
    """What became of an order: any number of steps, then the end."""

    text: str
    """For people."""
    state: Literal["working", "done", "failed"] = "working"
