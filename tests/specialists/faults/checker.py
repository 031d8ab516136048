"""The judge: reads a history after the run and names every promise that was broken, with the request.

Nothing here looks at the clock or asks anybody. What clients saw, what the gateway's log says and what the
books hold are three accounts of the same run, and have to agree:

    lost        a request without an end, or one that the gateway never closed
    twice       two ends; two rows of usage; closed twice
    late        text after the end, or after the client had gone; or written on for long by a worker that
                was told to stop, while nothing was wrong
    text        not the uninterrupted answer, nor a marked beginning of it
    unmarked    an answer cut short without a word, though nobody had killed the gateway
    revision    an answer that does not name the one revision that wrote it
    refusal     a refusal that is none of ours, or does not say when to come again
    usage       a bill that is missing, is nobody's, or is not what was shown
    held        quota still reserved for requests that have ended
    unfinished  a history without its end
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from specialists.faults.history import Event

ENDS = ("refused", "ended", "cancelled")
AGAIN = (429, 503)
"""Refusals that say when to come again."""
PUT_ASIDE = "request_put_aside"
KILLS_GATEWAY = "kill gateway"
GATEWAY_FAULTS = (KILLS_GATEWAY, "end gateway")
"""While which connections are refused."""
STOPS_S = 5.0
"""Within which a worker stops what nobody wants any more: a hundred times what it takes."""
TAKEN_OVER = "nobody who should answer"
"""In the reasons of an answer that another specialist went on with: from there on it is another text."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    rule: str
    id: str
    said: str


@dataclass(slots=True)
class Case:
    """One request, by all accounts."""

    asked: Event
    events: list[Event] = field(default_factory=list)
    closings: list[Event] = field(default_factory=list)
    bills: list[Event] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.asked["id"])

    @property
    def end(self) -> Event | None:
        """The first."""
        return next((event for event in self.events if event.kind in ENDS), None)

    @property
    def accepted(self) -> Event | None:
        return next((event for event in self.events if event.kind == "accepted"), None)

    @property
    def text(self) -> str:
        """What the client was shown."""
        return "".join(event["text"] for event in self.events if event.kind == "shown")

    @property
    def is_done(self) -> bool:
        """Whether it came whole, as its end says."""
        return self.end is not None and self.end.kind == "ended" and self.end["how"] == "done"


def cases(history: Iterable[Event]) -> dict[str, Case]:
    """Every request that was asked, by id."""
    found: dict[str, Case] = {}
    by_request: dict[str, Case] = {}
    bills: list[Event] = []
    for event in history:
        if event.kind == "asked":
            found.setdefault(event["id"], Case(event)).asked = event
        elif event.kind in ("accepted", "shown", *ENDS) and event["id"] in found:
            found[event["id"]].events.append(event)
            if event.kind == "accepted":
                by_request[event["request_id"]] = found[event["id"]]
        elif event.kind == "closed" and event["id"] in found:
            found[event["id"]].closings.append(event)
        elif event.kind == "usage":
            bills.append(event)
    for bill in bills:
        case = by_request.get(bill["request_id"]) or found.get(bill["id"])
        if case is not None:
            case.bills.append(bill)
    return found


def check(history: Iterable[Event]) -> list[Violation]:
    """Every promise that was broken."""
    events = list(history)
    found = cases(events)
    known: defaultdict[str, dict[str, Event]] = defaultdict(dict)
    for event in events:
        if event.kind == "known":
            known[event["key"]][event["specialist"]] = event
    faults = _spans(events)
    broken = [
        violation
        for case in found.values()
        for violation in (
            *_ends(case),
            *_text(case, known[case.asked["key"]], faults),
            *_named(case),
            *_refused(case, faults),
            *_billed(case, known[case.asked["key"]]),
        )
    ]
    return [*broken, *_written_on(events, faults), *_books(events, found)]


def _spans(events: list[Event]) -> list[tuple[str, float, float]]:
    """(name, from, to) of every fault."""
    over = {event["number"]: event.at_s for event in events if event.kind == "fault_over"}
    begun = [event for event in events if event.kind == "fault"]
    return [(one["name"], one.at_s, over.get(one["number"], float("inf"))) for one in begun]


def _within(case: Case, faults: list[tuple[str, float, float]], *names: str) -> bool:
    """Whether such a fault touched a request."""
    until = case.end.at_s if case.end else float("inf")
    return any(name in names and begun <= until and over >= case.asked.at_s for name, begun, over in faults)


def _ends(case: Case) -> Iterator[Violation]:
    ends = [event for event in case.events if event.kind in ENDS]
    if not ends or (ends[0].kind == "ended" and ends[0]["how"] == "hung"):
        yield Violation("lost", case.id, "it has no end")
    if len(ends) > 1:
        yield Violation("twice", case.id, f"it ended {len(ends)} times")
    if ends:
        place = case.events.index(ends[0])
        if any(event.kind == "shown" for event in case.events[place + 1 :]):
            yield Violation("late", case.id, f"text after it was {ends[0].kind}")
    if len(case.closings) > 1:
        outcomes = ", ".join(closing["outcome"] for closing in case.closings)
        yield Violation("twice", case.id, f"the gateway closed it as {outcomes}")
    if case.is_done and not case.closings:
        yield Violation("lost", case.id, "the gateway's log does not know of its end")


def _text(case: Case, known: dict[str, Event], faults: list[tuple[str, float, float]]) -> Iterator[Violation]:
    end, text = case.end, case.text
    wholes = {name: str(event["text"]) for name, event in known.items()}
    if end is None or not wholes:
        return
    if end.kind == "ended" and end["how"] == "cut" and not _within(case, faults, KILLS_GATEWAY):
        yield Violation("unmarked", case.id, f"cut after {len(text)} characters")
    if case.is_done:
        if text == wholes.get(end["specialist"]):
            return
        first = next((event["text"] for event in case.events if event.kind == "shown"), "")
        if TAKEN_OVER in (end["why"] or "") and any(one.startswith(first) for one in wholes.values()):
            return
        yield Violation("text", case.id, f"{text!r} is not the answer of {end['specialist']}")
    elif not any(one.startswith(text) for one in wholes.values()):
        yield Violation("text", case.id, f"{text!r} is no beginning of its answer")


def _named(case: Case) -> Iterator[Violation]:
    end = case.end
    if end is None or not case.is_done:
        return
    if not end["specialist"] or not end["revision"]:
        yield Violation("revision", case.id, "it does not say who wrote it")
    by_log = {(closing["specialist"], closing["revision"]) for closing in case.closings}
    if by_log and (end["specialist"], end["revision"]) not in by_log:
        said = f"the client was told {end['specialist']}/{end['revision']}, the log {sorted(by_log)}"
        yield Violation("revision", case.id, said)


def _refused(case: Case, faults: list[tuple[str, float, float]]) -> Iterator[Violation]:
    end = case.end
    if end is None or end.kind != "refused":
        return
    status, code = end["status"], end["code"]
    if status in AGAIN and not end["retry_after"]:
        yield Violation("refusal", case.id, f"{status} {code} does not say when to come again")
    if status == 0 and not _within(case, faults, *GATEWAY_FAULTS):
        yield Violation("refusal", case.id, f"no answer at all: {code}")
    if status not in (0, *AGAIN) and code != PUT_ASIDE:
        yield Violation("refusal", case.id, f"{status} {code}")


def _billed(case: Case, known: dict[str, Event]) -> Iterator[Violation]:
    end, text = case.end, case.text
    if end is None:
        return
    if len(case.bills) > 1:
        yield Violation("twice", case.id, f"{len(case.bills)} rows of usage")
    if not case.bills:
        if text or case.is_done:
            yield Violation("usage", case.id, "it was shown and not billed")
        return
    billed = case.bills[0]["tokens"]
    if billed and end.kind == "refused" and end["status"]:
        yield Violation("usage", case.id, f"{billed} tokens billed, though it was refused")
    if billed > case.asked["tokens"]:
        yield Violation("usage", case.id, f"{billed} tokens billed, {case.asked['tokens']} asked for")
    if case.is_done and billed != end["tokens"]:
        yield Violation("usage", case.id, f"{billed} tokens billed, the client was told {end['tokens']}")
    for event in known.values():
        ends = event["ends"]
        if event["text"].startswith(text) and billed < len(ends):
            if ends[billed] < len(text):
                yield Violation("usage", case.id, f"{billed} tokens billed do not hold what was shown")
            if case.is_done and ends[billed] != len(text):
                yield Violation("usage", case.id, f"{billed} tokens billed are not what was shown")


def _written_on(events: list[Event], faults: list[tuple[str, float, float]]) -> Iterator[Violation]:
    for event in (event for event in events if event.kind == "wrote_on" and event["after_s"] > STOPS_S):
        since = event.at_s - event["after_s"]
        if not any(begun <= event.at_s and over + STOPS_S >= since for _, begun, over in faults):
            said = f"{event['worker']} wrote on {event['after_s']:.1f} s after it was told to stop"
            yield Violation("late", event["id"], said)


def _books(events: list[Event], found: dict[str, Case]) -> Iterator[Violation]:
    """What concerns no request, or one that nobody asked."""
    names = {bill["request_id"] for case in found.values() for bill in case.bills}
    strange = [
        event
        for event in events
        if event.kind == "usage" and event["request_id"] not in names and event["tokens"]
    ]
    # Whoever was gone before the first byte knows no id, and a killed gateway does not log whose it was.
    is_killed = any(event.kind == "fault" and event["name"] == KILLS_GATEWAY for event in events)
    for bill in strange[sum(case.accepted is None for case in found.values()) if is_killed else 0 :]:
        yield Violation("usage", bill["request_id"], f"{bill['tokens']} tokens billed that nobody asked for")
    held = [event for event in events if event.kind == "held"]
    if held and (held[-1]["requests"] or held[-1]["tokens"]):
        yield Violation("held", "", f"{held[-1]['requests']} requests, {held[-1]['tokens']} tokens")
    if not any(event.kind == "over" for event in events):
        yield Violation("unfinished", "", "the run did not come to its end")
