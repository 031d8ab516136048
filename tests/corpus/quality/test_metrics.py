"""The metrics against plain definitions of them, to the last bit."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from _plain_quality import frequent_share, greedy_mass, swallow_metrics, top_mass
from tsuzuri.corpus.quality import ngrams
from tsuzuri.corpus.quality.characters import BITS, character_table, code_points
from tsuzuri.corpus.quality.metrics import GROUPS, METRICS, SCRIPTS, SWALLOW, Measures
from tsuzuri.corpus.quality.words import number_words, script_words, symbol_words

FEW = st.text(alphabet="あい。\n", max_size=120)
MANY = st.text(alphabet="あアー漢々〻𠮷、，。．！？!?・…Ａaz09 \t\u3000\n.#-•", max_size=300)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=200, deadline=None)
@given(FEW | MANY | ANY)
@example("")
@example("\n")
@example("。。！\n\n")
@example("あ…。い・ \nう…\u3000？？え")
def test_swallows_metrics_are_equal_to_the_last_bit(text: str) -> None:
    measures, plain = Measures(text), swallow_metrics(text)
    assert set(SWALLOW) == set(plain)
    assert {name: measures[name] for name in SWALLOW} == plain


def test_swallows_metrics_on_real_text(shared_data: Path) -> None:
    texts = [
        path.read_bytes().decode("cp932", "replace").replace("\r\n", "\n")[:20_000]
        for path in sorted((shared_data / "aozora").rglob("*.txt"))[::250]
    ]
    with gzip.open(shared_data / "kyoto-wikipedia.jsonl.gz", "rt", encoding="utf-8") as file:
        texts += [json.loads(line)["text"] for number, line in enumerate(file) if number % 400 == 0]
    for text in texts:
        measures = Measures(text)
        assert {name: measures[name] for name in SWALLOW} == swallow_metrics(text)


@settings(max_examples=100, deadline=None)
@given(FEW | MANY)
def test_repetition_in_characters(text: str) -> None:
    measures = Measures(text)
    assert measures["frequent_5gram_fraction"] == frequent_share(text)
    for n in range(5, 11):
        assert measures[f"duplicate_{n}gram_mass"] == (greedy_mass(text, n) / len(text) if text else 0)


@settings(max_examples=100, deadline=None)
@given(MANY | FEW)
def test_words_are_measured_as_datatrove_does(text: str) -> None:
    measures = Measures(text)
    words = [text[start:end] for start, end in script_words(text, measures.points).spans.tolist()]
    assert "".join(words) == "".join(text.split())
    for n in (2, 3, 4):
        assert measures[f"top_{n}word_mass"] == (top_mass(words, n) / len(text) if text else 0)
    for n in range(5, 11):
        assert measures[f"duplicate_{n}word_mass"] == (greedy_mass(words, n) / len(text) if text else 0)
    letters = [any(mark.isalpha() for mark in word) for word in words]
    assert measures["letter_word_fraction"] == (sum(letters) / len(words) if words else 0)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="あa \u3000\n。.…-•#", max_size=100))
@example("あ\n")
@example("\nあ\n")
@example("\n\n")
def test_lines(text: str) -> None:
    measures = Measures(text)
    lines, runs = text.splitlines(), re.split("\n+", text)
    full = [line for line in text.split("\n") if line.strip()]
    expected = {
        "ellipsis_line_fraction": _share([line.rstrip().endswith(("...", "…")) for line in lines]),
        "bullet_line_fraction": _share([line.lstrip().startswith(("•", "-")) for line in lines]),
        "ended_line_fraction": _share([line.endswith(("。", ".")) for line in full]),
        "short_line_fraction": _share([len(line) <= 10 for line in text.split("\n")]),
        "cut_line_fraction": len(re.findall(r"(?:\.{3}|…)\n", text)) / max(text.count("\n"), 1),
        "repeated_line_fraction": (len(runs) - len(set(runs))) / len(runs),
        "repeated_full_line_fraction": (len(full) - len(set(full))) / max(len(full), 1),
        "longest_run": max((len(run[0]) for run in re.finditer(r"(.)\1*", text, re.DOTALL)), default=0),
        "num_ellipses": text.count("...") + text.count("…"),
        "num_hashes": text.count("#"),
    }
    assert {name: measures[name] for name in expected} == expected


def _share(marks: list[bool]) -> float:
    return sum(marks) / len(marks) if marks else 0.0


def test_every_metric_belongs_to_the_group_that_computes_it() -> None:
    measures = Measures("これは文です。\nもう一つ。")
    for group, compute in GROUPS.items():
        assert set(compute(measures)) == {name for name, of in METRICS.items() if of == group}


def test_hiragana_is_counted_among_all_characters_too() -> None:
    measures = Measures("ねこ゛と a\nカナ𠮷漢。")  # 4 of the block; 11 characters without the newline
    assert measures["hiragana_text_fraction"] == 4 / 11
    assert measures["hiragana_fraction"] == 3 / 7  # ゛ and 𠮷 are none of Swallow's
    assert Measures("\n")["hiragana_text_fraction"] == 0


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("猫は……", 2 / 4),  # 猫, は, …, …
        ("猫は...#a", 2 / 7),  # 猫, は, three of one mark, #, a
        ("猫は..", 0),
        ("...", 1 / 3),
        ("", 0),
    ],
)
def test_symbols_among_words(text: str, share: float) -> None:
    assert Measures(text)["symbol_word_fraction"] == share


def test_words_of_several_symbols_count_once() -> None:
    text = "あ#…い ...う"
    assert symbol_words(text, np.array([[0, 1], [1, 3], [3, 4], [5, 9]], dtype=np.int32)) == 2


def test_links_are_what_the_page_says_of_them() -> None:
    assert Measures("猫", link_share=0.25)["link_fraction"] == 0.25
    assert Measures("猫")["link_fraction"] == 0


def test_an_empty_text_has_every_metric() -> None:
    measures = Measures("")
    expected = {**dict.fromkeys(METRICS, 0), "short_line_fraction": 1}  # its one line is short
    assert {name: measures[name] for name in METRICS} == expected


def test_the_table_of_characters() -> None:
    table = character_table()
    kinds = table.kinds_of(np.arange(0x110000, dtype=np.uint32))
    for name, test in (("space", str.isspace), ("letter", str.isalpha)):
        expected = [test(chr(point)) for point in range(0x110000)]
        assert ((kinds & BITS[name]) != 0).tolist() == expected


@pytest.mark.parametrize(
    ("character", "script"),
    [
        *zip("あゞぁ", ["hiragana", "other", "hiragana"], strict=True),
        *zip("アーヷｱ", ["katakana"] * 4, strict=True),
        *zip("漢々〆𠮷神", ["kanji"] * 5, strict=True),
        *zip("aＺé", ["latin"] * 3, strict=True),
        *zip("0９", ["digit"] * 2, strict=True),
        *zip("。、Ω😀", ["other"] * 4, strict=True),
    ],
)
def test_scripts(character: str, script: str) -> None:
    assert Measures(character).scripts() == {**dict.fromkeys(SCRIPTS, 0), script: 1}


def test_a_lone_surrogate_stands_as_the_replacement_character() -> None:
    assert code_points("あ\ud800い").tolist() == [0x3042, 0xFFFD, 0x3044]
    assert Measures("あ\ud800い")["num_letters"] == 3


def test_compression() -> None:
    text = "吾輩は猫である。" * 20
    assert Measures(text)["zlib_ratio"] == len(zlib.compress(text.encode(), 9)) / len(text.encode())


def test_ngrams_of_a_text_beyond_the_window_are_those_of_the_window() -> None:
    generator = np.random.default_rng(0)
    points = generator.integers(0x3041, 0x3096, ngrams.WINDOW + 5, dtype=np.uint32)
    long, short = (Measures(part.tobytes().decode("utf-32-le")) for part in (points, points[: ngrams.WINDOW]))
    assert long["duplicate_5gram_fraction"] == short["duplicate_5gram_fraction"]
    assert long["top_2gram_fraction"] == short["top_2gram_fraction"] > 0


def test_words_have_numbers_and_places() -> None:
    points = code_points("東京と京都 東京")
    numbers, offsets = number_words(points, script_words("東京と京都 東京", points).spans)
    assert numbers.tolist() == [0, 1, 2, 0]
    assert offsets.tolist() == [0, 2, 3, 5, 7]
