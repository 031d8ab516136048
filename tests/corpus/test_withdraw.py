from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tsuzuri.core.errors import IntegrityError, RecipeError, TsuzuriError
from tsuzuri.core.files import write_json
from tsuzuri.core.manifest import make_box, read_manifest, verify_files
from tsuzuri.corpus.anonymize.log import LOG_SCHEMA
from tsuzuri.corpus.datasheet import HTML, MARKDOWN, SAMPLES, write_datasheet
from tsuzuri.corpus.document import DOCUMENT_SCHEMA, Document, SplitWriter, as_row, read_documents
from tsuzuri.corpus.stats import CorpusStats
from tsuzuri.corpus.withdraw import WITHDRAWN, Refusals, Withdrawal, affected, refusals_of, withdraw

DIARY = Document(
    id="web/1", text="わたしの日記。", source="web", url="https://blog.example.jp/diary/", license="CC0-1.0"
)
FOUND = {
    "field": "text",
    "kind": "age",
    "offset": 0,
    "length": 1,
    "rule": "age",
    "score": 0.9,
    "masked": True,
}
DOCUMENTS = [
    DIARY,
    Document(
        id="web/2", text="料理の話です。", source="web", url="https://example.jp/food", license="CC0-1.0"
    ),
    Document(
        id="web/3", text="同名の別の所。", source="web", url="https://notexample.jp/", license="CC0-1.0"
    ),
    Document(id="books/1", text="春は曙。", source="books", license="LicenseRef-PD-JP"),
]


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """Four documents, the last one held out."""
    box = tmp_path / "documents"

    def work() -> dict[str, object]:
        stats = CorpusStats()
        stats.reject("duplicate", 2)
        for split, chosen in (("train", DOCUMENTS[:3]), ("heldout", DOCUMENTS[3:])):
            with SplitWriter(box, split, DOCUMENT_SCHEMA) as writer:
                for document in chosen:
                    writer.add(as_row(document))
                    stats.keep(
                        document.text, source=document.source, split=split, license_name=document.license
                    )
        samples = [
            {"id": one.id, "source": one.source, "title": "", "reason": "", "detail": "", "excerpt": one.text}
            for one in DOCUMENTS
        ]
        write_datasheet(box, {}, stats.counts(), samples)
        findings = [{**FOUND, "id": document.id} for document in DOCUMENTS]
        pq.write_table(pa.Table.from_pylist(findings, schema=LOG_SCHEMA), box / "findings-00000.parquet")
        return stats.counts()

    make_box(box, kind="documents", config={}, inputs={}, work=work)
    return box


def made_of(parent: Path, kind: str, path: Path, ids: tuple[str, ...] = ()) -> Path:
    """A box made of `parent`; tokens have a table of their documents."""

    def work() -> dict[str, object]:
        if kind == "tokens":
            pq.write_table(pa.table({"id": list(ids)}), path / "train-web.parquet")
        return {}

    make_box(path, kind=kind, config={}, inputs={"parent": parent}, work=work)
    return path


def ids_in(box: Path) -> list[str]:
    return [document.id for split in ("train", "heldout") for document in read_documents(box, split)]


@pytest.mark.parametrize(
    ("refused", "left"),
    [
        (("id", "books/1"), ["web/1", "web/2", "web/3"]),
        (("url", "https://blog.example.jp/diary#top"), ["web/2", "web/3", "books/1"]),
        (("host", "Example.JP."), ["web/3", "books/1"]),
        (("host", "blog.example.jp"), ["web/2", "web/3", "books/1"]),
    ],
)
def test_what_is_refused_is_gone_and_the_box_is_whole(
    box: Path, refused: tuple[str, str], left: list[str]
) -> None:
    before = read_manifest(box).counts
    withdrawal = withdraw(box, Refusals([refused]))
    assert ids_in(box) == left
    assert sorted({document.id for document in DOCUMENTS} - set(left)) == list(withdrawal.ids)
    verify_files(box)
    counts = read_manifest(box).counts
    assert counts["documents"] == len(left)
    assert counts["characters"] == sum(len(one.text) for one in DOCUMENTS if one.id in left)
    assert counts["rejected"] == before["rejected"]
    assert counts["waterfall"] == [*before["waterfall"], ["taken_out", len(left), counts["characters"]]]
    texts = json.dumps(counts, ensure_ascii=False) + (box / WITHDRAWN).read_text(encoding="utf-8")
    texts += "".join((box / name).read_text(encoding="utf-8") for name in (SAMPLES, MARKDOWN, HTML))
    gone = {document.text for document in DOCUMENTS if document.id not in left}
    assert not any(text in texts for text in gone)
    assert pq.read_table(box / "findings-00000.parquet")["id"].to_pylist() == left


def test_a_refusal_that_concerns_nothing_changes_nothing(box: Path) -> None:
    before = (box / "manifest.json").read_bytes()
    assert withdraw(box, Refusals([("host", "example.com")])) == Withdrawal((), ())
    assert (box / "manifest.json").read_bytes() == before


def test_again_and_more_add_up(box: Path) -> None:
    first = withdraw(box, Refusals([("id", "web/2")]))
    assert withdraw(box, Refusals([("id", "web/2")])) == first
    second = withdraw(box, Refusals([("id", "web/2"), ("id", "books/1")]))
    assert second.ids == ("books/1", "web/2")
    assert len(second.made_before) == 2
    assert second.made_before[0] == first.made_before[0]
    assert read_manifest(box).counts["waterfall"][-1][1:] == [2, 14]


@pytest.mark.parametrize("rewritten", [0, 1])
def test_a_killed_withdrawal_is_ended_by_the_same_command(box: Path, tmp_path: Path, rewritten: int) -> None:
    """It is killed after the note, before or after the files, in any case before the manifest."""
    whole = tmp_path / "whole"
    shutil.copytree(box, whole)
    expected = withdraw(whole, Refusals([("id", "web/2")]))
    write_json(box / WITHDRAWN, ["web/2"])
    if rewritten:
        shutil.copy(whole / "train-00000.parquet", box)
    assert withdraw(box, Refusals([("id", "web/2")])) == expected
    assert (box / "manifest.json").read_bytes() == (whole / "manifest.json").read_bytes()


def test_what_learnt_from_it_is_named(box: Path, tmp_path: Path) -> None:
    tokens = made_of(box, "tokens", tmp_path / "a" / "tokens", ids=("web/1", "web/2"))
    run = made_of(tokens, "run", tmp_path / "a" / "run")
    release = made_of(run, "release", tmp_path / "a" / "release")
    innocent = made_of(box, "tokens", tmp_path / "b" / "tokens", ids=("web/1",))
    made_of(innocent, "run", tmp_path / "b" / "run")
    withdrawal = withdraw(box, Refusals([("id", "web/2")]))
    later = made_of(box, "tokens", tmp_path / "c" / "tokens", ids=("web/1",))
    made_of(later, "run", tmp_path / "c" / "run")
    found = {item.path: item for item in affected([tmp_path], withdrawal)}
    assert set(found) == {tokens, run, release}
    assert found[tokens].files == ("train-web.bin",)
    assert found[release].kind == "release"


def test_refusals_are_remembered_once_and_without_the_text(tmp_path: Path) -> None:
    path = tmp_path / "withdrawn.jsonl"
    assert not Refusals.read(path)
    refusals = Refusals()
    named = refusals_of(["web/1"], ["https://example.jp/food#x"], ["Example.com"])
    assert refusals.add(path, named) == 3
    assert refusals.add(path, named) == 0
    again = Refusals.read(path)
    assert [document.id for document in DOCUMENTS if document in again] == ["web/1", "web/2"]
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize(
    ("named", "error", "message"),
    [
        (([], [], []), RecipeError, "nothing was named"),
        (([], ["example.jp/food"], []), RecipeError, "is no URL"),
        (([], ["https://[x/"], []), RecipeError, "is no URL"),
        (([], [], ["https://example.jp"]), RecipeError, "is no host"),
        (([], [], ["."]), RecipeError, "is no host"),
    ],
)
def test_what_names_nothing_is_refused(
    named: tuple[list[str], list[str], list[str]], error: type[TsuzuriError], message: str
) -> None:
    with pytest.raises(error, match=message):
        refusals_of(*named)


def test_a_list_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "withdrawn.jsonl"
    path.write_text('{"kind": "title", "value": "x"}\n', encoding="utf-8")
    with pytest.raises(IntegrityError, match="a line that is no refusal"):
        Refusals.read(path)
