"""Wikitext to plain text: ours against mwparserfromhell, in speed and in what is left of the words.

    python bench/wikitext.py [--articles 400] [--data ../shared/data]

There is no dump here, so real articles (Kyoto Wikipedia, plain text) are marked up again as editors write
them, at the rates below: links, templates of numbers and names, notes, pictures, an infobox, categories and
the closing sections. What was there before the marking is the truth, so F1 shows what is lost of these
marks, not of all that a wiki holds. Both sides read the same wikitext; mwparserfromhell by `strip_code()`,
as its users do. Speed is MB of wikitext per second of CPU time of this process (single-threaded), in turns
over blocks of articles. F1 is over character 2-grams without white space.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mwparserfromhell

from _report import Comparison, emit, machine
from extraction import f1
from tsuzuri.corpus.sources.wikitext import plain_text

BLOCK = 20
_NUMBER = re.compile(r"(\d+)(m|km|kg|ha)(?![A-Za-z0-9])")
_NAME = re.compile(r"[ァ-ヴー]{4,}")
_KANJI = re.compile(r"[一-龠]{3,6}")
_SENTENCE = re.compile("。(?=.)")
INFOBOX = (
    "{{{{Infobox 寺院\n|名称 = {title}\n|画像 = [[ファイル:A.jpg|250px]]\n"
    "|本尊 = {{{{lang|ja|不明}}}}\n}}}}\n"
)
END = (
    "\n== 脚注 ==\n{{脚注ヘルプ}}\n{{Reflist}}\n== 関連項目 ==\n* [[日本の寺院一覧]]\n* [[京都]]\n"
    "== 外部リンク ==\n* [http://example.jp/ 公式]\n{{DEFAULTSORT:あ}}\n[[Category:京都市の寺]]\n"
)


@dataclass(frozen=True)
class Marked:
    """An article in wikitext, and what it says."""

    source: str
    truth: str
    numbers: Sequence[str]
    """Those that stand in templates, with their units."""


def mark_up(title: str, text: str, generator: random.Random) -> Marked:
    """An article as its editors may have written it."""
    numbers = ["".join(match) for match in _NUMBER.findall(text)]
    source = _NUMBER.sub(r"{{convert|\1|\2}}", text)
    source = _NAME.sub(
        lambda name: _either(name.group(), "{{{{仮リンク|{0}|en|A}}}}", 0.3, generator), source
    )
    source = _KANJI.sub(lambda name: _either(name.group(), "[[{0}]]", 0.2, generator), source)
    source = _KANJI.sub(lambda name: _either(name.group(), "'''{0}'''", 0.01, generator), source)
    note = "。<ref>{{Cite book|和書|title=本|author=甲|year=1999|page=12}}</ref>"
    source = _SENTENCE.sub(lambda end: note if generator.random() < 0.2 else end.group(), source)
    picture = "\n[[ファイル:B.jpg|thumb|200px|[[門]]の写真]]\n"
    paragraphs = [line + (picture if generator.random() < 0.1 else "") for line in source.split("\n")]
    return Marked(INFOBOX.format(title=title) + "\n".join(paragraphs) + END, text, numbers)


def _either(text: str, form: str, share: float, generator: random.Random) -> str:
    return form.format(text) if generator.random() < share else text


def read_articles(data: Path, count: int) -> list[Marked]:
    """Articles marked up, their old headings taken for text."""
    generator = random.Random(0)
    found: list[Marked] = []
    with gzip.open(data / "kyoto-wikipedia.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            lines = [part for part in record["text"].split("\n") if part and part[0] not in "=*#:;|{"]
            text = "\n".join(lines)
            if len(text) > 500 and not re.search(r"[\[\]{}<>|=']", text):
                found.append(mark_up(record["title"], text, generator))
            if len(found) == count:
                break
    return found


def ours(source: str) -> str:
    """Our text."""
    return plain_text(source).text


def peer(source: str) -> str:
    """mwparserfromhell's text."""
    return str(mwparserfromhell.parse(source).strip_code())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--articles", type=int, default=400)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    print(machine(["mwparserfromhell"]))
    articles = read_articles(arguments.data, arguments.articles)
    megabytes = sum(len(article.source.encode()) for article in articles) / 1e6
    print(f"{len(articles)} articles, {megabytes:.1f} MB of wikitext")
    texts: dict[Callable[[str], str], list[str]] = {ours: [], peer: []}
    seconds: Counter[Callable[[str], str]] = Counter()
    for first in range(0, len(articles), BLOCK):
        for side, found in texts.items():
            started = time.process_time()
            found += [side(article.source) for article in articles[first : first + BLOCK]]
            seconds[side] += time.process_time() - started  # type: ignore[assignment]
    scores, kept = [], []
    for found in texts.values():
        pairs = list(zip(found, articles, strict=True))
        scores.append(statistics.mean(f1(text, article.truth) for text, article in pairs))
        in_templates = [
            number in text.replace(" ", "") for text, article in pairs for number in article.numbers
        ]
        kept.append(sum(in_templates) / max(len(in_templates), 1))
    rates = [megabytes / seconds[side] for side in texts]
    print(f"numbers kept of those in templates: ours {kept[0]:.4f}, mwparserfromhell {kept[1]:.4f}")
    emit([_compared("wikitext/speed", "MB/s, CPU time", *rates), _compared("wikitext/F1", "F1", *scores)])


def _compared(name: str, unit: str, ours: float, peer: float) -> Comparison:
    return Comparison(name, round(ours / peer, 2), round(ours, 4), round(peer, 4), unit)


if __name__ == "__main__":
    main()
