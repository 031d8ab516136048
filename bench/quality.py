"""Quality metrics of real text: all that `swallow-v1` asks, against plain Python, and what profiles reject.

    python bench/quality.py --data DATA [--megabytes 1.5] [--rounds 3]

DATA holds `aozora/` (works as published) and `kyoto-wikipedia.jsonl.gz`. Single-threaded, so both sides are
measured in CPU time; they take turns on the same documents and the medians of the rounds are compared.
The peer is Swallow's `quality.py` written down plainly (_plain_quality.py), one metric after the other;
every one of them must be equal to the last bit. Then, over more text: the share of good documents that each
profile rejects, with its commonest reasons, and how often a `-chars` profile decides as its original does,
which needs Sudachi (the extra `segment`). Where datatrove is installed, its FineWeb-2 filters decide about a
part of these documents and about damaged copies of them.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from _datatrove import fineweb2_filters
from _plain_quality import swallow_metrics
from _report import Comparison, emit, is_installed, machine
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.normalize import normalize
from tsuzuri.corpus.quality.config import QualityConfig
from tsuzuri.corpus.quality.judge import Judge
from tsuzuri.corpus.quality.language import identify_text
from tsuzuri.corpus.quality.metrics import SWALLOW, Measures
from tsuzuri.corpus.quality.profiles import profiles
from tsuzuri.corpus.sources.aozora import AozoraWorks
from tsuzuri.corpus.sources.base import read
from tsuzuri.corpus.sources.config import AozoraSource

SEGMENTED = ("fineweb2-ja", "hojichar")


def wikipedia(data: Path) -> list[str]:
    """The articles, normalised."""
    with gzip.open(data / "kyoto-wikipedia.jsonl.gz", "rt", encoding="utf-8") as file:
        return [normalize(json.loads(line)["text"], fold_width=True) for line in file]


def aozora(data: Path) -> list[str]:
    """The works without header, notes and colophon, normalised."""
    source = AozoraWorks(AozoraSource(path=data / "aozora"), Path())
    found = (work for batch in source.batches() for work in read(source, batch))
    return [normalize(work.text, fold_width=False) for work in found if isinstance(work, Document)]


def spread(texts: list[str], size_bytes: float) -> list[str]:
    """About so many bytes of the texts, taken evenly."""
    whole = sum(len(text.encode()) for text in texts)
    return texts[:: max(1, round(whole / size_bytes))]


def ours(text: str) -> dict[str, float]:
    """Swallow's metrics of a text."""
    measures = Measures(text)
    return {name: measures[name] for name in SWALLOW}


def speed(name: str, texts: list[str], rounds: int) -> Comparison:
    """Both sides' median megabytes of UTF-8 a second of CPU time."""
    differing = sum(ours(text) != swallow_metrics(text) for text in texts)
    size = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{name}: {len(texts)} documents, {size:.1f} MB, {differing} with a metric that differs")
    sides: tuple[Callable[[str], object], ...] = (ours, swallow_metrics)
    rates: dict[Callable[[str], object], list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            started = time.process_time()
            for text in texts:
                side(text)
            rates[side].append(size / (time.process_time() - started))
    us, peer = (statistics.median(rates[side]) for side in sides)
    return Comparison(f"quality: {name}", round(us / peer, 2), round(us, 1), round(peer, 2), "MB/s of CPU")


def rejections(name: str, texts: list[str], names: list[str]) -> None:
    """Print what each profile rejects of good text, and at which speed (an early reason saves the rest)."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    for profile in names:
        judge = Judge(QualityConfig(profile=profile))
        started = time.process_time()
        found = [judge.reject(text) for text in texts]
        elapsed_s = time.process_time() - started
        reasons = Counter(item.reason for item in found if item)
        print(
            f"{name}, {profile}: {reasons.total() / len(texts):.2%} of {len(texts)} rejected"
            f" {dict(reasons.most_common(4))}, {size / elapsed_s:.1f} MB/s"
        )


def languages(name: str, texts: list[str]) -> None:
    """Print what languages good text is taken for, and its mojibake of every pair of encodings."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    started = time.process_time()
    found = Counter(identify_text(text).language for text in texts)
    print(f"{name}, language: {dict(found)}, {size / (time.process_time() - started):.0f} MB/s")
    mojibake = Counter(
        identify_text(text[:2_000].encode(written, "ignore").decode(read, "replace")).language
        for text in texts[::20]
        for written, read in itertools.permutations(("utf-8", "cp932", "euc_jp", "cp1252"), 2)
        if written != "cp1252"  # it holds no Japanese
    )
    print(f"{name}, read in another encoding: {dict(mojibake)}")


def agreement(name: str, texts: list[str]) -> None:
    """Print how often profiles decide by scripts as they do by words, rule by rule where they differ."""
    for profile in SEGMENTED:
        exact, guessed = profiles()[profile], profiles()[f"{profile}-chars"]
        same = 0
        differing: Counter[str] = Counter()
        for text in texts:
            one, other = Measures(text, exact.words), Measures(text, guessed.words)
            broken = [
                (rule.name, rule.breaks(one[rule.metric]), rule.breaks(other[rule.metric]))
                for rule in exact.rules
            ]
            same += any(first for _, first, _ in broken) == any(second for _, _, second in broken)
            differing.update(rule for rule, first, second in broken if first != second)
        print(
            f"{name}, {profile}-chars: decides as {profile} on {same / len(texts):.2%} of {len(texts)};"
            f" rules that differ: {dict(differing.most_common(4))}"
        )


def damaged(text: str, generator: random.Random) -> list[str]:
    """Copies as the web has them: repeated, cut short, a list, one phrase again and again."""
    lines = text.split("\n")
    cut = (line[: generator.randint(3, 30)] for line in lines)
    phrase = text[: generator.randint(8, 60)]
    return [
        "\n".join(lines[:8] * generator.choice((2, 3, 6))),
        "\n".join(cut),
        text[: generator.randint(20, 400)] + "…\n・" * generator.randint(0, 30),
        phrase * generator.randint(3, 30),
    ]


def fineweb2(texts: list[str]) -> list[Comparison]:
    """FineWeb-2's decisions by datatrove and by us, by words and by scripts, and the speed of each."""
    from datatrove.data import Document as Page

    filters = fineweb2_filters()

    def peer(text: str) -> bool:
        return all(part.filter(Page(text=text, id="")) is True for part in filters)

    def rate(keeps: Callable[[str], bool]) -> tuple[float, list[bool]]:
        keeps(texts[0])
        started = time.process_time()
        found = [keeps(text) for text in texts]
        return size / (time.process_time() - started), found

    size = sum(len(text.encode()) for text in texts) / 1e6
    theirs, expected = rate(peer)
    results = []
    for profile in ("fineweb2-ja", "fineweb2-ja-chars"):
        judge = Judge(QualityConfig(profile=profile))
        us, found = rate(lambda text, judge=judge: judge.reject(text) is None)  # type: ignore[misc]
        same = sum(one == other for one, other in zip(found, expected, strict=True))
        print(f"{profile}: decides as datatrove on {same} of {len(texts)}, which keeps {sum(expected)}")
        results.append(
            Comparison(
                f"quality: {profile}, datatrove",
                round(us / theirs, 2),
                round(us, 1),
                round(theirs, 2),
                "MB/s of CPU",
            )
        )
    return results


def main() -> None:
    """Run the comparisons."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of real text")
    parser.add_argument("--megabytes", type=float, default=1.5, help="how much the peer is given of each")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(machine(["numba", "numpy", "sudachipy"]))
    sets = {"Wikipedia": wikipedia(options.data), "Aozora": aozora(options.data)}
    results = [
        speed(name, spread(texts, options.megabytes * 1e6), options.rounds) for name, texts in sets.items()
    ]
    for name, texts in sets.items():
        by_script = [profile for profile in profiles() if profile not in SEGMENTED]
        rejections(name, spread(texts, 10 * options.megabytes * 1e6), by_script)
        languages(name, texts)
    if is_installed("sudachipy"):
        for name, texts in sets.items():
            sample = spread(texts, options.megabytes * 1e6)
            rejections(name, sample, list(SEGMENTED))
            agreement(name, sample)
    if is_installed("datatrove") and is_installed("spacy"):
        pages = [text for texts in sets.values() for text in spread(texts, options.megabytes * 3e5)]
        generator = random.Random(0)
        results += fineweb2(pages + [copy for page in pages for copy in damaged(page, generator)])
    emit(results)


if __name__ == "__main__":
    main()
