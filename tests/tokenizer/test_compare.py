"""Tokenizers side by side."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece
import tokenizers
from rich.console import Console

from tsuzuri.core.boxes import TOKENIZER_FILE
from tsuzuri.core.errors import InputError
from tsuzuri.tokenizer.compare import compare_tokenizers, comparison_table
from tsuzuri.tokenizer.config import TokenizerConfig
from tsuzuri.tokenizer.train import learn_tokenizer


@pytest.fixture
def ours(tmp_path: Path, texts: list[str]) -> Path:
    (tmp_path / TOKENIZER_FILE).write_text(
        learn_tokenizer(texts, TokenizerConfig(vocab_size=600, boundary="none"))[0], encoding="utf-8"
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


def byte_level() -> tokenizers.Tokenizer:
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(tokenizers.models.BPE({letter: n for n, letter in enumerate(letters)}, []))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    return made


def word_piece() -> tokenizers.Tokenizer:
    pieces = {"[UNK]": 0, "日": 1, "##本": 2, "本": 3}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(pieces, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.decoder = tokenizers.decoders.WordPiece()
    made.add_special_tokens(["[UNK]"])
    return made


def bpe_without_bytes() -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer(
        tokenizers.models.BPE({"?": 0, "日": 1, "本": 2, "日本": 3}, [("日", "本")], unk_token="?")
    )


@pytest.mark.parametrize(
    ("make", "pieces", "tokens", "failures"),
    [(byte_level, 256, 16, 0), (word_piece, 4, 3, 1), (bpe_without_bytes, 4, 4, 1)],
)
def test_tokenizers_that_lose_text_or_name_no_end_are_measured(
    tmp_path: Path, make: Callable[[], tokenizers.Tokenizer], pieces: int, tokens: int, failures: int
) -> None:
    backend = make()
    backend.enable_truncation(2)
    backend.enable_padding(length=50)
    backend.save(str(tmp_path / "theirs.json"))
    (tmp_path / "text.txt").write_text("日本\n日本鰯", encoding="utf-8")
    (row,) = compare_tokenizers([tmp_path / "theirs.json"], [tmp_path / "text.txt"])
    assert (row.vocab_size, row.round_trip_failures, row.lines) == (pieces, failures, 2)
    assert row.characters_per_token * tokens == pytest.approx(6)


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
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match=r"bad\.json is no tokenizer\.json"):
        compare_tokenizers([tmp_path / "bad.json"], [tmp_path / "good.txt"])
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        compare_tokenizers([tmp_path / "absent"], [tmp_path / "good.txt"])
