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
Imports no torch. The words stand in the files of this room and are taken from here.
"""

from tsuzuri.specialists.messages.beats import Beat, Figures, Recent, Report, Routed, Traffic
from tsuzuri.specialists.messages.body import SCHEMA, Body, Finish, Lane, Malformed, State
from tsuzuri.specialists.messages.envelope import (
    HEADERS,
    KIND_HEADER,
    KINDS,
    SCHEMA_HEADER,
    TRACE_HEADERS,
    TYPE_HEADER,
    Envelope,
    addressed,
    decode,
    encode,
)
from tsuzuri.specialists.messages.moments import NEW_S, new_id, now_ms
from tsuzuri.specialists.messages.orders import Cancel, Drain, Order, Outcome
from tsuzuri.specialists.messages.replies import Accepted, Delta, Embedded, Failed, Final, Scored, Told
from tsuzuri.specialists.messages.requests import Ask, Embed, Resume, Score
from tsuzuri.specialists.messages.standing import Descriptor, Lease, Route, Wanted

__all__ = [
    "HEADERS",
    "KINDS",
    "KIND_HEADER",
    "NEW_S",
    "SCHEMA",
    "SCHEMA_HEADER",
    "TRACE_HEADERS",
    "TYPE_HEADER",
    "Accepted",
    "Ask",
    "Beat",
    "Body",
    "Cancel",
    "Delta",
    "Descriptor",
    "Drain",
    "Embed",
    "Embedded",
    "Envelope",
    "Failed",
    "Figures",
    "Final",
    "Finish",
    "Lane",
    "Lease",
    "Malformed",
    "Order",
    "Outcome",
    "Recent",
    "Report",
    "Resume",
    "Route",
    "Routed",
    "Score",
    "Scored",
    "State",
    "Told",
    "Traffic",
    "Wanted",
    "addressed",
    "decode",
    "encode",
    "new_id",
    "now_ms",
]
