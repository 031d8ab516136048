"""Finding and reading files in folders and zips."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from pathlib import Path

import pytest

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.sources.members import (
    TooLargeError,
    fingerprint,
    group_by_size,
    list_members,
    read_lines,
    read_member,
)


def names(path: Path) -> list[str]:
    return [member.name for member in list_members(path, [".txt", ".txt.gz"], looked_for="text")]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "b").mkdir(parents=True)
    (root / "a.txt").write_text("甲")
    (root / "b" / "c.txt.gz").write_bytes(gzip.compress("乙".encode()))
    (root / "b" / "no.pdf").write_text("x")
    (root / ".hidden.txt").write_text("x")
    with zipfile.ZipFile(root / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/d.txt", "丙" * 1_000)
        archive.writestr("in/no.png", "x")
    return root


def test_files_of_a_tree_and_its_zips_are_listed_and_read(tree: Path) -> None:
    members = list_members(tree, [".txt", ".txt.gz"], looked_for="text")
    assert [member.name for member in members] == ["a.txt", "b/c.txt.gz", "z.zip/in/d.txt"]
    assert [read_member(member, 10_000).decode() for member in members] == ["甲", "乙", "丙" * 1_000]


def test_a_zip_and_a_file_stand_for_themselves(tree: Path) -> None:
    assert names(tree / "z.zip") == ["z.zip/in/d.txt"]
    assert names(tree / "a.txt") == ["a.txt"]


def test_nothing_to_read_is_an_error_that_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"looked for text \(\.txt, \.txt\.gz\)"):
        names(tmp_path)
    with pytest.raises(InputError, match="there is nothing at"):
        names(tmp_path / "absent")
    (tmp_path / "torn.zip").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InputError, match="not a whole zip"):
        names(tmp_path / "torn.zip")


def test_a_bomb_is_left_before_it_unfolds(tmp_path: Path) -> None:
    (tmp_path / "bomb.txt.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.txt", bytes(50_000_000))
    for member in list_members(tmp_path, [".txt", ".txt.gz"], looked_for="text"):
        with pytest.raises(TooLargeError):
            read_member(member, 1_000_000)


def test_a_line_has_a_limit_too() -> None:
    assert list(read_lines(io.BytesIO(b"a\r\nbb\n\nc"), 4)) == [b"a", b"bb", b"", b"c"]
    for size in (9, 10, 11, 12, 3 * 2**20):
        long = b"x" * size
        expected = long if size < 10 else None
        assert list(read_lines(io.BytesIO(b"a\n" + long + b"\nb\n" + long), 10)) == [
            b"a",
            expected,
            b"b",
            long if size <= 10 else None,
        ]


def test_the_fingerprint_follows_names_and_contents_not_places(tree: Path, tmp_path: Path) -> None:
    def value(root: Path) -> str:
        return fingerprint(list_members(root, [".txt", ".txt.gz"], looked_for="text"))

    before = value(tree)
    moved = tree.rename(tmp_path / "moved")
    assert value(moved) == before
    (moved / "a.txt").write_text("丁")
    changed = value(moved)
    (moved / "a.txt").rename(moved / "aa.txt")
    assert len({before, changed, value(moved)}) == 3


def test_batches_keep_order_and_bounds(tmp_path: Path) -> None:
    for number, size in enumerate([4, 4, 20, 1, 1]):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * size)
    batches = group_by_size(list_members(tmp_path, [".txt"], looked_for="text"), batch_bytes=8)
    assert [[member.size for member in batch] for batch in batches] == [[4, 4], [20], [1, 1]]
    assert group_by_size([]) == []


def test_a_name_in_another_encoding_is_still_a_name(tmp_path: Path) -> None:
    with open(os.path.join(os.fsencode(tmp_path), "吾輩.txt".encode("euc-jp")), "w") as file:
        file.write("猫")
    (member,) = list_members(tmp_path, [".txt"], looked_for="text")
    member.name.encode("utf-8")
    assert read_member(member, 100).decode() == "猫"


def test_a_zip_in_capitals_is_a_zip_and_its_bytes_are_in_the_fingerprint_once(tree: Path) -> None:
    (tree / "z.zip").rename(tree / "Z.ZIP")
    members = list_members(tree, [".txt"], looked_for="text")
    assert [member.name for member in members] == ["Z.ZIP/in/d.txt", "a.txt"]
    assert {member.file_name for member in members} == {"Z.ZIP", "a.txt"}
    assert fingerprint([*members, *members]) == fingerprint(members)
