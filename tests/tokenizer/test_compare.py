"""Tokenizers side by side."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import sentencepiece
from rich.console import Console

from tsuzuri.core.errors import InputError
from tsuzuri.tokenizer.codec import TOKENIZER_FILE
from tsuzuri.tokenizer.compare import compare_tokenizers, comparison_table
from tsuzuri.tokenizer.config import TokenizerConfig
from tsuzuri.tokenizer.train import learn_tokenizer


@pytest.fixture
def ours(tmp_path: Path, texts: list[str]) -> Path:
    (tmp_path / TOKENIZER_FILE).write_text(
        learn_tokenizer(texts, TokenizerConfig(vocab_size=600))[0], encoding="utf-8"
    )
    return tmp_path


@pytest.fixture
def theirs(tmp_path: Path, texts: list[str]) -> Path:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter("".join(texts).split("\n")),
        model_writer=model,
        model_type="bpe",
        vocab_size=600,
        minloglevel=2,
    )
    (tmp_path / "theirs.model").write_bytes(model.getvalue())
    return tmp_path / "theirs.model"


def test_counts_are_those_of_the_text(tmp_path: Path, ours: Path, theirs: Path) -> None:
    text = "今日は私が手紙を書いた。\n鰯\n"
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    mine, other = compare_tokenizers([ours, theirs], [tmp_path / "text.txt"])
    assert mine.vocab_size == other.vocab_size == 600
    assert mine.bytes_per_token / mine.characters_per_token == pytest.approx(len(text.encode()) / len(text))
    assert mine.characters_per_token > 1
    assert mine.encode_mb_per_s > 0
    assert (mine.round_trip_failures, mine.lines) == (0, 3)
    assert other.round_trip_failures == 1  # its model has no bytes: 鰯 is unknown


def test_the_table_shows_every_row(tmp_path: Path, ours: Path, theirs: Path) -> None:
    (tmp_path / "text.txt").write_text("私が手紙を待っていました。", encoding="utf-8")
    console = Console(file=io.StringIO(), width=200)
    console.print(comparison_table(compare_tokenizers([ours, theirs], [tmp_path / "text.txt"])))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 3
    assert "characters/token" in lines[0]
    assert "0 of 1" in lines[1]


def test_bad_texts_and_tokenizers(tmp_path: Path, ours: Path) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "sjis.txt").write_bytes("日本語".encode("cp932"))
    (tmp_path / "bad.model").write_bytes(b"no model")
    with pytest.raises(InputError, match="no text to compare"):
        compare_tokenizers([ours], [tmp_path / "empty.txt"])
    with pytest.raises(InputError, match="no text in UTF-8"):
        compare_tokenizers([ours], [tmp_path / "sjis.txt"])
    with pytest.raises(InputError, match="there is no text at"):
        compare_tokenizers([ours], [tmp_path / "absent.txt"])
    (tmp_path / "good.txt").write_text("良い", encoding="utf-8")
    with pytest.raises(InputError, match="no SentencePiece model"):
        compare_tokenizers([tmp_path / "bad.model"], [tmp_path / "good.txt"])
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        compare_tokenizers([tmp_path / "absent"], [tmp_path / "good.txt"])
