"""Swallow's metrics written down plainly, one rule at a time, with the standard library alone.

After `quality.py` of the Swallow Corpus v1: what the code does, not what its README says. Where the original
fails (no sentence, fewer characters than an n-gram), the metric is 0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

SENTENCE = re.compile("[^。．！？!?]+[。．！？!?]?")
KANJI = re.compile("[々〇〻\u3400-\u9fff\uf900-\ufaff]")


def share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def repeated(parts: Iterable[str]) -> tuple[int, int]:
    found = Counter(parts)
    return sum(count - 1 for count in found.values()), sum(
        len(part) * (count - 1) for part, count in found.items()
    )


def grams(text: Sequence[str], n: int) -> Counter[Sequence[str]]:
    return Counter(text[at : at + n] for at in range(len(text) - n + 1))


def swallow_metrics(text: str) -> dict[str, float]:
    lines = [SENTENCE.findall(line) for line in text.split("\n")]
    paragraphs = ["".join(line) for line in lines]
    sentences = [sentence for line in lines for sentence in line]
    characters = sum(map(len, sentences))
    hiragana = sum("\u3041" <= mark <= "\u3096" for mark in text)
    katakana = sum("\u30a1" <= mark <= "\u30fa" for mark in text)
    kanji = len(KANJI.findall(text))
    kuten = sum(mark in "。．！？" for mark in text)
    toten = sum(mark in "、，" for mark in text)
    japanese = hiragana + katakana + kanji + kuten + toten
    trailing = sum(sentence.strip().endswith(("・", "…")) for sentence in sentences)
    result: dict[str, float] = {
        "num_letters": len(text),
        "num_japanese_letters": japanese,
        "hiragana_fraction": share(hiragana, japanese),
        "katakana_fraction": share(katakana, japanese),
        "kanji_fraction": share(kanji, japanese),
        "kuten_fraction": share(kuten, japanese),
        "toten_fraction": share(toten, japanese),
        "japanese_fraction": share(japanese, len(text)),
        "avg_sentence_length": share(characters, len(sentences)),
        "max_sentence_length": max(map(len, sentences), default=0),
        "ellipsis_fraction": share(trailing, len(sentences)),
    }
    for name, parts in (("paragraph", paragraphs), ("sentence", sentences)):
        count, repeated_characters = repeated(parts)
        result[f"duplicate_{name}_fraction"] = share(count, len(parts))
        result[f"duplicate_{name}_fraction_in_character"] = share(repeated_characters, characters)
    for n in range(2, 5):
        found = grams(text, n)
        result[f"top_{n}gram_fraction"] = share(max(found.values(), default=0), found.total())
    for n in range(5, 11):
        found = grams(text, n)
        result[f"duplicate_{n}gram_fraction"] = share(sum(f > 1 for f in found.values()), len(found))
    return result


def swallow_keeps(text: str) -> bool:
    """Swallow's decision."""
    value = swallow_metrics(text)
    repetition = (("paragraph", "sentence"), ("", "_in_character"))
    levels = zip(range(5, 11), (0.15, 0.14, 0.13, 0.12, 0.11, 0.10), strict=True)
    return (
        value["num_letters"] >= 400
        and value["num_japanese_letters"] >= 400
        and all(
            value[f"duplicate_{part}_fraction{measure}"] <= (0.20 if measure else 0.30)
            for part in repetition[0]
            for measure in repetition[1]
        )
        and value["top_2gram_fraction"] <= 0.20
        and value["top_3gram_fraction"] <= 0.18
        and value["top_4gram_fraction"] <= 0.16
        and all(value[f"duplicate_{n}gram_fraction"] <= level for n, level in levels)
        and value["hiragana_fraction"] >= 0.2
        and value["katakana_fraction"] <= 0.5
        and value["japanese_fraction"] >= 0.5
        and 20 <= value["avg_sentence_length"] <= 90
        and value["max_sentence_length"] <= 200
        and value["ellipsis_fraction"] <= 0.2
    )


def frequent_share(text: str) -> float:
    """HojiChar's repetition of characters: the √types most frequent 5-grams that occur twice or more."""
    counts = sorted(grams(text, 5).values(), reverse=True)
    wanted = min(int(len(counts) ** 0.5), sum(count > 1 for count in counts))
    return share(sum(counts[:wanted]), sum(counts))


def greedy_mass(words: Sequence[str], n: int) -> int:
    """datatrove's characters in repeated n-grams of words: each one found is stepped over."""
    seen: set[tuple[str, ...]] = set()
    at = characters = 0
    while at + n <= len(words):
        gram = tuple(words[at : at + n])
        characters += sum(map(len, gram)) if gram in seen else 0
        at += n if gram in seen else 1
        seen.add(gram)
    return characters


def top_mass(words: Sequence[str], n: int) -> int:
    """datatrove's characters of the most frequent n-gram of words, joined by spaces."""
    found = Counter(" ".join(words[at : at + n]) for at in range(len(words) - n + 1))
    if not found:
        return 0
    gram, count = found.most_common(1)[0]
    return len(gram) * count
