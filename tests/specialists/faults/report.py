"""What a run came to, as a table: by its history alone, in Markdown and JSON."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from specialists.faults.checker import Case, Violation, cases
from specialists.faults.history import Event
from tsuzuri.core.files import write_json, write_text

MIB = 2**20
SETTLED = 0.5
"""Of a process' samples, the last share: by which its memory is judged, when all is loaded."""


def report(
    history: Iterable[Event], violations: Sequence[Violation], about: Mapping[str, Any]
) -> dict[str, Any]:
    """The figures of a run; `about`: what it was and where."""
    events = list(history)
    found = list(cases(events).values())
    faults = _faults(events, found)
    return {
        "about": dict(about),
        "requests": _requests(found),
        "latency_s": _latency(found, faults),
        "violations": dict(Counter(one.rule for one in violations)),
        "violation_examples": [f"{one.rule} {one.id}: {one.said}" for one in violations[:20]],
        "faults": faults,
        "memory": _memory(events),
        "dead_letters": next((event["reasons"] for event in reversed(events) if event.kind == "letters"), {}),
    }


def write_report(folder: Path, told: Mapping[str, Any]) -> Path:
    """The path of report.md; report.json stands beside it."""
    write_json(folder / "report.json", told)
    write_text(folder / "report.md", in_markdown(told))
    return folder / "report.md"


def in_markdown(told: Mapping[str, Any]) -> str:
    """For people."""
    requests, about = told["requests"], told["about"]
    counts = [(name, requests[name]) for name in ("asked", "done", "marked", "refused", "left", "pending")]
    lines = [
        "# Faults: what came of a run",
        "",
        ", ".join(f"{name}: {value}" for name, value in about.items()),
        "",
        "| requests | |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in counts),
        *(f"| … {what} | {count:,} |" for what, count in requests["reasons"].items()),
        f"| tokens shown, and billed for them | {requests['tokens_shown']}, {requests['tokens_billed']} |",
        f"| billed to clients that left or were cut | {requests['tokens_of_others']:,} |",
        f"| **violations** | **{sum(told['violations'].values())}** |",
        "",
        "| whole answers, s | number | p50 | p95 | p99 | longest |",
        "|---|---|---|---|---|---|",
        *(_row(name, *values.values()) for name, values in told["latency_s"].items()),
        "",
        "| fault | times | lasted | refused | marked | next answer after, s | all that ran ended after, s |",
        "|---|---|---|---|---|---|---|",
        *(_row(*row) for row in _by_kind(told["faults"])),
    ]
    if told["memory"]:
        lines += ["", "| memory | MiB, median of the last half | slope, MiB a minute |", "|---|---|---|"]
        lines += [_row(name, *values.values()) for name, values in told["memory"].items()]
    if told["dead_letters"]:
        lines += ["", "Dead letters: " + ", ".join(f"{k} {v}" for k, v in told["dead_letters"].items())]
    if told["violation_examples"]:
        lines += ["", *(f"- {line}" for line in told["violation_examples"])]
    return "\n".join(lines) + "\n"


def _row(*cells: Any) -> str:
    return (
        "| " + " | ".join(f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"
    )


def _requests(found: Sequence[Case]) -> dict[str, Any]:
    """How all of them ended, and what was billed."""
    kinds, reasons = Counter[str](), Counter[str]()
    shown = billed = others = 0
    for case in found:
        end = case.end
        bill = sum(event["tokens"] for event in case.bills)
        if end is None or (end.kind == "ended" and end["how"] == "hung"):
            kinds["pending"] += 1
        elif end.kind == "refused":
            kinds["refused"] += 1
            reasons[f"refused: {end['status']} {end['code']}"] += 1
        elif end.kind == "cancelled":
            kinds["left"] += 1
        elif end["how"] == "done":
            kinds["done"] += 1
            shown += end["tokens"]
            billed += bill
            continue
        else:
            kinds["marked"] += 1
            reasons[f"{end['how']}: {end['code']}"] += 1
        others += bill
    names = ("done", "marked", "refused", "left", "pending")
    return {
        "asked": len(found),
        **{name: kinds[name] for name in names},
        "reasons": dict(reasons.most_common()),
        "tokens_shown": shown,
        "tokens_billed": billed,
        "tokens_of_others": others,
        "attempts": dict(sorted(Counter(c["attempts"] for case in found for c in case.closings).items())),
    }


def _latency(found: Sequence[Case], faults: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of whole answers, by whether a fault touched them."""
    spans = [(one["begun_s"], one["healed_s"]) for one in faults]
    by: defaultdict[str, list[float]] = defaultdict(list)
    for case in found:
        if case.is_done and case.end is not None:
            begun, ended = case.asked.at_s, case.end.at_s
            is_touched = any(begun <= over and ended >= start for start, over in spans)
            by["while something was wrong" if is_touched else "else"].append(ended - begun)
    return {
        name: {
            "number": len(by[name]),
            **{f"p{share}": _quantile(by[name], share / 100) for share in (50, 95, 99)},
            "longest": max(by[name], default=0.0),
        }
        for name in ("else", "while something was wrong")
    }


def _faults(events: Sequence[Event], found: Sequence[Case]) -> list[dict[str, Any]]:
    """Each with what its requests went through, and how soon the house answered again."""
    over = {event["number"]: event.at_s for event in events if event.kind == "fault_over"}
    last_s = max((event.at_s for event in events), default=0.0)
    rows = []
    for fault in (event for event in events if event.kind == "fault"):
        begun, until = fault.at_s, over.get(fault["number"], last_s)
        touched = [
            case
            for case in found
            if case.asked.at_s <= until and (case.end is None or case.end.at_s >= begun)
        ]
        ends = [case.end for case in touched if case.end is not None]
        running = [one.end.at_s for one in touched if one.end is not None and one.asked.at_s < begun]
        after = [
            case.end.at_s
            for case in found
            if case.is_done and case.end is not None and case.asked.at_s >= begun
        ]
        next_s = min(after, default=last_s)
        rows.append(
            {
                "name": fault["name"],
                "target": fault["target"],
                "begun_s": begun,
                "lasted_s": until - begun,
                "healed_s": max(until, next_s),
                "touched": len(touched),
                "refused": sum(end.kind == "refused" for end in ends),
                "marked": sum(end.kind == "ended" and end["how"] != "done" for end in ends),
                "next_answer_s": next_s - begun,
                "all_ended_s": max((end_s - begun for end_s in running), default=0.0),
            }
        )
    return rows


def _by_kind(faults: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """The rows of the table: the median and the worst of each kind of fault."""
    kinds: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for fault in faults:
        kinds[fault["name"]].append(fault)
    rows = []
    for name, all_of in sorted(kinds.items()):
        lasted = [one["lasted_s"] for one in all_of]
        row = [name, len(all_of), f"{min(lasted):.1f}–{max(lasted):.1f}"]
        row += [sum(one[what] for one in all_of) for what in ("refused", "marked")]
        for what in ("next_answer_s", "all_ended_s"):
            values = [one[what] for one in all_of]
            row.append(f"{_quantile(values, 0.5):.2f}, at most {max(values):.2f}")
        rows.append(row)
    return rows


def _memory(events: Sequence[Event]) -> dict[str, dict[str, float]]:
    """By process, of those that were seen often enough to tell."""
    seen: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    for event in events:
        if event.kind == "memory":
            seen[event["process"]].append((event.at_s, event["bytes"]))
    most = max(map(len, seen.values()), default=0)
    told = {}
    for name, samples in sorted(seen.items()):
        late = samples[int(len(samples) * (1 - SETTLED)) :]
        if len(samples) >= max(8, most / 2):
            told[name] = {
                "median_mib": _quantile([value for _, value in late], 0.5) / MIB,
                "slope_mib_min": 60 * _slope(late) / MIB,
            }
    return told


def _slope(samples: Sequence[tuple[float, int]]) -> float:
    """Least squares, a second."""
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0


def _quantile(values: Sequence[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, math.ceil(share * len(ranked)) - 1)] if ranked else 0.0
