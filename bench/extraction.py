"""The main text of web pages: our fast rules against trafilatura, in quality and in speed.

    python bench/extraction.py [--pages 240] [--data ../shared/data]

There is no crawl here, so pages are made of real articles (Kyoto Wikipedia) in six layouts of the Japanese
web; their main text is known. (Who wrote the rules wrote the layouts too: these show that nothing is lost,
not how the rules do on the web at large.) Quality is F1 over character 2-grams without white space, the mean
over pages; the ratio of the two errors (1 - F1) is printed, above 1 where ours is smaller. Real pages, whose
truth nobody knows, are the Japanese manuals of Debian, if they lie in the cache of the source `debian-docs`:
there the agreement of the two engines is printed, and of each with the whole page less its navigation.
Both engines read the same decoded text behind our pre-pass; speed is MB of HTML per second of CPU time of
this process (single-threaded, whatever else runs), the engines in turns over blocks of pages.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from _report import Comparison, emit, is_installed, machine
from _web_pages import make_pages, read_articles
from tsuzuri.corpus.extraction import main_text, tree, with_trafilatura
from tsuzuri.corpus.extraction.page import html_to_text
from tsuzuri.corpus.sources import debian_archive

BLOCK = 8
MANUALS = ("debian-reference-ja", "developers-reference-ja")
Engine = Callable[[str], str]


def fast(source: str) -> str:
    """Our rules."""
    root = tree.parse(source)
    return main_text.main_text(root).text if root is not None else ""


def trafilatura(source: str) -> str:
    """trafilatura behind our pre-pass."""
    root = tree.parse(source)
    return with_trafilatura.main_text(root).text if root is not None else ""


def f1(found: str, truth: str) -> float:
    """F1 over character 2-grams without white space, from 0 to 1."""
    ours, theirs = _pairs(found), _pairs(truth)
    shared = sum((ours & theirs).values())
    return 2 * shared / max(sum(ours.values()) + sum(theirs.values()), 1)


def _pairs(text: str) -> Counter[str]:
    joined = "".join(text.split())
    return Counter(map("".join, pairwise(joined)))


def in_turns(pages: Sequence[str], engines: Iterable[Engine]) -> dict[Engine, tuple[list[str], float]]:
    """Each engine's texts and MB of HTML per second of CPU time."""
    texts: dict[Engine, list[str]] = {engine: [] for engine in engines}
    seconds: Counter[Engine] = Counter()
    for first in range(0, len(pages), BLOCK):
        for engine in texts:
            started = time.process_time()
            texts[engine] += [engine(page) for page in pages[first : first + BLOCK]]
            seconds[engine] += time.process_time() - started  # type: ignore[assignment]
    megabytes = sum(len(page.encode()) for page in pages) / 1e6
    return {engine: (found, megabytes / seconds[engine]) for engine, found in texts.items()}


def manuals(limit: int) -> list[str]:
    """Pages of Debian's Japanese manuals, if they were fetched before."""
    found: list[str] = []
    for package in MANUALS:
        path = debian_archive.cached(package, debian_archive.cache_folder())
        if path is not None:
            files = debian_archive.members(path)
            found += [data.decode(errors="replace") for name, data in files if name.endswith("ja.html")][
                :limit
            ]
    return found


def speed(name: str, ours: float, peer: float) -> Comparison:
    """A line about speeds."""
    return Comparison(name, round(ours / peer, 2), round(ours, 2), round(peer, 2), "MB/s of HTML, CPU time")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pages", type=int, default=240)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    if not is_installed("trafilatura"):
        return
    print(machine(["lxml", "trafilatura"]))
    pages = make_pages(read_articles(arguments.data, arguments.pages), seed=0)
    results = in_turns([page.source for page in pages], (fast, trafilatura))
    scores = {
        engine: [f1(text, page.truth) for text, page in zip(texts, pages, strict=True)]
        for engine, (texts, _) in results.items()
    }
    for layout in dict.fromkeys(page.layout for page in pages):
        means = [
            statistics.mean(
                score for score, page in zip(scores[engine], pages, strict=True) if page.layout == layout
            )
            for engine in (fast, trafilatura)
        ]
        print(f"F1 {layout}: fast {means[0]:.4f}, trafilatura {means[1]:.4f}")
    ours, peer = statistics.mean(scores[fast]), statistics.mean(scores[trafilatura])
    lines = [
        Comparison(
            "extraction/F1, made pages",
            round((1 - peer) / (1 - ours), 2),
            round(ours, 4),
            round(peer, 4),
            "F1",
        ),
        speed("extraction/speed, made pages", results[fast][1], results[trafilatura][1]),
    ]
    if real := manuals(30):
        results = in_turns(real, (fast, trafilatura))
        whole = [page.text if (page := html_to_text(source)) else "" for source in real]
        print(
            f"agreement on {len(real)} manuals, median F1: the engines "
            f"{statistics.median(map(f1, results[fast][0], results[trafilatura][0])):.4f}, "
            f"fast and whole page {statistics.median(map(f1, results[fast][0], whole)):.4f}, trafilatura and "
            f"whole page {statistics.median(map(f1, results[trafilatura][0], whole)):.4f}"
        )
        lines.append(speed("extraction/speed, Debian manuals", results[fast][1], results[trafilatura][1]))
    emit(lines)


if __name__ == "__main__":
    main()
