"""Words by segmentation and by script."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tsuzuri.corpus.quality.characters import code_points
from tsuzuri.corpus.quality.metrics import Measures
from tsuzuri.corpus.quality.words import Words, script_words, sudachi_words
from tsuzuri.corpus.sudachi import CHUNK_BYTES

TEXT = "東京都の渋谷区で、コーヒーを2杯飲んだ。\n\u3000Kyoto！"
needs_sudachi = pytest.mark.skipif(
    importlib.util.find_spec("sudachipy") is None, reason="sudachipy is not installed"
)


def surfaces(text: str, words: Words) -> list[str]:
    return [text[start:end] for start, end in words.spans.tolist()]


def test_words_by_script() -> None:
    words = script_words(TEXT, code_points(TEXT))
    expected = "東京/都/の/渋谷/区/で/、/コーヒー/を/2/杯飲/んだ/。/Kyoto/！"
    assert surfaces(TEXT, words) == expected.split("/")
    assert (words.nouns, words.marks) == (8, 3)


@needs_sudachi
def test_words_by_sudachi() -> None:
    words = sudachi_words(TEXT, code_points(TEXT))
    expected = "東京/都/の/渋谷/区/で/、/コーヒー/を/2/杯/飲ん/だ/。/Kyoto/！"
    assert surfaces(TEXT, words) == expected.split("/")
    assert (words.nouns, words.marks) == (7, 3)


@needs_sudachi
@pytest.mark.parametrize("unit", ["𠮷野家で食べた。\n", "𠮷野家で食べた。", "あ"])
def test_a_text_longer_than_sudachi_takes(unit: str) -> None:
    text = unit * (CHUNK_BYTES // len(unit.encode()) * 2 + 3)
    assert "".join(surfaces(text, sudachi_words(text, code_points(text)))) == "".join(text.split())


@needs_sudachi
def test_the_splitter_is_chosen() -> None:
    by_words, by_script = (Measures(TEXT, words)["noun_fraction"] for words in ("sudachi", "script"))
    assert (by_words, by_script) == (7 / 13, 8 / 12)


def test_a_text_without_words() -> None:
    assert script_words(" \n", code_points(" \n")).spans.shape == (0, 2)
    assert Measures(" \n")["avg_word_length"] == 0


@pytest.mark.parametrize("absent", ["sudachipy", "sudachidict_core"])
def test_a_missing_extra_is_named_before_the_first_document(absent: str) -> None:
    code = f"""
import sys
sys.modules[{absent!r}] = None
from tsuzuri.core.errors import MissingExtraError
from tsuzuri.corpus.quality.config import QualityConfig
from tsuzuri.corpus.quality.judge import Judge
try:
    Judge(QualityConfig(profile="fineweb2-ja"))
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert absent in done.stdout
    assert "tsuzuri[segment]" in done.stdout
