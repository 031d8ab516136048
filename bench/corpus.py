"""From raw web pages and Aozora works to deduplicated Parquet, end to end, against datatrove's pipeline.

    python bench/corpus.py [--pages 800] [--works 50] [--rounds 2] [--larger 8] [--data ../shared/data]
    python bench/corpus.py --kills 12 [--pages 800] [--works 50]

Our side is the command itself, `tsuzuri corpus build`, with all kinds of duplicates looked for, on a WARC
file and on works in Shift_JIS with ruby and colophon; the other is `_datatrove.py`, which is given the same
pages and works decoded. The pages are made of real articles (see `_web_pages`); every tenth document comes
twice, once as it is and once with characters changed. Megabytes of raw input (HTML and works as published) a
second of CPU time of all processes on each side, starting Python and loading dictionaries included, but not
the first run after an installation, which compiles. The sides take turns; the median of the rounds counts.
Since starting weighs much in so little, ours is measured once more on `--larger` times as much, alone.

With `--kills` the command is killed (SIGKILL) at so many random instants, spread over the time that it takes
undisturbed, the main process alone or all processes at once, and started again each time; whenever a corpus
is done it is compared with the undisturbed one: every document, and the hashes of all files. A corpus made by
two workers is compared too.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from _datatrove import FINAL
from _mutated import codes_of, near_copy, text_of
from _processes import Usage, in_session, measure
from _report import Comparison, emit, is_installed, machine
from _web_pages import Article, make_pages, read_articles, url_of, write_warc
from tsuzuri.core.manifest import MANIFEST, box_sha256, read_manifest, verify_files
from tsuzuri.corpus.document import Document, read_documents

COPIED = 10
"""One document in so many has an exact copy and a near-copy."""
SMALL_PAGES, SMALL_WORKS = 24, 2
GRACE_S = 60.0
RECIPE = """\
corpus:
  root: {root}
  workers: {workers}
  source:
    - {{ kind: common-crawl, path: pages.warc.gz }}
    - {{ kind: aozora, path: works }}
  duplicates: {{ near: {{}}, boilerplate: {{}}, passages: {{}} }}
"""


@dataclass(frozen=True)
class Input:
    """What both sides are given."""

    folder: Path
    documents: int
    raw_bytes: int
    """HTML and works as published."""
    text_bytes: int
    """The articles and the works in UTF-8."""

    def command(self, box: Path, workers: int = 1) -> list[str]:
        """Our side."""
        recipe = self.folder / f"recipe-{workers}.yaml"
        recipe.write_text(RECIPE.format(root=self.folder, workers=workers), encoding="utf-8")
        return [sys.executable, "-m", "tsuzuri", "corpus", "build", str(recipe), "--out", str(box)]

    def peer_command(self, out: Path) -> list[str]:
        """datatrove's."""
        script = Path(__file__).with_name("_datatrove.py")
        return [sys.executable, str(script), str(self.folder), str(out)]


def write_input(folder: Path, data: Path, pages: int, works: int) -> Input:
    """Pages and works for both sides, in each side's form."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    articles = [copy for item in read_articles(data, pages) for copy in _copies(item, generator)]
    made = make_pages(articles, seed=0)
    write_warc(made, folder / "pages.warc.gz")
    records = [{"id": url_of(page, place), "text": page.source} for place, page in enumerate(made)]
    pq.write_table(pa.Table.from_pylist(records), folder / "pages.parquet")
    found = sorted(data.glob("aozora/*/*.txt"))
    published, records = [], []
    for number, path in enumerate(found[:: max(1, len(found) // works)][:works]):
        for copy in range(2 if number % COPIED == 0 else 1):
            target = folder / "works" / path.parent.name / f"{path.stem}-{copy}.txt"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            published.append(path.read_bytes())
            records.append({"id": target.stem, "text": published[-1].decode("cp932", errors="replace")})
    pq.write_table(pa.Table.from_pylist(records), folder / "works.parquet")
    return Input(
        folder,
        len(made) + len(published),
        sum(len(page.source.encode()) for page in made) + sum(map(len, published)),
        sum(len(page.truth.encode()) for page in made) + sum(len(item["text"].encode()) for item in records),
    )


def _copies(article: Article, generator: np.random.Generator) -> list[Article]:
    """The article, and for some a copy and a near-copy."""
    if generator.random() >= 1 / COPIED:
        return [article]
    near = [text_of(near_copy(codes_of(line), generator)) for line in article.paragraphs]
    return [article, article, Article(article.title, near)]


def speeds(given: Input, small: Input, folder: Path, rounds: int) -> Comparison:
    """Both sides on the same documents, in turns."""
    start = ours(small, folder / "small")  # compiles, where nothing was compiled before
    found: dict[str, list[Usage]] = {"ours": [], "datatrove": []}
    for number in range(rounds):
        found["ours"].append(ours(given, folder / f"ours-{number}"))
        out = folder / f"datatrove-{number}"
        found["datatrove"].append(measure(given.peer_command(out), out))
    kept = {
        "ours": read_manifest(folder / "ours-0").counts["documents"],
        "datatrove": sum(pq.read_metadata(path).num_rows for path in (out / FINAL).glob("*.parquet")),
    }
    print(
        f"a small corpus ({small.documents} documents, {small.raw_bytes / 1e6:.1f} MB): {shown(start, small)}"
    )
    for name, usages in found.items():
        for usage in usages:
            print(f"{name} keeps {kept[name]} of {given.documents}: {shown(usage, given)}")
    rates = [
        given.raw_bytes / 1e6 / statistics.median(usage.cpu_s for usage in usages)
        for usages in found.values()
    ]
    return Comparison(
        "corpus: raw pages and works to deduplicated Parquet, datatrove",
        round(rates[0] / rates[1], 2),
        round(rates[0], 3),
        round(rates[1], 3),
        "MB/s of raw input a core",
    )


def ours(given: Input, box: Path) -> Usage:
    """What our command takes."""
    return measure(given.command(box), box)


def shown(usage: Usage, given: Input) -> str:
    """Its times and speeds, in words."""
    raw, text = (size / 1e6 / usage.cpu_s for size in (given.raw_bytes, given.text_bytes))
    return (
        f"{usage.cpu_s:.1f} s of CPU time, {usage.elapsed_s:.1f} s on the clock; a second of CPU time does"
        f" {raw:.2f} MB of raw input, {text:.2f} MB of text;"
        f" peak memory {usage.peak_memory_bytes / 1e6:.0f} MB"
    )


@dataclass
class Killing:
    """The command, killed again and again."""

    command: list[str]
    box: Path
    whole: Path
    """The undisturbed corpus."""
    generator: random.Random
    kills: int = 0
    corpora: int = 0
    harmed: frozenset[str] = frozenset()
    left_behind: int = 0
    """Processes that outlived a killed main process by a minute."""
    sessions: list[int] = field(default_factory=list)

    def run(self, instants: Sequence[float]) -> None:
        """Kill at each instant, counted from a start; one that comes after the end is taken again with a new
        corpus, or an earlier one in its stead."""
        waiting, is_new = deque(instants), True
        while waiting:
            instant = waiting.popleft()
            if self._is_killed(instant):
                is_new = False
                continue
            self._compare()
            waiting.appendleft(instant * self.generator.random() if is_new else instant)
            is_new = True
        if not is_new:
            self._is_killed(None)
            self._compare()

    def _is_killed(self, instant: float | None) -> bool:
        """Whether the instant came before the command's end."""
        process = subprocess.Popen(self.command, start_new_session=True, stdout=sys.stderr)
        try:
            if process.wait(timeout=instant):
                raise SystemExit(f"{' '.join(self.command)} ended with {process.returncode}")
            return False
        except subprocess.TimeoutExpired:
            self.kills += 1
            if self.generator.random() < 0.5:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.wait()
            return True
        finally:
            self.sessions.append(process.pid)

    def _compare(self) -> None:
        self.corpora += 1
        self.harmed |= harmed(self.box, self.whole)
        shutil.rmtree(self.box)

    def close(self) -> None:
        """Wait for what outlived a killed main process, count what stays, and end it."""
        until = time.monotonic() + GRACE_S
        for session in self.sessions:
            while (left := in_session(session)) and time.monotonic() < until:
                time.sleep(0.5)
            self.left_behind += len(left)
            if left:
                os.killpg(session, signal.SIGKILL)


def harmed(box: Path, whole: Path) -> frozenset[str]:
    """The documents of two corpora that are lost, changed or put elsewhere, and the files that differ."""
    for path in (box, whole):
        verify_files(path)
    one, other = (read_manifest(path).files for path in (box, whole))
    files = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    files |= {MANIFEST} if box_sha256(box) != box_sha256(whole) else set()
    found, wanted = _documents(box), _documents(whole)
    return frozenset(files | {name for name in found | wanted if found.get(name) != wanted.get(name)})


def _documents(box: Path) -> dict[str, tuple[str, Document]]:
    return {item.id: (split, item) for split in ("train", "heldout") for item in read_documents(box, split)}


def spread(count: int, duration_s: float, generator: random.Random) -> list[float]:
    """So many instants of a duration, one at random in each equal part of it, shuffled."""
    found = [(number + generator.random()) / count * duration_s for number in range(count)]
    generator.shuffle(found)
    return found


def kill(given: Input, folder: Path, kills: int) -> list[Comparison]:
    """Lost or changed documents: after kills, and with two workers."""
    whole, two = folder / "whole", folder / "two-workers"
    ours(given, whole)
    undisturbed = measure(given.command(two, workers=2), two)
    documents = read_manifest(whole).counts["documents"]
    generator = random.Random(0)
    killing = Killing(given.command(folder / "killed", workers=2), folder / "killed", whole, generator)
    try:
        killing.run(spread(kills, undisturbed.elapsed_s, generator))
    finally:
        killing.close()
    print(
        f"{killing.kills} kills in {killing.corpora} corpora of {documents} documents, each of"
        f" {undisturbed.elapsed_s:.1f} s undisturbed; {killing.left_behind} processes outlived a killed one"
        f" by {GRACE_S:.0f} s"
    )
    return [
        none_of(f"corpus: documents lost or changed by {killing.kills} SIGKILLs", killing.harmed, documents),
        none_of("corpus: documents that two workers change", harmed(two, whole), documents),
    ]


def none_of(what: str, names: frozenset[str], documents: int) -> Comparison:
    """A line that wants nothing to be named; its ratio is the share of documents that are as they were."""
    for name in sorted(names)[:10]:
        print(f"{what}: {name}")
    return Comparison(what, round(max(0.0, 1 - len(names) / documents), 6), len(names), 0, "documents")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--pages", type=int, default=800)
    parser.add_argument("--works", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--larger", type=int, default=8, help="how many times as much ours does alone; 0: not"
    )
    parser.add_argument("--kills", type=int, default=0, help="kill ours so often, instead of timing it")
    options = parser.parse_args()
    print(machine(["numba", "pyarrow", "lxml", "fastwarc", "datatrove", "trafilatura", "spacy", "sudachipy"]))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        given = write_input(folder / "input", options.data, options.pages, options.works)
        size = f"{given.raw_bytes / 1e6:.1f} MB raw, {given.text_bytes / 1e6:.1f} MB of text"
        print(f"{given.documents} documents, {size}")
        if options.kills:
            emit(kill(given, folder, options.kills))
            return
        rows = []
        if is_installed("datatrove") and is_installed("spacy"):
            small = write_input(folder / "small-input", options.data, SMALL_PAGES, SMALL_WORKS)
            rows.append(speeds(given, small, folder, options.rounds))
        if options.larger:
            pages, works = options.pages * options.larger, options.works * options.larger
            larger = write_input(folder / "larger-input", options.data, pages, works)
            print(f"alone, {larger.documents} documents: {shown(ours(larger, folder / 'larger'), larger)}")
        emit(rows)


if __name__ == "__main__":
    main()
