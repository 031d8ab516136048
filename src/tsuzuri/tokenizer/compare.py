"""Tokenizers side by side on the same text: packing, speed and losses, for ours and anybody else's."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import sentencepiece
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer as Library

from tsuzuri.core.boxes import TOKENIZER_FILE
from tsuzuri.core.errors import InputError
from tsuzuri.tokenizer.codec import Tokenizer


class Codec(Protocol):
    """What a tokenizer must do to be compared."""

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...


@dataclass(frozen=True)
class Comparison:
    """One tokenizer on one text."""

    name: str
    vocab_size: int
    characters_per_token: float
    bytes_per_token: float
    encode_mb_per_s: float
    """Millions of bytes of UTF-8 in a second, one text at a time: one core."""
    round_trip_failures: int
    """Lines that come back changed."""
    lines: int


class SentencePiece:
    """A SentencePiece `.model` as a codec."""

    def __init__(self, path: Path) -> None:
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise InputError(f"{path} is no SentencePiece model") from error
        self.vocab_size: int = self._model.vocab_size()

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        ids: list[int] = self._model.encode(text)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        text: str = self._model.decode(list(ids))
        return text


class HuggingFace:
    """Any `tokenizer.json` as a codec, whatever it loses and however it ends a text."""

    def __init__(self, file: Path) -> None:
        try:
            self._backend = Library.from_file(str(file))
        except Exception as error:  # the library raises plain Exception for whatever it cannot read
            raise InputError(
                f"{file} is no {TOKENIZER_FILE}: {' '.join(str(error).split())[:200]}"
            ) from error
        self._backend.no_truncation()
        self._backend.no_padding()
        self.vocab_size: int = self._backend.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without what its template adds."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; an unknown piece is written as its name, so that it counts as a change."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=False)
        return text


def compare(tokenizers: Sequence[Path], text: Sequence[Path]) -> str:
    """The table of `compare_tokenizers`, for a terminal."""
    out = io.StringIO()
    Console(file=out, width=120).print(comparison_table(compare_tokenizers(tokenizers, text)))
    return out.getvalue().rstrip()


def compare_tokenizers(paths: Sequence[Path], texts: Sequence[Path]) -> list[Comparison]:
    """Each tokenizer (a folder, a `tokenizer.json` or a SentencePiece `.model`) on all the text files."""
    contents = [_read(Path(path)) for path in texts]
    if not any(contents):
        raise InputError(
            "there is no text to compare the tokenizers on", hint="give text files in UTF-8: --text FILES"
        )
    rows = []
    for path in map(Path, paths):
        codec = _codec(path)
        rows.append(measure(str(path), codec.vocab_size, codec, contents))
    return rows


def measure(name: str, vocab_size: int, codec: Codec, texts: Sequence[str]) -> Comparison:
    """One tokenizer on some texts, encoded one by one; their round trips are made line by line."""
    ids, elapsed_s = timed(codec.encode, texts)
    tokens = sum(map(len, ids)) or 1
    lines = [line for text in texts for line in text.split("\n")]
    encoded_bytes = sum(len(text.encode()) for text in texts)
    return Comparison(
        name=name,
        vocab_size=vocab_size,
        characters_per_token=sum(map(len, texts)) / tokens,
        bytes_per_token=encoded_bytes / tokens,
        encode_mb_per_s=encoded_bytes / 1e6 / elapsed_s,
        round_trip_failures=sum(codec.decode(codec.encode(line)) != line for line in lines),
        lines=len(lines),
    )


def timed(encode: Callable[[str], list[int]], texts: Iterable[str]) -> tuple[list[list[int]], float]:
    """The ids of every text, and the seconds that they took."""
    started = time.perf_counter()
    ids = [encode(text) for text in texts]
    return ids, time.perf_counter() - started


def comparison_table(rows: Iterable[Comparison]) -> Table:
    """The comparisons as a table to print."""
    table = Table("tokenizer", box=None, pad_edge=False)
    for heading in ("pieces", "characters/token", "bytes/token", "MB/s", "round trips failed"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.vocab_size:,}",
            f"{row.characters_per_token:.3f}",
            f"{row.bytes_per_token:.3f}",
            f"{row.encode_mb_per_s:.1f}",
            f"{row.round_trip_failures:,} of {row.lines:,}",
        )
    return table


def _codec(path: Path) -> SentencePiece | Tokenizer | HuggingFace:
    if path.suffix == ".model":
        return SentencePiece(path)
    try:
        return Tokenizer.load(path)
    except InputError:  # none that our models can stand on, which is no reason not to measure it
        file = path / TOKENIZER_FILE if path.is_dir() else path
        if not file.is_file():
            raise
        return HuggingFace(file)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise InputError(f"there is no text at {path}") from error
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(f"{path} is no text in UTF-8", hint="give text files in UTF-8") from error
