"""Who lives, how it is, and what went through."""

from __future__ import annotations

from tsuzuri.specialists.messages.body import Body, Lane, State


class Beat(Body, frozen=True):
    """That a worker lives, and how it is."""

    instance: str
    specialist: str
    revision: str
    at_ms: int
    """By its own clock."""
    every_ms: int
    """Silence of three times this is death."""
    state: State = "ready"
    running: int = 0
    waiting: int = 0
    slots: int = 0
    tokens_per_s: float = 0.0
    rss_bytes: int = 0
    finished: int = 0
    """Requests, since it started."""
    failed: int = 0
    host: str = ""
    pid: int = 0


class Traffic(Body, frozen=True):
    """What a gateway saw of a revision in one interval."""

    specialist: str
    revision: str
    finished: int = 0
    """Requests whose answer ended as it should."""
    failed: int = 0
    """Requests that ended with an error of ours, those that nobody would have answered left out."""
    poor: int = 0
    """Of those finished, with an answer that is empty or ends in a loop."""
    first_token_ms: tuple[float, ...] = ()
    """From acceptance to the first text, of some requests drawn evenly."""
    in_flight: dict[Lane, int] = {}
    """Requests sent to it and not ended, at the end of the interval."""
    sent: int = 0
    """Requests that it was sent, whatever became of them."""


class Report(Body, frozen=True):
    """What went through a gateway in the last interval. On the topic of beats; key: the gateway."""

    gateway: str
    at_ms: int
    every_ms: int = 1000
    traffic: tuple[Traffic, ...] = ()


class Recent(Body, frozen=True):
    """What a gateway saw of a revision lately."""

    specialist: str
    revision: str
    in_flight: int = 0
    """Requests sent to it and not ended."""
    outcomes: dict[str, int] = {}
    """How requests ended: `done`, `cancelled`, `expired`, or the code of a failure."""
    tokens: int = 0
    """Written."""
    each: tuple[int, ...] = ()
    """Requests that ended in each part of the time, the oldest first; the last part is not over."""
    first_ms: dict[int, int] = {}
    """Requests by the bucket of their time from acceptance to the first text: `watching.recent.bucket_of`."""
    total_ms: dict[int, int] = {}
    """From acceptance to the end."""


class Routed(Body, frozen=True):
    """Who was sent a request and why, and what came of it: no word of any text."""

    at_ms: int
    specialist: str
    revision: str = ""
    alias: str = ""
    id: str = ""
    trace: str = ""
    """`traceparent`."""
    why: str = ""
    method: str = ""
    posterior: dict[str, float] = {}
    """The most probable."""
    outcome: str = ""
    characters: int = 0
    """Of the prompt."""
    tokens: int = 0
    """Written."""
    first_ms: float | None = None
    total_ms: float | None = None


class Figures(Body, frozen=True):
    """What a gateway saw lately, for whoever watches: all of it, each time. On the topic of beats."""

    gateway: str
    at_ms: int
    every_ms: int = 2000
    part_ms: int = 2000
    """Of `Recent.each`."""
    held: int = 0
    """Requests that it has accepted and that have not ended."""
    events: dict[str, int] = {}
    """What was dropped, noticed or mended since it began, by name."""
    recent: tuple[Recent, ...] = ()
    routed: tuple[Routed, ...] = ()
    """The last, the newest first."""
