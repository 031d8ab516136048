from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tsuzuri.core.errors import InputError, TsuzuriError
from tsuzuri.core.files import write_json
from tsuzuri.core.manifest import make_box, read_manifest, rewrite_manifest, verify_files
from tsuzuri.corpus import commands
from tsuzuri.corpus.anonymize.log import LOG_SCHEMA
from tsuzuri.corpus.datasheet import HTML, MARKDOWN, SAMPLES, write_datasheet
from tsuzuri.corpus.document import DOCUMENT_SCHEMA, Document, SplitWriter, as_row, read_documents
from tsuzuri.corpus.parts import REJECTED_SCHEMA
from tsuzuri.corpus.refusals import Refusals
from tsuzuri.corpus.stats import CorpusStats
from tsuzuri.corpus.withdraw import WITHDRAWN, Withdrawal, affected, withdraw

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
                    stats.keep(document, split)
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


def test_what_was_rejected_is_taken_out_of_what_shows_it(box: Path) -> None:
    """A rejected document is known by its URL too, in the file of rejected ones and among the samples."""
    rejected = {**as_row(DIARY), "id": "web/9", "text": "捨てた日記。", "reason": "host", "detail": ""}
    other = {**rejected, "id": "web/8", "text": "別の所の文。", "url": "https://example.com/"}
    pq.write_table(pa.Table.from_pylist([rejected, other], REJECTED_SCHEMA), box / "rejected-00000.parquet")
    shown = {name: rejected[name] for name in ("source", "title", "url", "reason", "detail")}
    more = [
        {**shown, "id": "web/7", "excerpt": "見本の日記。"},
        {**shown, "id": "", "url": "", "excerpt": "他の見本。"},
    ]
    samples = json.loads((box / SAMPLES).read_text(encoding="utf-8"))
    write_datasheet(box, {}, read_manifest(box).counts, samples + more)
    rewrite_manifest(box, read_manifest(box).counts)
    withdrawal = withdraw(box, Refusals([("host", "blog.example.jp")]))
    assert withdrawal.ids == ("web/1", "web/7", "web/9")
    assert pq.read_table(box / "rejected-00000.parquet")["id"].to_pylist() == ["web/8"]
    texts = [(box / name).read_text(encoding="utf-8") for name in (SAMPLES, MARKDOWN, HTML)]
    assert not any("日記" in text for text in texts)
    assert all("他の見本" in text for text in texts)
    verify_files(box)


def test_a_box_that_was_made_without_samples(box: Path) -> None:
    for name in (SAMPLES, MARKDOWN, HTML):
        (box / name).unlink()
    rewrite_manifest(box, read_manifest(box).counts)
    assert withdraw(box, Refusals([("id", "web/2")])).ids == ("web/2",)
    verify_files(box)


def test_what_is_no_box_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder of documents"):
        withdraw(tmp_path / "documemts", Refusals([("id", "web/2")]))
    assert list(tmp_path.iterdir()) == []


FOREIGN = ("{", "[]", '"x"', '{"name": "an extension"}', "[" * 100_000)
FOREIGN_FIELDS = ("[]", '{"a": 1}', '{"a": {"path": "b"}}')


def test_manifests_of_others_are_passed_over(
    box: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    texts = [*FOREIGN, *(f'{{"kind": "x", "config": {{}}, "inputs": {inputs}}}' for inputs in FOREIGN_FIELDS)]
    for number, text in enumerate(texts):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "manifest.json").write_text(text)
    (tmp_path / "folder" / "manifest.json").mkdir(parents=True)
    tokens = made_of(box, "tokens", tmp_path / "z" / "tokens", ids=("web/2",))
    withdrawal = withdraw(box, Refusals([("id", "web/2")]))
    assert [item.path for item in affected([tmp_path], withdrawal)] == [tokens]
    assert capfd.readouterr().err.count("is no manifest of ours") == len(texts) + 1


def command(documents: Path, *, search: Path, named: Path, url: str) -> list[str]:
    return list(commands.withdraw(documents, [], [url], [], refused=named, search=[search]))


def test_the_command_says_where_it_remembers_and_what_matched_nothing(box: Path, tmp_path: Path) -> None:
    lists = [tmp_path / "elsewhere" / "list.jsonl", tmp_path / "withdrawn.jsonl"]
    url = "http://example.jp/%66ood/"
    said = command(box, search=tmp_path, named=lists[0], url=url)
    assert said[0].endswith("is without 1 documents that were refused")
    assert str(lists[0]) in said[1]
    assert str(lists[1]) in said[1]
    assert [Refusals.read(path).refused for path in lists] == [{("url", "https://example.jp/food")}] * 2
    again = command(box, search=tmp_path, named=lists[0], url=url)
    assert again[1] == "nothing in it has the url https://example.jp/food (any more)"
    elsewhere = tmp_path / "third.jsonl"
    command(box, search=tmp_path, named=elsewhere, url="https://blog.example.jp/diary")
    assert ids_in(box) == ["web/3", "books/1"]


def test_what_a_killed_build_left_of_its_work_goes_too(box: Path) -> None:
    (box / "parts").mkdir()
    (box / "parts" / "web-00000.parquet").write_bytes(DIARY.text.encode())
    withdraw(box, Refusals([("id", "web/1")]))
    assert not (box / "parts").exists()
    verify_files(box)


@pytest.mark.parametrize("search", ["elsewhere", ".", "made", "documents"])
def test_what_lies_beside_the_documents_is_named_wherever_one_searches(
    box: Path, tmp_path: Path, search: str
) -> None:
    tokens = made_of(box, "tokens", tmp_path / "made" / "tokens", ids=("web/2",))
    (tmp_path / "elsewhere").mkdir()
    said = command(
        box, search=tmp_path / search, named=tmp_path / "withdrawn.jsonl", url="https://example.jp/food"
    )
    assert sum(str(tokens) in line for line in said) == 1
    assert said[-1].startswith(f"looked below {tmp_path}")
    assert said[-1].endswith(": 1 made of them before")


def test_that_nothing_learnt_from_it_is_said(box: Path, tmp_path: Path) -> None:
    url = "https://example.jp/food"
    said = command(box, search=tmp_path, named=tmp_path / "withdrawn.jsonl", url=url)
    assert said[-1] == f"looked below {tmp_path}: 0 made of them before"


@pytest.mark.parametrize("wrong", ["documents", "search", "list"])
def test_a_mistake_in_the_command_changes_nothing(box: Path, tmp_path: Path, wrong: str) -> None:
    named = tmp_path / "named.jsonl"
    if wrong == "list":
        named.write_text("[]\n", encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(TsuzuriError):
        command(
            tmp_path / "documemts" if wrong == "documents" else box,
            search=tmp_path / "serch" if wrong == "search" else tmp_path,
            named=named,
            url="https://example.jp/food",
        )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
