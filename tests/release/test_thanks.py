from __future__ import annotations

from pathlib import Path

import pytest

from tsuzuri.core.errors import InputError
from tsuzuri.release.thanks import special_thanks, supporter_names


def test_names_are_kept_once_in_their_order() -> None:
    assert supporter_names(["山田 花子", " A. Smith ", "山田 花子"]) == ("山田 花子", "A. Smith")


def test_names_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes("\ufeff山田 花子\r\n\r\nA. Smith\n".encode())
    assert supporter_names(tmp_path / "names.txt") == ("山田 花子", "A. Smith")


@pytest.mark.parametrize("names", [[""], ["  "], ["山田\n花子"], ["山\x1b[31m田"]])
def test_what_is_no_name_is_an_error(names: list[str]) -> None:
    with pytest.raises(InputError, match="no supporter's name"):
        supporter_names(names)


def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "sjis.txt").write_bytes("山田".encode("cp932"))
    for name in ("absent.txt", "sjis.txt"):
        with pytest.raises(InputError, match=name):
            supporter_names(tmp_path / name)


def test_the_text_names_everybody_or_says_that_nobody_is_there() -> None:
    text = special_thanks(["山田 花子", "A. Smith"])
    assert text.startswith("Special Thanks\n")
    assert text.endswith("\n山田 花子\nA. Smith\n")
    assert "no supporters yet" in special_thanks([])
