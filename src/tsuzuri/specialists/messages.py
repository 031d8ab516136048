"""What is said over the bus: a typed body in JSON, and headers that say what it is without decoding it.

    req.<specialist>.<revision>.<lane>   Ask · Score · Embed      gateway → workers
    rep (a partition a gateway)          Accepted · Delta · Final · Scored · Embedded · Failed
    ctl                                  Cancel · Drain           everybody → every worker
                                         Order · Outcome          an operator ↔ the controller
    registry, routes (compacted)         Descriptor · Wanted · Lease · Route
    beat                                 Beat · Report · Figures  workers, gateways → everybody

A schema only ever grows: a new field has a default, an unknown one is skipped, and what a field means never
changes; anything else is a new kind. `tests/specialists/fixtures` holds a record of every kind as each schema
wrote it. Text alone is universal: ids mean something only to revisions of one tokenizer, named by its sum.
Imports no torch.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal, get_args

import msgspec

from tsuzuri.core.errors import InputError

SCHEMA = 1
"""Of every body written here; a record of a higher one is refused by name."""

Lane = Literal["interactive", "batch"]
"""Requests of the first are taken before any of the second."""
Finish = Literal["stop", "length", "content_filter", "cancelled", "timeout"]
State = Literal["loading", "checking", "refused", "ready", "draining", "gone"]
"""Of a revision, in the order in which it lives."""


class Malformed(InputError):  # noqa: N818 (it reports what a record is)
    """A record that is no message of ours; `reason` is a word for counters and dead letters."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Body(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What every body is."""


class Resume(Body, frozen=True):
    """What an earlier attempt already wrote and the client already has."""

    text: str
    """As shown: the answer goes on after it."""
    ids: tuple[int, ...] = ()
    """Ids that wrote it, and perhaps some more; only for the tokenizer named beside them."""
    tokenizer: str = ""
    """Its sha256."""
    completion_tokens: int = 0
    """Written so far, whoever wrote them."""


class Ask(Body, frozen=True):
    """One sample of one prompt, for one specialist."""

    specialist: str
    revision: str
    prompt: str | None = None
    messages: tuple[dict[str, Any], ...] = ()
    """A conversation, in place of the prompt."""
    ids: tuple[int, ...] = ()
    """A prompt as its client's own ids, in place of the prompt; of the tokenizer named below."""
    sampling: dict[str, Any] = {}
    """Fields of `generation.config.SamplingConfig`, those that differ from its defaults."""
    logprobs: int | None = None
    echo: bool = False
    logit_bias: dict[str, float] = {}
    tokenizer: str = ""
    """sha256 of the one that `ids`, and those in `logit_bias`, belong to; another one refuses."""
    resume: Resume | None = None


class Score(Body, frozen=True):
    """How likely texts are to a specialist: each after what stands before it."""

    specialist: str
    revision: str
    texts: tuple[str, ...]
    befores: tuple[str, ...] = ()
    """As many as there are texts, or none."""


class Embed(Body, frozen=True):
    """Vectors of texts."""

    specialist: str
    revision: str
    texts: tuple[str, ...]


class Accepted(Body, frozen=True):
    """A worker has begun with it: said, and stored, before it looks at what it is."""

    prompt_tokens: int = 0
    """As its tokenizer reads the prompt; 0: that is not known yet."""


class Told(Body, frozen=True):
    """A token of an answer, where log-probabilities are asked for: `serving.models.TextToken`."""

    text: str
    piece: bytes
    offset: int
    logprob: float | None = None
    top: tuple[tuple[str, bytes, float], ...] = ()


class Delta(Body, frozen=True):
    """What has been written since the last one, whole characters; `seq` in the headers counts from 0."""

    text: str = ""
    ids: tuple[int, ...] = ()
    tokens: tuple[Told, ...] = ()
    prompt_tokens: int = 0
    """As its tokenizer reads the prompt, in the first of them."""


class Final(Body, frozen=True):
    """The end of an answer; its bill."""

    finish: Finish
    text: str = ""
    """The last of it."""
    ids: tuple[int, ...] = ()
    tokens: tuple[Told, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Of the whole answer, those of the attempts before included."""
    cached_tokens: int = 0
    filtered: dict[str, int] = {}
    sha256: str = ""
    """Of all the answer's text, what a resumed one had before included: whoever misses a delta knows."""


class Scored(Body, frozen=True):
    """Answers `Score`."""

    nats: tuple[float, ...]
    """-log p of each text."""
    tokens: tuple[int, ...] = ()
    utf8_bytes: tuple[int, ...] = ()


class Embedded(Body, frozen=True):
    """Answers `Embed`."""

    vectors: tuple[tuple[float, ...], ...]
    prompt_tokens: int = 0


class Failed(Body, frozen=True):
    """No answer comes from this worker."""

    code: str
    """`overloaded`, `deadline`, `handed_back`, `engine_failed`, `too_long`, `invalid`, `unsupported`,
    `malformed`, …"""
    message: str
    is_retryable: bool = False
    """Whether another worker, or this one later, may well answer."""
    retry_after_s: float = 0.0


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
    filters: dict[str, Any] = {}
    """What it may not write (`serving.config.FilterConfig`); none: as the revision before it."""


class Outcome(Body, frozen=True):
    """What became of an order: any number of steps, then the end."""

    text: str
    """For people."""
    state: Literal["working", "done", "failed"] = "working"


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


KINDS: Mapping[str, type[Body]] = {
    kind.__name__.lower(): kind
    for kind in (
        *(Ask, Score, Embed),
        *(Accepted, Delta, Final, Scored, Embedded, Failed),
        *(Cancel, Drain, Order, Outcome),
        *(Descriptor, Wanted, Lease, Route, Beat, Report, Figures),
    )
}
"""By the word in the header."""


class Envelope(msgspec.Struct, frozen=True):
    """A body and what its headers say."""

    body: Body
    id: str = ""
    """Of the request, the same through all its attempts."""
    attempt: int = 1
    deadline_ms: int = 0
    """Unix time by the gateway's clock; 0: none."""
    reply_topic: str = ""
    reply_partition: int = 0
    seq: int = 0
    """Of a reply within its attempt, from 0."""
    worker: str = ""
    """Instance that replies."""
    epoch: int = 0
    """Of the route that sent it here."""
    lane: Lane = "interactive"
    sent_ms: int = 0
    """Unix time by the sender's clock."""
    trace: Mapping[str, str] = {}
    """`traceparent` and `tracestate` (W3C Trace Context)."""
    sender: str = ""
    """Gateway that asks: whose clock the times are of. Nobody's, of what was sent again by hand."""


HEADERS: Mapping[str, tuple[str, type]] = {
    "id": ("correlation-id", str),
    "attempt": ("x-tsuzuri-attempt", int),
    "deadline_ms": ("x-tsuzuri-deadline", int),
    "reply_topic": ("x-tsuzuri-reply-topic", str),
    "reply_partition": ("x-tsuzuri-reply-partition", int),
    "seq": ("x-tsuzuri-seq", int),
    "worker": ("x-tsuzuri-worker", str),
    "epoch": ("x-tsuzuri-route-epoch", int),
    "lane": ("x-tsuzuri-lane", str),
    "sent_ms": ("x-tsuzuri-sent", int),
    "sender": ("x-tsuzuri-sender", str),
}
KIND_HEADER, SCHEMA_HEADER, TYPE_HEADER = "x-tsuzuri-kind", "x-tsuzuri-schema", "content-type"
TRACE_HEADERS = ("traceparent", "tracestate")

_ENCODER = msgspec.json.Encoder()
_DECODERS = {word: msgspec.json.Decoder(kind) for word, kind in KINDS.items()}
_CONSTANT = {
    kind: [
        (KIND_HEADER, word.encode()),
        (SCHEMA_HEADER, b"%d" % SCHEMA),
        (TYPE_HEADER, b"application/json"),
    ]
    for word, kind in KINDS.items()
}
"""Headers that every body of a kind has."""
_WRITTEN = [
    (field.name, HEADERS[field.name][0], field.default)
    for field in msgspec.structs.fields(Envelope)
    if field.name in HEADERS
]
"""Fields that have a header where they are not as they are without one."""


def _number(name: str) -> Callable[[bytes], int]:
    """What reads a number that may stand in a header; ValueError."""
    least, most = int(name == "attempt"), (1 << 63 if name.endswith("_ms") else 1 << 31) - 1

    def read(content: bytes) -> int:
        value = int(content)
        if not least <= value <= most:
            raise ValueError(f"{name} is less than {least} or more than {most}")
        return value

    return read


def _lane(content: bytes) -> str:
    word = content.decode()
    if word not in get_args(Lane):
        raise ValueError(f"no lane is called {word[:40]!r}")
    return word


_READ: Mapping[str, tuple[str, Callable[[bytes], Any]]] = {
    header: (name, _number(name) if kind is int else _lane if name == "lane" else bytes.decode)
    for name, (header, kind) in HEADERS.items()
}


def encode(envelope: Envelope) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The value and headers of a record."""
    headers = _CONSTANT[type(envelope.body)].copy()
    for name, header, default in _WRITTEN:
        value = getattr(envelope, name)
        if value != default:
            headers.append((header, str(value).encode()))
    if envelope.trace:
        headers += [(name, envelope.trace[name].encode()) for name in TRACE_HEADERS if name in envelope.trace]
    return _ENCODER.encode(envelope.body), headers


def decode(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> Envelope:
    """The envelope of a record; Malformed where it is none of ours, of a later schema, or damaged."""
    given = dict(headers)
    word = (given.get(KIND_HEADER) or b"").decode("ascii", "replace")
    if not word:
        raise Malformed(f"a record has no header {KIND_HEADER}", reason="no_kind")
    decoder = _DECODERS.get(word)
    if decoder is None:
        raise Malformed(f"no kind of message is called {word[:40]!r}", reason="unknown_kind")
    schema = given.get(SCHEMA_HEADER, b"1") or b""
    if not schema.isdigit() or int(schema) > SCHEMA:
        shown = schema[:20].decode("ascii", "replace")
        raise Malformed(f"{word} has schema {shown}; this version reads up to {SCHEMA}", reason="schema")
    if value is None:
        raise Malformed(f"{word} has no body", reason="no_body")
    try:
        body = decoder.decode(value)
        fields = {}
        for header, content in given.items():
            if header in _READ:
                name, read = _READ[header]
                fields[name] = read(content or b"")
        trace = {name: (given[name] or b"").decode("ascii") for name in TRACE_HEADERS if name in given}
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(f"{word}: {str(error)[:300]}", reason="body") from None
    return Envelope(body, **fields, trace=trace)


def addressed(body: Body, headers: Iterable[tuple[str, bytes | None]]) -> Envelope:
    """A body in an envelope with those headers of another record that can be read, whatever that one is."""
    fields = {}
    for header, content in headers:
        if header in _READ:
            name, read = _READ[header]
            with suppress(ValueError):
                fields[name] = read(content or b"")
    return Envelope(body, **fields)


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """An id whose order is that of time (UUID version 7, RFC 9562)."""
    value = (now_ms() << 80) | uuid.uuid4().int & ((1 << 80) - 1)
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))
