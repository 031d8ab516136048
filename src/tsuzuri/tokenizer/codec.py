"""Text to ids and back, for our tokenizers and any other `tokenizer.json` that can write every text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tokenizers

from tsuzuri.core.boxes import SETTINGS_FILE, TOKENIZER_FILE
from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.core.files import sha256_bytes
from tsuzuri.core.manifest import MANIFEST, read_manifest, verify_files
from tsuzuri.tokenizer.config import END_OF_TEXT
from tsuzuri.tokenizer.pieces import piece_bytes, special_pieces

OLDER_FILES = ("tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
"""What folders hold where they have no `tokenizer.json`."""


class Tokenizer:
    """A vocabulary with its encoder. Nothing is added to a text, and no special piece is read out of one."""

    def __init__(self, description: str, settings: str = "{}") -> None:
        """From the texts of `tokenizer.json` and `tokenizer_config.json`; InputError when they are no use."""
        try:
            parsed, named = json.loads(description), json.loads(settings)
            self._backend = tokenizers.Tokenizer.from_str(description)
            special = special_pieces(parsed, named)
        except Exception as error:  # the library raises plain Exception for whatever it cannot read
            raise InputError(f"it is no {TOKENIZER_FILE}: {' '.join(str(error).split())[:200]}") from error
        self._backend.encode_special_tokens = True
        self._backend.no_truncation()
        self._backend.no_padding()
        self.pieces: list[bytes] = piece_bytes(
            parsed, self._backend.get_vocab(with_added_tokens=True), special
        )
        """The bytes of every id; special pieces have none."""
        self.vocab_size: int = len(self.pieces)
        self.sha256: str = sha256_bytes(description.encode())
        """Of `tokenizer.json`: what token shards are compared with."""
        self.eos_id: int = self._end_of_text(named)
        """The piece that opens and closes every document."""
        self._opens_with_space = b"".join(self.pieces[index] for index in self.encode("a")).startswith(b" ")

    @classmethod
    def load(cls, path: Path | str) -> Tokenizer:
        """The tokenizer of a folder or of a `tokenizer.json`.

        InputError when there is none or it is of a kind that cannot write every text, IntegrityError when it
        is not the one that its folder's manifest names.
        """
        path = Path(path)
        file = path / TOKENIZER_FILE if path.is_dir() else path
        if not file.is_file():
            raise InputError(f"there is no {TOKENIZER_FILE} at {path}", hint=_way_to_one(file.parent))
        if (file.parent / MANIFEST).exists() and file.name in read_manifest(file.parent).files:
            verify_files(file.parent, [file.name])
        settings = file.with_name(SETTINGS_FILE)
        try:
            described = file.read_bytes().decode()
            return cls(described, settings.read_text(encoding="utf-8") if settings.exists() else "{}")
        except InputError as error:
            raise InputError(f"{file}: {error.message}", hint=error.hint) from error
        except UnicodeDecodeError as error:
            raise IntegrityError(
                f"{file} is damaged: it is not UTF-8", hint="restore it from a copy"
            ) from error

    def encode(self, text: str) -> list[int]:
        """The ids of one text."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of each text, encoded by the library's own threads; InputError for a lone surrogate."""
        batch = list(texts)
        try:
            encodings = self._backend.encode_batch_fast(batch, add_special_tokens=False)
        except TypeError as error:
            raise InputError(f"a text cannot be written as Unicode: {_lone_surrogate(batch)}") from error
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special pieces are nothing, and bytes that make no whole character are U+FFFD."""
        text = b"".join([self.pieces[index] for index in ids]).decode("utf-8", errors="replace")
        return text[1:] if self._opens_with_space and text.startswith(" ") else text

    def piece_id(self, piece: str) -> int | None:
        """The id of a special or other piece by its name in `tokenizer.json`, or None."""
        index: int | None = self._backend.token_to_id(piece)
        return index

    def _end_of_text(self, settings: dict[str, Any]) -> int:
        named = settings.get("eos_token") or END_OF_TEXT
        piece = named.get("content") if isinstance(named, dict) else named
        index = self.piece_id(str(piece))
        if index is None:
            raise InputError(
                f"the end of a text, {piece!r}, is not in its vocabulary",
                hint=f"name it as eos_token in the {SETTINGS_FILE} beside it",
            )
        return index


def _way_to_one(folder: Path) -> str:
    """What to type for a `tokenizer.json`: Transformers makes one of the files of its older tokenizers."""
    if not any((folder / name).exists() for name in OLDER_FILES):
        return "make one: tsuzuri tokenizer train"
    load = (
        f"import transformers; path = {str(folder)!r}; t = transformers.AutoTokenizer.from_pretrained(path)"
    )
    program = f"{load}; t.save_pretrained(path)"
    return f"make one of the files that are there: python -c {shlex.quote(program)}"


def _lone_surrogate(texts: Iterable[str]) -> str:
    for text in (text for text in texts if isinstance(text, str)):
        for place, character in enumerate(text):
            if 0xD800 <= ord(character) <= 0xDFFF:
                return f"U+{ord(character):04X} at character {place:,} is half of a surrogate pair"
    return "every text must be a str"
