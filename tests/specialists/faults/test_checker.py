"""The judge itself: a history in order has no violation, and each made-up mistake is found, by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from specialists.faults.checker import check
from specialists.faults.history import Event, History, read_history

TEXT, ENDS = "むかしむかし", [0, 2, 4, 6]
Lines = list[tuple[str, dict[str, Any]]]


def request(id: str, **changes: Any) -> Lines:
    """All that is said of one request that went well."""
    end = {
        "how": "done",
        "code": "complete",
        "specialist": "general",
        "revision": "r1",
        "why": "",
        "tokens": 3,
    }
    log = {"outcome": "done", "attempts": 1, "specialist": "general", "revision": "r1", "worker": "w"}
    return [
        ("asked", {"id": id, "key": "k", "tokens": 3, "is_stream": True}),
        ("accepted", {"id": id, "request_id": f"req-{id}"}),
        ("shown", {"id": id, "text": TEXT[:2]}),
        ("shown", {"id": id, "text": TEXT[2:]}),
        ("ended", {"id": id, **end, **changes}),
        ("closed", {"id": id, **log}),
        ("usage", {"request_id": f"req-{id}", "id": id, "outcome": "complete", "tokens": 3}),
    ]


def sound() -> Lines:
    """A history without a mistake: two answers, one beginning with its mark, two that were refused, one that
    its client left, and a fault."""
    left, marked = request("c"), request("d", how="marked", code="handed_back", tokens=None)
    left[3:5] = [("cancelled", {"id": "c"})]
    left[-1] = ("usage", {"request_id": "req-c", "id": "", "outcome": "cancelled", "tokens": 2})
    del marked[3]
    marked[-1] = ("usage", {"request_id": "req-d", "id": "d", "outcome": "handed_back", "tokens": 1})
    asked = {"key": "k", "tokens": 3, "is_stream": False}
    return [
        ("known", {"key": "k", "specialist": "general", "text": TEXT, "ends": ENDS}),
        *request("a"),
        ("fault", {"number": 1, "name": "kill worker", "target": ""}),
        *request("b"),
        ("fault_over", {"number": 1}),
        *left,
        *marked,
        ("asked", {"id": "e", **asked}),
        ("refused", {"id": "e", "status": 503, "code": "no_specialist", "retry_after": "5"}),
        ("asked", {"id": "f", **asked}),
        ("refused", {"id": "f", "status": 500, "code": "request_put_aside", "retry_after": ""}),
        ("held", {"requests": 0, "tokens": 0}),
        ("letters", {"reasons": {}}),
        *[("wrote_on", {"id": "y", "worker": "w", "after_s": 0.02})] * 10,
        ("over", {}),
    ]


def history(lines: Lines) -> list[Event]:
    return [Event(float(number), kind, values) for number, (kind, values) in enumerate(lines)]


def place(lines: Lines, kind: str, id: str, which: int = 0) -> int:
    """Where the history says that of a request."""
    found = [
        number
        for number, (one, values) in enumerate(lines)
        if one == kind and id in (values.get("id"), values.get("request_id"))
    ]
    return found[which]


def change(kind: str, id: str, which: int = 0, /, **values: Any) -> Callable[[Lines], None]:
    """Some values of a line are others."""

    def apply(lines: Lines) -> None:
        lines[place(lines, kind, id, which)][1].update(values)

    return apply


def remove(kind: str, id: str, which: int = 0) -> Callable[[Lines], None]:
    """A line is missing."""
    return lambda lines: lines.pop(place(lines, kind, id, which)) and None


def again(kind: str, id: str) -> Callable[[Lines], None]:
    """A line is there twice."""

    def apply(lines: Lines) -> None:
        lines.insert(place(lines, kind, id) + 1, lines[place(lines, kind, id)])

    return apply


def add(kind: str, **values: Any) -> Callable[[Lines], None]:
    """There is one line more, before the end."""
    return lambda lines: lines.insert(-1, (kind, values))


def test_a_sound_history_has_no_violation() -> None:
    assert check(history(sound())) == []


@pytest.mark.parametrize(
    ("mistake", "rule", "id"),
    [
        (remove("ended", "a"), "lost", "a"),
        (change("ended", "d", how="hung"), "lost", "d"),
        (remove("closed", "a"), "lost", "a"),
        (remove("refused", "e"), "lost", "e"),
        (again("ended", "b"), "twice", "b"),
        (again("closed", "b"), "twice", "b"),
        (again("usage", "req-b"), "twice", "b"),
        (add("cancelled", id="e"), "twice", "e"),
        (add("shown", id="c", text="むかし"), "late", "c"),
        (add("wrote_on", id="x", worker="w", after_s=6.0), "late", "x"),
        (change("shown", "a", 1, text="むかしむ"), "text", "a"),
        (again("shown", "b"), "text", "b"),
        (remove("shown", "b"), "text", "b"),
        (change("shown", "c", text="ある"), "text", "c"),
        (change("shown", "d", text="ある"), "text", "d"),
        (change("ended", "d", how="cut"), "unmarked", "d"),
        (change("ended", "a", revision=None), "revision", "a"),
        (change("ended", "a", revision="r2"), "revision", "a"),
        (change("refused", "e", retry_after=""), "refusal", "e"),
        (change("refused", "e", status=500, code="internal"), "refusal", "e"),
        (change("refused", "e", status=0, code="ConnectError"), "refusal", "e"),
        (remove("usage", "req-a"), "usage", "a"),
        (remove("usage", "req-d"), "usage", "d"),
        (change("usage", "req-a", tokens=2), "usage", "a"),
        (change("usage", "req-c", tokens=0), "usage", "c"),
        (change("usage", "req-c", tokens=4), "usage", "c"),
        (add("usage", request_id="req-x", id="", outcome="complete", tokens=1), "usage", "req-x"),
        (change("usage", "req-d", request_id="req-a", id="a"), "twice", "a"),
        (add("usage", request_id="req-e", id="e", outcome="complete", tokens=3), "usage", "e"),
        (add("held", requests=1, tokens=40), "held", ""),
        (lambda lines: lines.pop() and None, "unfinished", ""),
    ],
)  # fmt: skip
def test_each_mistake_is_found(mistake: Callable[[Lines], None], rule: str, id: str) -> None:
    lines = [(kind, dict(values)) for kind, values in sound()]
    mistake(lines)
    assert (rule, id) in {(broken.rule, broken.id) for broken in check(history(lines))}


def test_what_a_killed_gateway_cut_is_no_violation_and_what_another_fault_cut_is() -> None:
    for name, expected in (("kill gateway", set()), ("kill worker", {"unmarked"})):
        lines = [(kind, dict(values)) for kind, values in sound()]
        change("ended", "d", how="cut")(lines)
        lines.insert(place(lines, "asked", "d") + 1, ("fault", {"number": 2, "name": name, "target": ""}))
        assert {broken.rule for broken in check(history(lines))} == expected


def test_what_is_written_is_read_and_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    book = History(tmp_path / "history.jsonl")
    for kind, values in sound():
        book.note(kind, **values)
    events = book.read()
    book.close()
    book.note("over")  # too late: nothing is written any more
    assert [(event.kind, event.values) for event in events] == sound()
    assert [event.at_s for event in events] == sorted(event.at_s for event in events)
    whole = book.path.read_bytes()
    book.path.write_bytes(whole[:-3])
    assert len(list(read_history(book.path))) == len(events) - 1
