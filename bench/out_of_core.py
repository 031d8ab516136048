"""A corpus larger than its memory, end to end: what building it takes, and what larger ones would take.

    python bench/out_of_core.py --out FOLDER [--gigabytes 5] [--workers N] [--data ../shared/data] [--keep]

Gigabytes of mutated real text (see `_mutated`), a third of it copies, are written as JSON lines, then
`tsuzuri corpus build` makes a corpus of them with all kinds of duplicates looked for. Memory is the PSS of
all its processes together, looked at twice a second; the bar is 3 GB, whatever the size. From the CPU seconds
of each step, the disk at its peak and what the code keeps for each document follow the costs of larger
corpora, and which limit they meet first. A step is told by what lies in the folder, so its seconds are known
to a half.

What grows with the text is scaled by the bytes. What grows faster is counted, and its piece is measured: each
range of sorted records looks into the file of every part, and there are more of both.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from _mutated import EXACT, NEAR, Mutations, base_texts, write_shards
from _processes import Usage, measure
from _report import Comparison, emit, machine
from tsuzuri.core.manifest import read_manifest
from tsuzuri.corpus.duplicates.config import WORKER_MEMORY_BYTES, NearDuplicateConfig
from tsuzuri.corpus.duplicates.runs import KEYED, SORT_COPIES, keyed, read_range, write_runs
from tsuzuri.corpus.duplicates.spans import PLACE_BITS

BAR_BYTES = 3e9
NEEDED = 3
"""Bytes of free disk that a byte of text wants: itself, its part, and what is sorted or written meanwhile."""
BASE_BYTES = 400e6
SHARD_BYTES = 64e6
SMALL_ROOT_BYTES = 2**18
"""What lies in the box itself before documents are written is less."""
HASHING, READING, NEAR_COPIES, SITE_LINES, PASSAGES, WRITING = (
    "hashing input",
    "reading",
    "near-copies",
    "lines of sites",
    "passages",
    "writing, hashing output",
)
FOLDERS = {
    WRITING: ".",
    PASSAGES: "parts/selection/passages",
    SITE_LINES: "parts/selection/boilerplate",
    NEAR_COPIES: "parts/selection/near",
    READING: "parts",
}
"""Step → the folder whose files show that it has begun, the last step first."""
IN_ONE_PROCESS = (HASHING, WRITING)
ROW_BYTES = 40
"""What the deciding process knows of every document (`corpus.selection`)."""
RANK_BYTES = 64
"""And while near-copies are decided (`duplicates.near`)."""
NEAR_COPY_BYTES = 200
"""And for each that has a near-copy: its ids in the table of decisions."""
CORPORA = {"21 GB": 21e9, "40 GB": 40e9, "1 TB": 1e12, "100 TB": 100e12}
MOST_MAPS = 65_530
"""vm.max_map_count where nobody changed it (`duplicates.verify.SetReader` maps a file of every part)."""
MOST_ROWS = 2 ** (63 - PLACE_BITS)
"""`duplicates.spans` has a row and a place in one number."""
MACHINE_MEMORY_BYTES, MACHINE_DISK_BYTES, LONGEST_S = 64e9, 20e12, 30 * 86_400.0
RECIPE = """\
corpus:
  root: {root}
  workers: {workers}
  source: {{ kind: files, path: shards, fields: {{ group: site }} }}
  duplicates: {{ near: {{}}, boilerplate: {{}}, passages: {{}} }}
"""


@dataclass
class Cost:
    """What a step took."""

    cpu_s: float = 0.0
    elapsed_s: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0


@dataclass(frozen=True)
class Measured:
    """A build, and the pieces of what grows faster than it."""

    text_bytes: float
    documents: int
    parts: int
    in_clusters: int
    """Documents with a near-copy."""
    steps: Mapping[str, Cost]
    disk_bytes: float
    memory_bytes: float
    look_s: float
    """How long one range takes to look into one part's file."""

    @property
    def document_bytes(self) -> float:
        """Memory of the deciding process for each document."""
        return ROW_BYTES + RANK_BYTES + NEAR_COPY_BYTES * self.in_clusters / self.documents

    @property
    def linear_s(self) -> float:
        """CPU seconds for each byte of text."""
        return sum(cost.cpu_s for cost in self.steps.values()) / self.text_bytes

    @property
    def serial_s(self) -> float:
        """CPU seconds for each byte of text that one process spends alone."""
        return sum(self.steps[step].cpu_s for step in IN_ONE_PROCESS if step in self.steps) / self.text_bytes

    @property
    def squared_s(self) -> float:
        """CPU seconds for each squared byte of text: looks."""
        near = NearDuplicateConfig()
        keys = self.documents * KEYED.itemsize * near.bands
        lines, anchors = (
            self.steps[step].disk_bytes if step in self.steps else 0 for step in (SITE_LINES, PASSAGES)
        )
        ranges = (keys + lines + anchors) * SORT_COPIES / WORKER_MEMORY_BYTES
        return ranges * self.parts * self.look_s / self.text_bytes**2


@dataclass(frozen=True)
class Forecast:
    """What a larger corpus would take."""

    core_hours: float
    """Of work that is shared."""
    serial_hours: float
    """Of these, those of the one process that hashes and writes."""
    disk_bytes: float
    memory_bytes: float
    """Of the process that decides."""


def forecast(measured: Measured, text_bytes: float) -> Forecast:
    """What so many bytes of text would take."""
    documents = measured.documents / measured.text_bytes * text_bytes
    seconds = measured.linear_s * text_bytes + measured.squared_s * text_bytes**2
    return Forecast(
        seconds / 3600,
        measured.serial_s * text_bytes / 3600,
        measured.disk_bytes / measured.text_bytes * text_bytes,
        documents * measured.document_bytes,
    )


def limits(measured: Measured) -> list[tuple[float, str]]:
    """(bytes of text, what happens there), the first limit first."""
    per_document = measured.text_bytes / measured.documents
    more = (BAR_BYTES - measured.memory_bytes) / measured.document_bytes * per_document
    return sorted(
        [
            (measured.text_bytes + more, f"all processes take {BAR_BYTES / 1e9:.0f} GB of memory together"),
            (
                MACHINE_MEMORY_BYTES / measured.document_bytes * per_document,
                f"the deciding process fills {MACHINE_MEMORY_BYTES / 1e9:.0f} GB of memory:"
                f" {measured.document_bytes:.0f} bytes a document",
            ),
            (
                MACHINE_DISK_BYTES / measured.disk_bytes * measured.text_bytes,
                f"the disk holds {MACHINE_DISK_BYTES / 1e12:.0f} TB",
            ),
            (
                LONGEST_S / measured.serial_s,
                f"hashing and writing, in one process, take {LONGEST_S / 86_400:.0f} days",
            ),
            (
                measured.linear_s / measured.squared_s,
                "looking into every part's file takes as long as all else",
            ),
            (
                MOST_ROWS * per_document,
                f"documents and places in them no longer fit one number ({MOST_ROWS} documents)",
            ),
            (
                MOST_MAPS / measured.parts * measured.text_bytes,
                f"verifying near-copies maps more files than Linux lets a process ({MOST_MAPS}), one a part",
            ),
        ]
    )


def by_step(usage: Usage) -> dict[str, Cost]:
    """Step → what it took, in their order."""
    found: dict[str, Cost] = {}
    ends = [(sample.cpu_s, sample.elapsed_s) for sample in usage.samples[1:]]
    for sample, (cpu_s, elapsed_s) in zip(
        usage.samples, [*ends, (usage.cpu_s, usage.elapsed_s)], strict=True
    ):
        step = step_of(sample.disk)
        cost = found.setdefault(step, Cost())
        cost.cpu_s += cpu_s - sample.cpu_s
        cost.elapsed_s += max(0.0, elapsed_s - sample.elapsed_s)
        cost.memory_bytes = max(cost.memory_bytes, sample.memory_bytes)
        own = FOLDERS.get(step, ".")
        cost.disk_bytes = max(cost.disk_bytes, sample.disk.get(own, 0))
    return found


def step_of(disk: Mapping[str, int]) -> str:
    """What a build does whose folder holds so much."""
    if not any(name.split("/")[0] == "parts" for name in disk):
        return HASHING
    for step, folder in FOLDERS.items():
        if disk.get(folder, 0) > (SMALL_ROOT_BYTES if step == WRITING else 0):
            return step
    return READING


def look_s(files: int = 200, ranges: int = 20) -> float:
    """Seconds that a range of keys takes to look into one file."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number:05}.run" for number in range(files)]
        keys = np.arange(1_000, dtype=np.uint64)
        for path in paths:
            write_runs(path, [keyed(keys, keys.astype(np.int64))])
        started = time.process_time()
        for number in range(ranges):
            read_range(paths, KEYED, (number, number + 1))
        return (time.process_time() - started) / files / ranges


def require_disk(folder: Path, text_bytes: float) -> None:
    """SystemExit where the disk is too small."""
    needed, free = NEEDED * text_bytes + BASE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(
            f"{folder} has {free / 1e9:.1f} GB free; {text_bytes / 1e9:g} GB of text want {needed / 1e9:.1f}:"
            " free some, give another --out or fewer --gigabytes"
        )


def table(measured: Measured, usage: Usage) -> list[str]:
    """What the build took, and larger ones would take."""
    lines = [f"{'step':26} {'CPU s':>8} {'clock s':>8} {'memory MB':>10} {'disk MB':>9}"]
    for step, cost in measured.steps.items():
        sizes = f"{cost.memory_bytes / 1e6:>10.0f} {cost.disk_bytes / 1e6:>9.0f}"
        lines.append(f"{step:26} {cost.cpu_s:>8.1f} {cost.elapsed_s:>8.1f} {sizes}")
    sizes = f"{measured.memory_bytes / 1e6:>10.0f} {measured.disk_bytes / 1e6:>9.0f}"
    lines.append(f"{'together':26} {usage.cpu_s:>8.1f} {usage.elapsed_s:>8.1f} {sizes}")
    lines.append(
        f"{'corpus':>9} {'core-hours':>11} {'in one process':>15} {'disk TB':>9} {'deciding process, GB':>21}"
        "  (disk: beside the input)"
    )
    for name, size in CORPORA.items():
        found = forecast(measured, size)
        lines.append(
            f"{name:>9} {found.core_hours:>11.1f} {found.serial_hours:>15.1f} {found.disk_bytes / 1e12:>9.2f}"
            f" {found.memory_bytes / 1e9:>21.1f}"
        )
    found = [f"from {_size(where)} on {what}" for where, what in limits(measured)]
    return [*lines, "limits, the first bottleneck first:", *found]


def _size(text_bytes: float) -> str:
    return f"{text_bytes / 1e12:.2f} TB" if text_bytes >= 1e12 else f"{text_bytes / 1e9:.0f} GB"


def found_copies(kinds: Mapping[str, int], counts: Mapping[str, Any]) -> str:
    """What was planted and what fell out, in words."""
    lost = counts["rejected"]
    return (
        f"planted {kinds[EXACT]} exact copies and {kinds[NEAR]} near-copies; fell out as duplicates"
        f" {lost.get('duplicate', 0)}, as near-duplicates {lost.get('near_duplicate', 0)};"
        f" all reasons: {lost}; kept {counts['documents']}; {counts['selection']}"
    )


def build(folder: Path, workers: int | None) -> Usage:
    """Run the command."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(root=folder, workers=workers or "null"), encoding="utf-8")
    box = folder / "box"
    command = [sys.executable, "-m", "tsuzuri", "corpus", "build", str(recipe), "--out", str(box)]
    return measure(command, box)


def main() -> None:
    """Make the text, build the corpus, and print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="a new folder for text and corpus")
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--workers", type=int, help="processes; unset: as many as there are cores")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--keep", action="store_true", help="leave text and corpus there")
    options = parser.parse_args()
    print(machine(["numba", "numpy", "pyarrow"]))
    if not options.data.is_dir():
        parser.error(f"there is no real text at {options.data}: give --data")
    if options.out.exists():
        parser.error(f"{options.out} is there already: --out is a new folder")
    total = options.gigabytes * 1e9
    options.out.mkdir(parents=True)
    try:
        require_disk(options.out, total)
        started = time.process_time()
        documents = iter(Mutations(base_texts(options.data, total), seed=0))
        shard_bytes = min(SHARD_BYTES, total / 8)
        kinds, written = write_shards(documents, options.out / "shards", total, shard_bytes)
        took = f"{time.process_time() - started:.0f} s of CPU time"
        print(f"{kinds.total()} documents, {written / 1e9:.3f} GB of text, made in {took}: {dict(kinds)}")
        parts = len(list((options.out / "shards").iterdir()))
        usage = build(options.out, options.workers)
        counts = read_manifest(options.out / "box").counts
        print(found_copies(kinds, counts))
        measured = Measured(
            text_bytes=written,
            documents=kinds.total(),
            parts=parts,
            in_clusters=counts["selection"]["near"]["in_clusters"],
            steps=by_step(usage),
            disk_bytes=usage.peak_disk_bytes,
            memory_bytes=usage.peak_memory_bytes,
            look_s=look_s(),
        )
        for line in table(measured, usage):
            print(line)
        peak, anonymous = max((item.memory_bytes, item.anonymous_bytes) for item in usage.samples)
        print(f"memory at its peak: {peak / 1e9:.2f} GB, of which {anonymous / 1e9:.2f} GB no file's pages")
        name = f"out of core: {written / 1e9:.2f} GB, memory of all processes"
        emit([Comparison(name, round(BAR_BYTES / peak, 2), round(peak / 1e9, 3), BAR_BYTES / 1e9, "GB")])
    finally:
        if not options.keep:
            shutil.rmtree(options.out)


if __name__ == "__main__":
    main()
