"""Messages of every schema are read; what is none is refused in words, and stops no reader."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tsuzuri.specialists.messages import (
    HEADERS,
    KIND_HEADER,
    KINDS,
    SCHEMA,
    SCHEMA_HEADER,
    Accepted,
    Ask,
    Beat,
    Body,
    Cancel,
    Delta,
    Descriptor,
    Drain,
    Embed,
    Embedded,
    Envelope,
    Failed,
    Figures,
    Final,
    Lease,
    Malformed,
    Order,
    Outcome,
    Recent,
    Report,
    Resume,
    Route,
    Routed,
    Score,
    Scored,
    Told,
    Traffic,
    Wanted,
    decode,
    encode,
    new_id,
    now_ms,
)

FIXTURES = Path(__file__).parent / "fixtures"
SHA = "0123456789abcdef" * 4
ID = "01990000-0000-7000-8000-000000000001"

FILTERS = {"ng_words": {"file": "/etc/words.txt"}}
EXAMPLES: dict[str, Body] = {
    "ask": Ask(
        specialist="novel",
        revision="r1",
        prompt="吾輩は",
        messages=({"role": "user", "content": "続けて"},),
        sampling={"max_new_tokens": 8, "temperature": 0.5},
        logprobs=2,
        echo=True,
        logit_bias={"17": -1.5},
        tokenizer=SHA,
        resume=Resume(text="猫", ids=(3, 4), tokenizer=SHA, completion_tokens=2),
    ),
    "ask-ids": Ask(specialist="novel", revision="r1", ids=(5, 6), tokenizer=SHA),
    "ask-sender": Ask(specialist="novel", revision="r1", prompt="吾輩は"),
    "score": Score(specialist="novel", revision="r1", texts=("猫である",), befores=("吾輩は",)),
    "embed": Embed(specialist="novel", revision="r1", texts=("猫",)),
    "accepted": Accepted(prompt_tokens=3),
    "delta": Delta(
        text="猫",
        ids=(5,),
        tokens=(
            Told(text="猫", piece="猫".encode(), offset=3, logprob=-0.5, top=(("犬", b"\xe7\x8a", -1.5),)),
        ),
    ),
    "delta-prompt": Delta(text="猫", ids=(5,), prompt_tokens=3),
    "final": Final(
        finish="stop",
        text="。",
        ids=(6,),
        tokens=(Told(text="。", piece=b"\xe3\x80\x82", offset=4),),
        prompt_tokens=3,
        completion_tokens=5,
        cached_tokens=2,
        filtered={"ng_words": 1},
        sha256=SHA,
    ),
    "scored": Scored(nats=(1.25,), tokens=(2,), utf8_bytes=(12,)),
    "embedded": Embedded(vectors=((0.5, -0.25),), prompt_tokens=1),
    "failed": Failed(code="overloaded", message="満員", is_retryable=True, retry_after_s=0.5),
    "cancel": Cancel(ids=(ID,)),
    "cancel-attempts": Cancel(ids=(ID,), attempts=(2,)),
    "drain": Drain(specialist="novel", revision="r1", instance="w1"),
    "order": Order(
        verb="replace",
        specialist="novel",
        revision="r2",
        source="out/novel",
        engine={"kind": "mock"},
        workers=2,
        title="小説",
        texts="held-out.jsonl",
        has_gate=False,
        actor="operator",
    ),
    "order-filters": Order(verb="add", specialist="novel", filters=FILTERS),
    "order-unfiltered": Order(verb="replace", specialist="novel", filters={}),
    "wanted-filters": Wanted(specialist="novel", revision="r1", filters=FILTERS),
    "wanted-had": Wanted(specialist="novel", revision="r1", workers=0, had=4),
    "outcome": Outcome(text="読み込み中", state="done"),
    "descriptor": Descriptor(
        specialist="novel",
        revision="r1",
        state="ready",
        title="小説",
        model_sha256=SHA,
        tokenizer_sha256=SHA,
        context=1024,
        characters_per_token=1.75,
        capabilities=("text", "logits"),
        defaults={"max_new_tokens": 64},
        filters=("ng_words",),
        has_chat=True,
        is_generalist=True,
        domain_bpb=1.5,
        generalist_bpb=1.75,
        gain_low=0.125,
        gain_high=0.375,
        note="良い",
        source="out/novel",
        changed_ms=1_700_000_000_000,
    ),
    "wanted": Wanted(
        specialist="novel",
        revision="r1",
        source="out/novel",
        workers=2,
        engine={"kind": "mock"},
        title="小説",
        texts="held-out.jsonl",
        has_gate=False,
    ),
    "lease": Lease(holder="g1", epoch=3, until_ms=1_700_000_000_000),
    "route": Route(
        epoch=4,
        shares={"novel": {"r1": 0.95, "r2": 0.05}},
        generalist="general",
        mode="route",
        note="ramp",
        writer="g1",
        changed_ms=1_700_000_000_000,
    ),
    "beat": Beat(
        instance="w1",
        specialist="novel",
        revision="r1",
        at_ms=1_700_000_000_000,
        every_ms=2000,
        state="draining",
        running=1,
        waiting=2,
        slots=4,
        tokens_per_s=12.5,
        rss_bytes=1_000_000,
        finished=7,
        failed=1,
        host="h",
        pid=42,
    ),
    "report-sent": Report(
        gateway="g1", at_ms=1_700_000_000_000, traffic=(Traffic(specialist="novel", revision="r2", sent=9),)
    ),
    "report": Report(
        gateway="g1",
        at_ms=1_700_000_000_000,
        every_ms=2000,
        traffic=(
            Traffic(
                specialist="novel", revision="r1", finished=3, failed=1, poor=1, first_token_ms=(12.5, 8.0)
            ),
        ),
    ),
    "report-in_flight": Report(
        gateway="g1",
        at_ms=1_700_000_000_000,
        traffic=(Traffic(specialist="novel", revision="r1", in_flight={"interactive": 3, "batch": 1}),),
    ),
    "figures": Figures(
        gateway="g1",
        at_ms=1_700_000_000_000,
        every_ms=500,
        part_ms=1000,
        held=3,
        events={"resumed": 1},
        recent=(
            Recent(
                specialist="novel",
                revision="r1",
                in_flight=2,
                outcomes={"done": 5, "stalled": 1},
                tokens=640,
                each=(1, 0, 5),
                first_ms={40: 5},
                total_ms={72: 6},
            ),
        ),
        routed=(
            Routed(
                at_ms=1_700_000_000_000,
                specialist="novel",
                revision="r1",
                alias="kana",
                id=ID,
                trace="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
                why="rule novel is met",
                method="rule",
                posterior={"novel": 1.0},
                outcome="done",
                characters=12,
                tokens=64,
                first_ms=32.5,
                total_ms=512.5,
            ),
        ),
    ),
}
"""Every kind, with a value in its fields: what the fixtures of this schema were written from. `kind-fields`
is a kind that has grown by these."""


LATER = {"ask-sender": {"sender": "g1"}}
"""Headers that have come since, each in a record of its own."""
DEEP = b"[" * 2000 + b"]" * 2000
"""Nested further than a reader follows."""


def envelope(body: Body, **later: str) -> Envelope:
    """With a value in every header that was there from the beginning."""
    return Envelope(
        body,
        id=ID,
        attempt=2,
        deadline_ms=1_700_000_060_000,
        reply_topic="tsuzuri.rep",
        reply_partition=3,
        seq=7,
        worker="w1",
        epoch=4,
        lane="batch",
        sent_ms=1_700_000_000_000,
        trace={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "tracestate": "t=1"},
        **later,  # type: ignore[arg-type]
    )


def recorded() -> list[Path]:
    return sorted(FIXTURES.glob("v*/*.json"))


@pytest.mark.parametrize("path", recorded(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_record_of_every_schema_so_far_is_read_as_it_was_meant(path: Path) -> None:
    fixture = json.loads(path.read_text(encoding="utf-8"))
    headers = [(name, content.encode()) for name, content in fixture["headers"].items()]
    found = decode(json.dumps(fixture["value"]).encode(), headers)
    assert found == envelope(EXAMPLES[path.stem], **LATER.get(path.stem, {}))


def test_there_is_a_record_of_every_kind() -> None:
    there = {path.stem.partition("-")[0] for path in recorded() if path.parent.name == f"v{SCHEMA}"}
    assert there == set(KINDS), "a kind needs its record in fixtures and its example here"
    assert {word: type(body) for word, body in EXAMPLES.items() if "-" not in word} == dict(KINDS)


@pytest.mark.parametrize("word", sorted(EXAMPLES))
def test_what_is_written_is_read_again(word: str) -> None:
    value, headers = encode(envelope(EXAMPLES[word]))
    assert decode(value, headers) == envelope(EXAMPLES[word])
    assert dict(headers)[KIND_HEADER] == word.partition("-")[0].encode()
    bare = Envelope(EXAMPLES[word])
    assert decode(*encode(bare)) == bare


def test_a_field_of_a_later_version_is_skipped_and_one_that_is_missing_has_its_default() -> None:
    headers = [(KIND_HEADER, b"failed"), (SCHEMA_HEADER, b"1"), ("x-tsuzuri-later", b"?")]
    found = decode(b'{"code": "x", "message": "y", "colour": {"of": "tomorrow"}}', headers)
    assert found.body == Failed(code="x", message="y")


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"{}", [], "no_kind"),
        (b"{}", [(KIND_HEADER, None)], "no_kind"),
        (b"{}", [(KIND_HEADER, b"asks")], "unknown_kind"),
        (b"{}", [(KIND_HEADER, b"\xff\xfe")], "unknown_kind"),
        (b"{}", [(KIND_HEADER, b"cancel"), (SCHEMA_HEADER, b"2")], "schema"),
        (b"{}", [(KIND_HEADER, b"cancel"), (SCHEMA_HEADER, b"-1")], "schema"),
        (b"{}", [(KIND_HEADER, b"cancel"), (SCHEMA_HEADER, b"")], "schema"),
        (b"{}", [(KIND_HEADER, b"cancel"), (SCHEMA_HEADER, "１".encode())], "schema"),
        (None, [(KIND_HEADER, b"cancel")], "no_body"),
        (b"", [(KIND_HEADER, b"cancel")], "body"),
        (b"{", [(KIND_HEADER, b"cancel")], "body"),
        (b'{"ids": [1]}', [(KIND_HEADER, b"cancel")], "body"),
        (b'{"ids": ["\xff"]}', [(KIND_HEADER, b"cancel")], "body"),
        (b'{"ids": []}', [(KIND_HEADER, b"cancel"), (HEADERS["attempt"][0], b"two")], "body"),
        (b'{"ids": []}', [(KIND_HEADER, b"cancel"), (HEADERS["id"][0], b"\xff")], "body"),
        (b'{"ids": []}', [(KIND_HEADER, b"cancel"), (HEADERS["lane"][0], b"urgent")], "body"),
        (b'{"ids": []}', [(KIND_HEADER, b"cancel"), (HEADERS["attempt"][0], b"0")], "body"),
        (b'{"ids": []}', [(KIND_HEADER, b"cancel"), (HEADERS["reply_partition"][0], b"-5")], "body"),
        (b'{"ids": []}', [(KIND_HEADER, b"cancel"), (HEADERS["reply_partition"][0], b"9" * 10)], "body"),
        (b'{"ids": []}', [(KIND_HEADER, b"cancel"), (HEADERS["deadline_ms"][0], b"9" * 400)], "body"),
        (b'{"ids": []}', [(KIND_HEADER, b"cancel"), ("traceparent", "譜".encode())], "body"),
        (b'{"nats": [NaN]}', [(KIND_HEADER, b"scored")], "body"),
        (b'{"finish": "bored"}', [(KIND_HEADER, b"final")], "body"),
        (b"[" * 100_000, [(KIND_HEADER, b"ask")], "body"),
        (b'{"ids": [], "later": %s}' % DEEP, [(KIND_HEADER, b"cancel")], "body"),
        (
            b'{"specialist": "", "revision": "", "sampling": {"a": %s}}' % DEEP,
            [(KIND_HEADER, b"ask")],
            "body",
        ),
    ],
)
def test_what_is_no_message_is_refused_with_its_reason(
    value: bytes | None, headers: list[tuple[str, bytes | None]], reason: str
) -> None:
    with pytest.raises(Malformed) as refusal:
        decode(value, headers)
    assert refusal.value.reason == reason
    assert len(str(refusal.value)) < 1000


NAMES = st.sampled_from([KIND_HEADER, SCHEMA_HEADER, *(header for header, _ in HEADERS.values()), "other"])
CONTENTS = st.one_of(
    st.none(), st.binary(max_size=30), st.sampled_from([*map(str.encode, KINDS), b"1", b"0"])
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({field.name for kind in KINDS.values() for field in msgspec.structs.fields(kind)})
VALUES = st.one_of(
    st.none(),
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8).map(lambda value: json.dumps(value).encode()),
)


@given(VALUES, st.lists(st.tuples(NAMES, CONTENTS), max_size=8), st.sampled_from(sorted(KINDS)))
@example(b"{}", [("x-tsuzuri-attempt", b"0"), ("x-tsuzuri-lane", b"")], "accepted")
def test_whatever_arrives_is_a_message_or_is_refused_as_none(
    value: bytes | None, headers: list[tuple[str, bytes | None]], word: str
) -> None:
    for tried in (headers, [*headers, (KIND_HEADER, word.encode()), (SCHEMA_HEADER, b"1")]):
        try:
            found = decode(value, tried)
        except Malformed:
            continue
        else:
            assert decode(*encode(found)) == found


@given(st.sampled_from(sorted(EXAMPLES)), st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_a_damaged_record_is_a_message_or_is_refused_as_none(word: str, at: int, damage: bytes) -> None:
    value, headers = encode(envelope(EXAMPLES[word]))
    at %= len(value)
    with suppress(Malformed):
        decode(value[:at] + damage + value[at + 1 :], headers)


def test_ids_are_in_the_order_of_time_and_of_version_7() -> None:
    before = now_ms()
    ids = [uuid.UUID(new_id()) for _ in range(50)]
    assert all(item.version == 7 and item.variant == uuid.RFC_4122 for item in ids)
    assert all(before <= item.int >> 80 <= now_ms() for item in ids)
    assert len(set(ids)) == 50
