from __future__ import annotations

from pathlib import Path

import pytest

from tsuzuri.core.errors import IntegrityError, RecipeError
from tsuzuri.corpus.refusals import Place, Refusals, in_words, lists_of, refusals_of, remember

PAGE = Place("web/1", "http://Blog.Example.JP/%E7%8C%AB/")


@pytest.mark.parametrize(
    ("refused", "concerns"),
    [
        (("id", "web/1"), True),
        (("id", "web/10"), False),
        (("url", "https://blog.example.jp/猫#top"), True),
        (("url", "https://blog.example.jp/"), False),
        (("host", "Example.JP."), True),
        (("host", ".blog.example.jp"), True),
        (("host", "other.example.jp"), False),
        (("host", "ample.jp"), False),
    ],
)
def test_a_refusal_concerns_what_it_names_however_it_is_written(
    refused: tuple[str, str], concerns: bool
) -> None:
    assert (PAGE in Refusals([refused])) is concerns


def test_a_host_in_its_own_letters_is_the_same_host() -> None:
    place = Place("", "<http://www.xn--wgv71a119e.jp/a>")
    assert Refusals([("host", "日本語.jp")]).of(place) == [("host", "xn--wgv71a119e.jp")]


def test_refusals_are_remembered_once(tmp_path: Path) -> None:
    path = tmp_path / "withdrawn.jsonl"
    named = refusals_of(["web/1"], ["https://example.jp/food#x"], ["Example.com"])
    remember(path, named)
    remember(path, named)
    assert Refusals.read(path).refused == set(named)
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3


def test_the_list_beside_the_documents_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    beside = tmp_path / "out" / "withdrawn.jsonl"
    assert lists_of(Path("documents"), Path("withdrawn.jsonl")) == [beside]  # one and the same
    monkeypatch.chdir(tmp_path)
    lists = lists_of(Path("out/documents"), Path("withdrawn.jsonl"))
    assert lists == [tmp_path / "withdrawn.jsonl", beside]
    assert in_words(Refusals(), lists) == f"refusals: none, for there is no {lists[0]} and no {beside}"
    remember(beside, [("id", "a")])
    assert in_words(Refusals.read(*lists), lists) == f"refusals: 1 in {beside}"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (([], [], []), "nothing was named"),
        (([" "], [], []), "is no id"),
        (([], ["example.jp/food"], []), "is no url"),
        (([], ["https://[x/"], []), "is no url"),
        (([], [], ["https://example.jp"]), "is no host"),
        (([], [], ["."]), "is no host"),
    ],
)
def test_what_names_nothing_is_refused(named: tuple[list[str], list[str], list[str]], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        refusals_of(*named)


@pytest.mark.parametrize("line", ['{"kind": "title", "value": "x"}', '{"kind": "id"}', "[]"])
def test_a_list_of_something_else_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "withdrawn.jsonl"
    path.write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(IntegrityError, match="a line that is no refusal"):
        Refusals.read(path)
