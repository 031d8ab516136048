"""What the JSON files of a folder say of its pieces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.generation.conftest import ByteTokenizer

from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.generation.rules import TokenRules, token_rules


def write(folder: Path, **files: object) -> Path:
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_without_files_the_closing_piece_opens_too(tokenizer: ByteTokenizer) -> None:
    assert token_rules(tokenizer, 260) == TokenRules(start=0, opening=(0,), ends=(0,), unwritable=(1, 2, 259))


def test_the_files_name_the_opening_and_the_closing_pieces(tokenizer: ByteTokenizer, tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        config={"bos_token_id": 1, "eos_token_id": 0},
        generation_config={"eos_token_id": [0, 2]},
        tokenizer_config={"add_bos_token": True},
    )
    assert token_rules(tokenizer, 259, folder) == TokenRules(
        start=1, opening=(1,), ends=(0, 2), unwritable=(1,)
    )


def test_a_folder_may_ask_that_nothing_opens_a_prompt(tokenizer: ByteTokenizer, tmp_path: Path) -> None:
    folder = write(
        tmp_path, config={"bos_token_id": None, "eos_token_id": 0}, tokenizer_config={"add_bos_token": False}
    )
    rules = token_rules(tokenizer, 259, folder)
    assert (rules.start, rules.opening) == (0, ())


@pytest.mark.parametrize("content", ["{", "[]", "\udcff"])
def test_a_damaged_file_is_an_error(tokenizer: ByteTokenizer, tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_bytes(content.encode("utf-8", errors="surrogateescape"))
    with pytest.raises(IntegrityError, match=r"config\.json"):
        token_rules(tokenizer, 259, tmp_path)


@pytest.mark.parametrize("wrong", [99999, 259, -1, "x", 1.0, True, [0, 259], ["x"]])
def test_what_is_no_id_is_an_error(tokenizer: ByteTokenizer, tmp_path: Path, wrong: object) -> None:
    with pytest.raises(InputError, match="bos_token_id"):
        token_rules(tokenizer, 259, write(tmp_path, config={"bos_token_id": wrong}))
    with pytest.raises(InputError, match="eos_token_id"):
        token_rules(tokenizer, 259, write(tmp_path, config={"eos_token_id": wrong}))
    files = {"config": {}, "generation_config": {"eos_token_id": wrong}}
    with pytest.raises(InputError, match="eos_token_id"):
        token_rules(tokenizer, 259, write(tmp_path, **files))
