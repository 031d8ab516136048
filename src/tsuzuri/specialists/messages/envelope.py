"""A body and its headers, to bytes and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, get_args

import msgspec

from tsuzuri.specialists.messages.beats import Beat, Figures, Report
from tsuzuri.specialists.messages.body import SCHEMA, Body, Lane, Malformed
from tsuzuri.specialists.messages.orders import Cancel, Drain, Order, Outcome
from tsuzuri.specialists.messages.replies import Accepted, Delta, Embedded, Failed, Final, Scored
from tsuzuri.specialists.messages.requests import Ask, Embed, Score
from tsuzuri.specialists.messages.standing import Descriptor, Lease, Route, Wanted

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
