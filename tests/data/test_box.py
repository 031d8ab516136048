from __future__ import annotations

from pathlib import Path

import pytest

from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.data.box import Pieces, TokenBox, require_tokenizer

from .conftest import MakeTokenBox

NAMES = ("train-a.bin", "train-a.idx", "heldout-a.bin", "heldout-a.idx", "pieces.json")


def test_a_box_opens_with_what_was_packed(make_token_box: MakeTokenBox) -> None:
    box = make_token_box({"b": [[1, 0]], "a": [[2, 3, 0], [4, 0]]}, {"a": [[5, 0]]})
    assert box.sources == ["a", "b"]
    assert box.vocab_size == 300
    assert box.eos_id == 0
    assert [document.tolist() for document in box.shard("train", "a")] == [[2, 3, 0], [4, 0]]
    assert [document.tolist() for document in box.shard("heldout", "a")] == [[5, 0]]
    assert len(box.shard("heldout", "b")) == 0
    assert box.piece_bytes[:4].tolist() == [0, 2, 3, 1]


def test_pieces_count_the_bytes_and_characters_that_begin_in_them(tmp_path: Path) -> None:
    text = "綴り𠮷a"
    data = text.encode()
    pieces = [b"", data[:2], data[2:4], data[4:10], data[10:]]
    Pieces.of(pieces, eos_id=0).write(tmp_path / "pieces.json")
    found = Pieces.read(tmp_path / "pieces.json")
    assert found.byte_counts.tolist() == [0, 2, 2, 6, 1]
    assert found.character_counts.tolist() == [0, 1, 1, 1, 1]
    assert found.character_counts.sum() == len(text)
    assert found.eos_id == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_byte_is_found_and_its_file_named(make_token_box: MakeTokenBox, name: str) -> None:
    path = make_token_box({"a": [[1, 2, 0]]}, {"a": [[3, 0]]}).path
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(IntegrityError, match=name.replace(".", r"\.")):
        TokenBox.open(path)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(make_token_box: MakeTokenBox, name: str) -> None:
    path = make_token_box({"a": [[1, 2, 0]]}, {"a": [[3, 0]]}).path
    (path / name).unlink()
    with pytest.raises(IntegrityError, match=name.replace(".", r"\.")):
        TokenBox.open(path)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"eos_id": 0, "bytes": [1]}', '{"eos_id": null, "bytes": []}']
)
def test_damaged_pieces_are_refused_even_unverified(make_token_box: MakeTokenBox, content: str) -> None:
    path = make_token_box({"a": [[1, 0]]}).path
    (path / "pieces.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"pieces\.json"):
        TokenBox.open(path, verify=False)


def test_a_folder_that_is_no_finished_box_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.json"):
        TokenBox.open(tmp_path)


def test_an_unknown_source_names_the_closest(make_token_box: MakeTokenBox) -> None:
    box = make_token_box({"aozora": [[1, 0]]})
    with pytest.raises(InputError, match="did you mean 'aozora'"):
        box.shard("train", "aozorra")


def test_another_tokenizer_is_refused(make_token_box: MakeTokenBox) -> None:
    box = make_token_box({"a": [[1, 0]]})
    require_tokenizer(box, "ab" * 32)
    with pytest.raises(IntegrityError, match="another tokenizer"):
        require_tokenizer(box, "cd" * 32)
