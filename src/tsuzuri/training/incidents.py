"""What went wrong in a run by itself: `incidents.jsonl`, which also says which rows are not read again.

A line is written before anything is done about it, and it is all that is remembered of it. Killed at any
instant, a run comes either before the line, and to the same incident again, or after it. A step left out
without a rewinding may be made again by a resumed run: its line, a function of the run alone, is not written
twice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tsuzuri.core.boxes import INCIDENTS
from tsuzuri.core.errors import TrainingError
from tsuzuri.core.files import append_json_line, fsync_file, read_json_lines
from tsuzuri.core.progress import say
from tsuzuri.training.config import TrainConfig
from tsuzuri.training.peers import Peers

WITHIN_STEPS = 1000
"""Incidents are counted within so many steps."""
NAMED_DOCUMENTS = 6
"""Documents of an incident that a report names; the file names all."""

Incident = Mapping[str, Any]


class Incidents:
    """The incidents of a run, and where its rows begin because of them."""

    def __init__(self, box: Path, config: TrainConfig, *, amendments: int) -> None:
        """Those of the run in `box`, which was amended so often: each time it has a new chance."""
        self.path, self.config, self.amendments = box / INCIDENTS, config, amendments
        self.peers = Peers()
        self.lines: list[Incident] = self.peers.first(lambda: read_json_lines(self.path))
        if self.lines:
            self.require_few(self.lines[-1])

    def add(self, incident: Incident) -> None:
        """Write an incident down and say so; TrainingError when there have been too many."""
        incident = {**incident, "amendments": self.amendments}
        if "rewound_to" in incident or incident not in self.lines:
            if self.peers.rank == 0:
                append_json_line(self.path, incident)
                fsync_file(self.path)
            self.lines.append(incident)
        say(f"{described(incident)}; the documents are named in {self.path}")
        self.require_few(incident)

    def require_few(self, last: Incident) -> None:
        """Raise TrainingError, with a report, when `last` is one too many."""
        near = [
            line
            for line in self.lines
            if line["amendments"] == self.amendments and abs(line["step"] - last["step"]) < WITHIN_STEPS
        ]
        if len(near) < self.config.guard.max_incidents:
            return
        raise TrainingError(
            f"too much went wrong within {WITHIN_STEPS:,} steps, so the run stands:\n"
            + "\n".join(f"  {described(line)}\n    read: {read(line)}" for line in near)
            + suspects(near),
            hint=advice(near, self.config.optimizer.learning_rate / 2),
        )

    def first_row(self, step: int) -> int:
        """The row that the step after `step` begins with: each step's own, and those skipped so far."""
        skipped: int = sum(line["skipped_rows"] for line in self._rewound() if line["rewound_to"] <= step)
        return step * self.config.batch_rows + skipped

    def jumps(self) -> dict[int, int]:
        """Row that a batch would begin with → the row that it begins with, because of what is skipped."""
        steps = sorted({line["rewound_to"] for line in self._rewound() if line["skipped_rows"]})
        found = {}
        for step in steps:
            before = sum(line["skipped_rows"] for line in self._rewound() if line["rewound_to"] < step)
            found[step * self.config.batch_rows + before] = self.first_row(step)
        return found

    def tried(self) -> set[int]:
        """The steps whose weights the run went on from, with other rows, since it was last amended."""
        return {
            line["rewound_to"]
            for line in self._rewound()
            if line["skipped_rows"] and line["amendments"] == self.amendments
        }

    def _rewound(self) -> list[Incident]:
        """Those that the run was rewound for; not those before a step that it went back behind since."""
        found: list[Incident] = []
        for line in self.lines:
            if "rewound_to" in line:
                found = [other for other in found if other["rewound_to"] <= line["rewound_to"]]
                found.append(line)
        return found


def not_a_number(step: int, numbers: Mapping[str, float], samples: Sequence[Mapping[str, Any]]) -> Incident:
    """A step that was left out because its loss or gradient was no number."""
    return {
        "kind": "not a number",
        "step": step,
        **_readable(numbers),
        "rows": _span(samples),
        "samples": list(samples),
    }


def spike(
    step: int,
    numbers: Mapping[str, float],
    again: Mapping[str, float],
    limits: Mapping[str, float],
    *,
    same: bool,
    rewound_to: int,
    skipped_rows: int,
    samples: Sequence[Mapping[str, Any]],
) -> Incident:
    """A step that was left out because its loss or the norm of its gradient was above its limit."""
    return {
        "kind": "spike",
        "step": step,
        **_readable(numbers),
        "limits": _readable(limits),
        "again": _readable(again),
        "cause": "data or optimisation" if same else "hardware",
        "rewound_to": rewound_to,
        "skipped_rows": skipped_rows,
        "rows": _span(samples),
        "samples": list(samples),
    }


def described(incident: Incident) -> str:
    """An incident in one line."""
    loss, norm = incident["loss"], incident["grad_norm"]
    if incident["kind"] == "not a number":
        return f"step {incident['step']} left out: loss {_short(loss)}, norm of the gradient {_short(norm)}"
    limits, again = incident["limits"], incident["again"]
    beyond = (
        f"step {incident['step']} left out: loss {_short(loss)} (limit {_short(limits['loss'])}), norm of "
        f"the gradient {_short(norm)} (limit {_short(limits['grad_norm'])})"
    )
    if incident["cause"] == "hardware":
        return (
            f"{beyond}. The same batch on the same weights then gave {_short(again['loss'])} and "
            f"{_short(again['grad_norm'])}: THE HARDWARE IS AT FAULT. Back to step {incident['rewound_to']}"
        )
    return (
        f"{beyond}, and the same when computed again: data or optimisation. Back to step "
        f"{incident['rewound_to']}; {incident['skipped_rows']} rows read since are skipped"
    )


def read(incident: Incident) -> str:
    """Which rows, sources and documents the batch of an incident held."""
    samples = incident["samples"]
    sources: dict[str, int] = {}
    for sample in samples:
        sources[sample["source"]] = sources.get(sample["source"], 0) + 1
    named = dict.fromkeys(document for sample in samples for document in sample["documents"])
    shown = list(named)[:NAMED_DOCUMENTS]
    more = f" and {len(named) - len(shown):,} more" if len(named) > len(shown) else ""
    first, last = incident["rows"]
    of = ", ".join(f"{count} of {source}" for source, count in sorted(sources.items()))
    return f"rows {first:,} to {last:,} ({of}), documents {', '.join(shown)}{more}"


def suspects(incidents: Sequence[Incident]) -> str:
    """A line with the documents that more than one of them has read, if there are any."""
    found = Counter(
        document
        for incident in incidents
        for document in {name for sample in incident["samples"] for name in sample["documents"]}
    )
    often = sorted((-count, name) for name, count in found.items() if count > 1)
    names = [f"{name} ({-count} times)" for count, name in often[:NAMED_DOCUMENTS]]
    return f"\n  read more than once: {', '.join(names)}" if names else ""


def advice(incidents: Sequence[Incident], lower: float) -> str:
    """What to try after incidents of these causes."""
    amend = f"--amend train.optimizer.learning_rate={lower:g}"
    if any(incident.get("cause") == "hardware" for incident in incidents):
        return f"test this machine's memory and devices, or go on on another one ({amend} if it persists)"
    return (
        f"go on with a lower learning rate, {amend}, or withdraw the documents above if they are no text "
        "(tsuzuri corpus withdraw)"
    )


def _readable(numbers: Mapping[str, float]) -> dict[str, float | str]:
    """Loss and norm; one that is no number as a word, which JSON has no other way to write."""
    values = ((name, float(numbers[name])) for name in ("loss", "grad_norm"))
    return {name: value if math.isfinite(value) else str(value) for name, value in values}


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _span(samples: Sequence[Mapping[str, Any]]) -> list[int]:
    return [samples[0]["row"], samples[-1]["row"]]
