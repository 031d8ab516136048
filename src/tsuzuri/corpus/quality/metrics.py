"""Every number that a rule may ask about a text, computed when it is first asked for.

Each group of metrics is one pass over the text's code points. The metrics of Swallow (group SWALLOW) are
equal to the last bit to those of the published `quality.py` (Okazaki et al., COLM 2024); where that
would fail, on a text without a sentence or shorter than an n-gram, they are 0. N-grams are measured on the
first 2^21 characters. What a text alone cannot say, how much of it stood in links, its page has to tell.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from tsuzuri.corpus.quality import ngrams, spans
from tsuzuri.corpus.quality.characters import BITS, CodePoints, character_table, code_points
from tsuzuri.corpus.quality.words import (
    STOP_WORDS,
    Words,
    asked_kinds,
    describe_words,
    number_words,
    script_words,
    sudachi_words,
    symbol_words,
)

WordSplitter = Callable[[str, CodePoints], Words]
SPLITTERS: dict[str, WordSplitter] = {"script": script_words, "sudachi": sudachi_words}
"""How a text may be cut into words."""
SCRIPTS = ("hiragana", "katakana", "kanji", "latin", "digit", "other")
"""The scripts that the corpus is counted in; `other` is everything else that is no white space."""

_LONG_LINE = 200  # mC4 asks for three such lines
_KANA_WITHIN = 50  # HojiChar and llm-jp look for kana in so many characters from the start
_TOPS = tuple(f"top_{n}gram_fraction" for n in (2, 3, 4))
_DUPLICATES = tuple((f"duplicate_{n}gram_fraction", f"duplicate_{n}gram_mass") for n in range(5, 11))
_NO_OFFSETS = np.empty(0, dtype=np.int64)
_FRACTIONS = ("hiragana", "katakana", "kanji", "kuten", "toten")
_BULLETIN_BOARD = re.compile(  # HojiChar's marks of bulletin boards and shops, the bare hyphen included
    r"[0-9０-９]{4}[年./-] *[0-9０-９]{1,2}[月./-] *[0-9０-９]{1,2}日*"
    r"|コメント|SOLD OUT|レビュー|投稿|ページ|\([月火水木金土日]\)|質問|[0-9０-９]+話|楽天市場|-"
)


class Measures:
    """The metrics of one text by name: `Measures(text)["max_sentence_length"]`."""

    def __init__(self, text: str, words: str = "script", link_share: float = 0.0) -> None:
        self.text = text
        self.link_share = link_share
        self.points = code_points(text)
        self._words = words
        self._known: dict[str, float] = {}
        self._scanned: tuple[dict[str, int], list[int]] | None = None

    def __getitem__(self, name: str) -> float:
        if name not in self._known:
            self._known.update(GROUPS[METRICS[name]](self))
        return self._known[name]

    def scanned(self) -> tuple[dict[str, int], list[int]]:
        """(characters of each kind, the fields of `spans.scan`)."""
        if self._scanned is None:
            table = character_table()
            counts, fields = spans.scan(self.points, table.classes, _line_kinds())
            self._scanned = table.count(counts), fields.tolist()
        return self._scanned

    def scripts(self) -> dict[str, int]:
        """How many characters are of each of SCRIPTS."""
        named = {name: int(self[f"num_{name}_script"]) for name in SCRIPTS[:-1]}
        return {**named, "other": len(self.text) - sum(named.values()) - int(self["num_spaces"])}

    def words(self) -> Words:
        """The words that this text is measured by."""
        return SPLITTERS[self._words](self.text, self.points)

    def single_words(self, words: Words) -> set[str]:
        """The words of one character; by script, which pairs them, any character of the text."""
        if self._words == "script":
            return set(self.text)
        starts, ends = words.spans[:, 0], words.spans[:, 1]
        return {self.text[start] for start in starts[ends - starts == 1].tolist()}


def _characters(measures: Measures) -> dict[str, float]:
    number, length = measures.scanned()[0], len(measures.text)
    japanese = sum(number[name] for name in _FRACTIONS)
    return {
        "num_letters": length,
        "num_japanese_letters": japanese,
        "hiragana_fraction": _ratio(number["hiragana"], japanese),
        "katakana_fraction": _ratio(number["katakana"], japanese),
        "kanji_fraction": _ratio(number["kanji"], japanese),
        "kuten_fraction": _ratio(number["kuten"], japanese),
        "toten_fraction": _ratio(number["toten"], japanese),
        "japanese_fraction": _ratio(japanese, length),
    }


def _scripts(measures: Measures) -> dict[str, float]:
    number, length = measures.scanned()[0], len(measures.text)
    kana = number["hiragana_script"] + number["katakana_script"]
    japanese = kana + number["kanji_script"]
    near = character_table().kinds_of(measures.points[:_KANA_WITHIN])
    return {
        "num_spaces": number["space"],
        **{f"num_{name}_script": number[f"{name}_script"] for name in SCRIPTS[:-1]},
        "japanese_script_fraction": _ratio(
            japanese + number["japanese_punctuation"], length - number["space"]
        ),
        "kana_script_fraction": _ratio(kana, japanese),
        "hiragana_text_fraction": _ratio(number["hiragana_block"], length - number["newline"]),
        "characters_per_maru": length / number["maru"] if number["maru"] else np.inf if length else 0.0,
        "special_fraction": _ratio(number["special"], length),
        "kana_near_start": float((near & BITS["plain_kana"]).any()),
    }


def _lines(measures: Measures) -> dict[str, float]:
    (number, line), text = measures.scanned(), measures.text
    newlines, held, full = line[spans.LINES] - 1, line[spans.HELD_LINES], line[spans.FULL_LINES]
    # datatrove splits at runs of newlines, so that one at either end leaves an empty line there.
    ends = text.startswith("\n") + text.endswith("\n") if held else 1 + bool(text)
    split_lines = newlines + 1 - (text.endswith("\n") or not text)  # as str.splitlines counts them
    return {
        "longest_run": line[spans.LONGEST_RUN],
        "short_line_fraction": _ratio(line[spans.SHORT_LINES], newlines + 1),
        "cut_line_fraction": line[spans.CUT_LINES] / max(newlines, 1),
        "ellipsis_line_fraction": _ratio(line[spans.ELLIPSIS_LINES], split_lines),
        "bullet_line_fraction": _ratio(line[spans.BULLET_LINES], split_lines),
        "ended_line_fraction": _ratio(line[spans.ENDED_LINES], full),
        "repeated_line_fraction": _ratio(line[spans.REPEATED_HELD] + (ends == 2), held + ends),
        "repeated_full_line_fraction": _ratio(line[spans.REPEATED_FULL], full),
        "repeated_line_character_fraction": _ratio(line[spans.REPEATED_CHARACTERS], len(text) - newlines),
        "num_newlines": newlines,
        "num_long_lines": sum(len(one) >= _LONG_LINE for one in text.split("\n")) if newlines > 1 else 0,
        "num_hashes": number["hash"],
        "num_ellipses": number["ellipsis"] + line[spans.ELLIPSES],
    }


def _sentences(measures: Measures) -> dict[str, float]:
    classes = character_table().classes
    field = spans.sentence_statistics(measures.points, classes, _line_kinds()).tolist()
    sentences, paragraphs, characters = (
        field[spans.SENTENCES],
        field[spans.PARAGRAPHS],
        field[spans.CHARACTERS],
    )
    paragraph_characters = field[spans.PARAGRAPH_REPEAT_CHARACTERS]
    sentence_characters = field[spans.SENTENCE_REPEAT_CHARACTERS]
    return {
        "duplicate_paragraph_fraction": _ratio(field[spans.PARAGRAPH_REPEATS], paragraphs),
        "duplicate_paragraph_fraction_in_character": _ratio(paragraph_characters, characters),
        "duplicate_sentence_fraction": _ratio(field[spans.SENTENCE_REPEATS], sentences),
        "duplicate_sentence_fraction_in_character": _ratio(sentence_characters, characters),
        "avg_sentence_length": _ratio(characters, sentences),
        "max_sentence_length": field[spans.LONGEST],
        "ellipsis_fraction": _ratio(field[spans.TRAILING], sentences),
    }


def _ngrams(measures: Measures) -> dict[str, float]:
    points = measures.points[: ngrams.WINDOW]
    rows, frequent = ngrams.ngram_statistics(points, _NO_OFFSETS)
    result: dict[str, float] = {"frequent_5gram_fraction": _ratio(*frequent.tolist())}
    for name, row in zip(_TOPS, rows[:3].tolist(), strict=True):
        result[name] = _ratio(row[ngrams.TOP_COUNT], row[ngrams.TOTAL])
    for names, row in zip(_DUPLICATES, rows[3:].tolist(), strict=True):
        result[names[0]] = _ratio(row[ngrams.REPEATED_TYPES], row[ngrams.TYPES])
        result[names[1]] = _ratio(row[ngrams.REPEATED_CHARACTERS], len(points))
    return result


def _words(measures: Measures) -> dict[str, float]:
    table, words, length = character_table(), measures.words(), len(measures.text)
    more, characters, lettered = describe_words(measures.points, table.classes, asked_kinds(), words.spans)
    numbers, offsets = number_words(measures.points, words.spans[: ngrams.WINDOW])
    rows, _ = ngrams.ngram_statistics(numbers, offsets)
    count = len(words.spans)
    result: dict[str, float] = {
        "num_words": more,
        "avg_word_length": _ratio(characters, more),
        "hashes_per_word": _ratio(int(measures["num_hashes"]), count),
        "ellipses_per_word": _ratio(int(measures["num_ellipses"]), count),
        "newlines_per_word": _ratio(int(measures["num_newlines"]), count),
        "letter_word_fraction": _ratio(lettered, count),
        "symbol_word_fraction": _ratio(symbol_words(measures.text, words.spans), count),
        "num_stop_words": len(measures.single_words(words).intersection(STOP_WORDS)),
        "noun_fraction": _ratio(words.nouns, count - words.marks),
    }
    for n, row in zip(ngrams.ORDERS, rows.tolist(), strict=True):
        if n < 5:  # datatrove joins the words of a frequent n-gram by spaces, and counts these
            mass = row[ngrams.TOP_COUNT] * (row[ngrams.TOP_CHARACTERS] + n - 1)
            result[f"top_{n}word_mass"] = _ratio(mass, length)
        else:
            result[f"duplicate_{n}word_mass"] = _ratio(row[ngrams.REPEATED_CHARACTERS], length)
        if n == 7:
            once = row[ngrams.TYPES] - row[ngrams.REPEATED_TYPES]
            result["repeated_7word_fraction"] = _ratio(row[ngrams.TOTAL] - once, row[ngrams.TOTAL])
    return result


def _compression(measures: Measures) -> dict[str, float]:
    data = measures.text.encode("utf-8", "replace")
    return {"zlib_ratio": _ratio(len(zlib.compress(data, 9)), len(data))}


def _bulletin_board(measures: Measures) -> dict[str, float]:
    return {"bulletin_board_marks": sum(1 for _ in _BULLETIN_BOARD.finditer(measures.text))}


def _page(measures: Measures) -> dict[str, float]:
    return {"link_fraction": measures.link_share}


@cache
def _line_kinds() -> npt.NDArray[np.uint32]:
    return character_table().bits_of(spans.KINDS_ASKED)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole > 0 else 0.0


GROUPS: dict[str, Callable[[Measures], dict[str, float]]] = {
    "characters": _characters,
    "scripts": _scripts,
    "lines": _lines,
    "sentences": _sentences,
    "ngrams": _ngrams,
    "words": _words,
    "compression": _compression,
    "bulletin_board": _bulletin_board,
    "page": _page,
}
"""What is computed together, each in one pass."""
_NAMES: dict[str, tuple[str, ...]] = {
    "characters": (
        "num_letters",
        "num_japanese_letters",
        *(f"{name}_fraction" for name in _FRACTIONS),
        "japanese_fraction",
    ),
    "scripts": (
        "num_spaces",
        *(f"num_{name}_script" for name in SCRIPTS[:-1]),
        "japanese_script_fraction",
        "kana_script_fraction",
        "hiragana_text_fraction",
        "characters_per_maru",
        "special_fraction",
        "kana_near_start",
    ),
    "lines": (
        "longest_run",
        "short_line_fraction",
        "cut_line_fraction",
        "ellipsis_line_fraction",
        "bullet_line_fraction",
        "ended_line_fraction",
        "repeated_line_fraction",
        "repeated_full_line_fraction",
        "repeated_line_character_fraction",
        "num_newlines",
        "num_long_lines",
        "num_hashes",
        "num_ellipses",
    ),
    "sentences": (
        *(f"duplicate_{part}_fraction" for part in ("paragraph", "sentence")),
        *(f"duplicate_{part}_fraction_in_character" for part in ("paragraph", "sentence")),
        "avg_sentence_length",
        "max_sentence_length",
        "ellipsis_fraction",
    ),
    "ngrams": (
        "frequent_5gram_fraction",
        *_TOPS,
        *(name for names in _DUPLICATES for name in names),
    ),
    "words": (
        "num_words",
        "avg_word_length",
        "hashes_per_word",
        "ellipses_per_word",
        "newlines_per_word",
        "letter_word_fraction",
        "symbol_word_fraction",
        "num_stop_words",
        "noun_fraction",
        "repeated_7word_fraction",
        *(f"top_{n}word_mass" for n in (2, 3, 4)),
        *(f"duplicate_{n}word_mass" for n in range(5, 11)),
    ),
    "compression": ("zlib_ratio",),
    "bulletin_board": ("bulletin_board_marks",),
    "page": ("link_fraction",),
}
METRICS: dict[str, str] = {name: group for group, names in _NAMES.items() for name in names}
"""Every metric and its group."""
SWALLOW = tuple(
    name
    for name in (*_NAMES["characters"], *_NAMES["sentences"], *_NAMES["ngrams"][1:])
    if not name.endswith("_mass")
)
"""The metrics of Swallow's `quality.py`."""
