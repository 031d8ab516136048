"""What stands until it is said otherwise: who there is, what is wanted, who may, who answers."""

from __future__ import annotations

from typing import Any

from tsuzuri.specialists.messages.body import Body, State


class Descriptor(Body, frozen=True):
    """A revision of a specialist: what it is and what it showed. Key: specialist/revision."""

    specialist: str
    revision: str
    state: State
    title: str = ""
    """For people."""
    model_sha256: str = ""
    tokenizer_sha256: str = ""
    context: int = 0
    """Tokens that it sees at once."""
    characters_per_token: float = 0.0
    """On its own domain; what a gateway estimates by."""
    capabilities: tuple[str, ...] = ()
    defaults: dict[str, Any] = {}
    """Of sampling, as its release asks."""
    filters: tuple[str, ...] = ()
    has_chat: bool = False
    is_generalist: bool = False
    domain_bpb: float | None = None
    """Bits a byte on held-out text of its own domain."""
    generalist_bpb: float | None = None
    """The generalist's on the same text."""
    gain_low: float | None = None
    """Lower end of the 95 % interval of the gain over the generalist, in bits a byte."""
    gain_high: float | None = None
    note: str = ""
    """Why it was refused, say."""
    source: str = ""
    """The folder of its release, or the address of its server, for whoever starts another worker."""
    changed_ms: int = 0
    """Unix time."""


class Wanted(Body, frozen=True):
    """That so many workers of a revision shall run under a supervisor. Key: wanted/specialist/revision."""

    specialist: str
    revision: str = ""
    source: str = ""
    workers: int = 1
    """0: it may be wanted again, as it was."""
    had: int = 0
    """Workers that it had, where it has none now."""
    engine: dict[str, Any] = {}
    title: str = ""
    texts: str = ""
    """The file of its domain's held-out texts."""
    has_gate: bool = True
    """Whether it has to beat the generalist before it is ready."""
    filters: dict[str, Any] = {}
    """What it may not write (`serving.config.FilterConfig`)."""


class Lease(Body, frozen=True):
    """That somebody alone does something until then. Key: lease/name."""

    holder: str
    epoch: int
    """Each holder's is greater than that of the one before."""
    until_ms: int


class Route(Body, frozen=True):
    """Which revisions answer for an alias, and how much of the traffic each. Key: the alias."""

    epoch: int
    """A lower one than the last seen is ignored."""
    shares: dict[str, dict[str, float]] = {}
    """specialist → revision → share; what is missing of 1 goes to the generalist."""
    generalist: str = ""
    mode: str = "route"
    note: str = ""
    """Why it was written: who is being ramped, or rolled back and for what."""
    writer: str = ""
    changed_ms: int = 0
