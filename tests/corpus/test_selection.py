"""What comparing documents does to a build, through the whole of it."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tsuzuri.core.config import parse_config
from tsuzuri.core.manifest import read_manifest
from tsuzuri.corpus.build import build_documents
from tsuzuri.corpus.config import CorpusConfig
from tsuzuri.corpus.datasheet import SAMPLES
from tsuzuri.corpus.document import read_documents
from tsuzuri.corpus.duplicates.config import DuplicatesConfig, NearDuplicateConfig
from tsuzuri.corpus.parts import make_parts
from tsuzuri.corpus.refusals import Refusals, remember
from tsuzuri.corpus.selection import select
from tsuzuri.corpus.sources.config import FilesSource
from tsuzuri.corpus.sources.files import FilesOnDisk
from tsuzuri.corpus.treatment import Treatment

WORDS = (
    "山の上",
    "古い町",
    "静かな朝",
    "赤い花",
    "海の見える駅",
    "短い手紙",
    "昔の歌",
    "夏の終わり",
    "長い道",
)
VERBS = ("歩いた", "眺めていた", "思い出す", "探しつづけた", "忘れられない", "見つけた", "語りあった")
NOTICE = "このページの文章を無断で転載することはできません。"
MENU = "トップページ | 新着の記事 | お問い合わせ"


def prose(seed: int, sentences: int = 30) -> str:
    draw = random.Random(seed)
    return "".join(
        f"{draw.choice(WORDS)}で{draw.choice(WORDS)}を{draw.randrange(10_000)}回も{draw.choice(VERBS)}。"
        for _ in range(sentences)
    )


def build(
    folder: Path, pages: dict[str, str], more: dict[str, Any] | None = None, **duplicates: Any
) -> tuple[dict[str, str], dict[str, Any]]:
    """name → text of the documents that stay, and the counts; `more` goes into the configuration."""
    for name, text in pages.items():
        path = folder / "site" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    source = {
        "kind": "files",
        "path": "site",
        "group_by": "folder",
        "quality": {"max_repeated_ngram_ratio": 1},
    }
    values = {
        "source": source,
        "root": str(folder),
        "heldout_fraction": 0.4,
        "duplicates": duplicates,
        "workers": 2,
        "keep_rejected": True,
        "withdrawn": str(folder / "withdrawn.jsonl"),
        **(more or {}),
    }
    config = parse_config(CorpusConfig, values, where="test")
    box = folder / "documents"
    build_documents(config, box)
    found = {
        document.id.removeprefix("site/").removesuffix(".txt"): document.text
        for split in ("train", "heldout")
        for document in read_documents(box, split)
    }
    return found, read_manifest(box).counts


@pytest.fixture
def pages() -> dict[str, str]:
    """Three folders of four pages each, all different."""
    return {f"{folder}/{page}": prose(100 * folder + page) for folder in range(3) for page in range(4)}


def test_without_a_configuration_only_exact_copies_fall_out(tmp_path: Path, pages: dict[str, str]) -> None:
    copies = {"0/copy": pages["1/1"], "2/nearly": pages["1/2"].replace("。", "！", 1)}
    found, counts = build(tmp_path, pages | copies)
    assert set(found) == {*pages, *copies} - {"1/1"}  # the first in the order of names stays
    assert counts["rejected"] == {"duplicate": 1}


def test_of_near_copies_the_longest_stays(tmp_path: Path, pages: dict[str, str]) -> None:
    longer = pages["1/2"] + prose(999, 1)
    found, counts = build(tmp_path, {**pages, "2/longer": longer}, near={})
    assert set(found) == {*pages, "2/longer"} - {"1/2"}
    assert found["2/longer"] == longer
    assert counts["rejected"] == {"near_duplicate": 1}
    assert counts["selection"]["near"]["near_duplicates"] == 1


def test_a_sites_lines_are_cut_but_from_its_first_page(tmp_path: Path, pages: dict[str, str]) -> None:
    framed = {name: f"{MENU}\n{text}\n{NOTICE}" for name, text in pages.items()}
    found, counts = build(tmp_path, framed, boilerplate={"min_documents": 3})
    assert {name: text.strip("\n") for name, text in found.items() if not name.endswith("/0")} == {
        name: text for name, text in pages.items() if not name.endswith("/0")
    }
    assert all(found[f"{folder}/0"] == framed[f"{folder}/0"] for folder in range(3))
    cut = sum(len(framed[name]) - len(found[name]) for name in found)
    assert counts["waterfall"][-1] == ["cut", 12, sum(map(len, found.values()))]
    assert counts["waterfall"][-2][2] - counts["waterfall"][-1][2] == cut > 0


def test_an_authors_recurring_lines_are_kept(tmp_path: Path, pages: dict[str, str]) -> None:
    framed = {name: f"「そうですか」\n{text}" for name, text in pages.items()}
    source = {"kind": "files", "path": "site", "group_by": "folder", "recurring_lines": "keep"}
    source["quality"] = {"max_repeated_ngram_ratio": 1}
    found, counts = build(tmp_path, framed, {"source": source}, boilerplate={"min_documents": 3})
    assert found == framed
    assert counts["selection"]["boilerplate"]["characters_cut"] == 0


def test_passages_of_earlier_documents_are_cut_and_what_little_is_left_falls_out(
    tmp_path: Path, pages: dict[str, str]
) -> None:
    shared = prose(12345, 20)
    more = {"0/a": prose(50) + shared, "1/b": shared + prose(51), "2/c": f"短い。{shared}"}
    found, counts = build(tmp_path, pages | more, passages={})
    assert found["0/a"] == more["0/a"]
    assert found["1/b"].strip("\n") == prose(51)
    assert "2/c" not in found
    assert counts["rejected"] == {"little_left": 1}


def test_a_short_paragraph_between_recurring_lines_stays_whatever_else_is_cut(
    tmp_path: Path, pages: dict[str, str]
) -> None:
    framed = {
        name: f"{MENU}\n{text}\n{NOTICE}\n第{n}話はここまで。\n{MENU}後\n"
        for n, (name, text) in enumerate(pages.items())
    }
    found, _ = build(tmp_path, framed, boilerplate={"min_documents": 3}, passages={})
    assert all(f"第{n}話はここまで。" in found[name] for n, name in enumerate(framed))


def test_samples_say_what_was_compared_and_what_was_cut(tmp_path: Path, pages: dict[str, str]) -> None:
    shared = prose(12345, 20)
    more = {"0/a": prose(50) + shared, "1/b": shared + prose(51), "2/longer": pages["1/2"] + prose(999, 1)}
    build(tmp_path, pages | more, near={}, passages={})
    rows = json.loads((tmp_path / "documents" / "samples.json").read_text(encoding="utf-8"))
    shown = {row["reason"]: row for row in rows}
    similarity, _, like = shown["near_duplicate"]["detail"].partition("; ")
    assert 0.8 <= float(similarity) < 1
    assert like == "site/2/longer.txt"
    assert shared.startswith(shown["cut"]["excerpt"])
    assert shown["cut"]["detail"] == str(len(shared))


def test_everything_at_once_is_the_same_again(tmp_path: Path, pages: dict[str, str]) -> None:
    noisy = {name: f"{MENU}\n{text}\n{NOTICE}" for name, text in pages.items()}
    noisy["2/again"] = noisy["0/1"] + prose(7, 1)
    everything: dict[str, Any] = {"near": {}, "boilerplate": {"min_documents": 3}, "passages": {}}
    first, counts = build(tmp_path / "a", noisy, **everything)
    again, same = build(tmp_path / "b", noisy, **everything)
    assert (first, counts) == (again, same)
    files = [sorted(path.name for path in (tmp_path / side / "documents").iterdir()) for side in "ab"]
    assert files[0] == files[1]
    assert "parts" not in files[0]


def test_any_number_of_workers_makes_the_same_box(tmp_path: Path, pages: dict[str, str]) -> None:
    pages |= {f"3/{page}": prose(300 + page) for page in range(4)}
    noisy = {name: f"{MENU}\n{text}\n{NOTICE}" for name, text in pages.items()}
    noisy |= {
        "1/copy": noisy["0/1"],
        "2/again": noisy["0/2"] + prose(7, 1),
        "3/quotes": prose(8) + pages["0/3"],
    }
    quality = {"max_repeated_ngram_ratio": 1}
    source = [
        {"kind": "files", "path": f"site/{name}", "group_by": "folder", "quality": quality}
        for name in range(4)
    ]
    everything: dict[str, Any] = {"near": {}, "boilerplate": {"min_documents": 3}, "passages": {}}
    boxes = []
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        _, counts = build(folder, noisy, {"source": source, "workers": workers}, **everything)
        assert counts["rejected"] == {"duplicate": 1, "near_duplicate": 1}
        assert all(counts["selection"][kind]["spans"] for kind in ("boilerplate", "passages"))
        files = [path for path in (folder / "documents").iterdir() if path.suffix in (".parquet", ".json")]
        boxes.append({path.name: path.read_bytes() for path in files})
    assert boxes[0] == boxes[1]
    assert len(boxes[0]) > 3


@pytest.mark.parametrize("name", ["withdrawn.jsonl", "named.jsonl"])
def test_who_refused_is_left_out_of_later_builds(
    tmp_path: Path, pages: dict[str, str], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the list beside the folder of documents, and by the one that the recipe names."""
    remember(tmp_path / name, [("id", "site/1/2.txt")])
    found, counts = build(tmp_path, pages, {"withdrawn": str(tmp_path / "named.jsonl")})
    assert set(found) == {*pages} - {"1/2"}
    assert counts["rejected"] == {"withdrawn": 1}
    assert "withdrawn" in [stage for stage, *_ in counts["waterfall"]]
    assert f"refusals: 1 in {tmp_path / name}\n" in capfd.readouterr().err


def test_nothing_is_kept_or_shown_of_who_refused(tmp_path: Path, pages: dict[str, str]) -> None:
    """Whatever else is wrong with the document."""
    english = {"2/a": "English text by somebody who refused.", "2/b": "English text by somebody else."}
    remember(tmp_path / "withdrawn.jsonl", [("id", "site/2/a.txt")])
    found, counts = build(tmp_path, pages | english)
    assert set(found) == set(pages)
    assert counts["rejected"] == {"min_characters": 1, "withdrawn": 1}
    rejected = pq.read_table(tmp_path / "documents" / "rejected-00000.parquet")
    assert rejected["text"].to_pylist() == [english["2/b"]]
    shown = (tmp_path / "documents" / SAMPLES).read_text(encoding="utf-8")
    assert english["2/b"] in shown
    assert english["2/a"] not in shown


def test_licenses_that_do_not_suit_are_left_out(tmp_path: Path) -> None:
    nc = ["CC-BY-NC-4.0", "CC BY-NC-SA 4.0", "https://creativecommons.org/licenses/by-nc/4.0/"]
    nd = ["CC-BY-ND-4.0 OR CC0-1.0", "cc-by-nd-4.0"]
    names = ["CC-BY-4.0", "cc-by-4.0", "CC BY 4.0", *nc, *nd, "", "gemma"]
    lines = [json.dumps({"text": prose(n), "license": name}) for n, name in enumerate(names)]
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "records.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for rules, left in (
        ({}, 10),
        ({"no_nc": True}, 7),
        ({"no_nd": True}, 9),
        ({"no_nc": True, "no_nd": True}, 6),
        ({"no_unclear": True}, 8),
        ({"allowed": ["CC BY 4.0"]}, 3),
    ):
        found, counts = build(tmp_path, {}, {"licenses": rules})
        assert len(found) == left, rules
        assert counts["rejected"] == ({"license": 10 - left} if left < 10 else {})
        shutil.rmtree(tmp_path / "documents")


def test_documents_that_hold_test_items_are_left_out_and_reported(
    tmp_path: Path, pages: dict[str, str]
) -> None:
    questions = [prose(1000 + n, 2) for n in range(3)] + ["短い"]
    lines = [json.dumps({"question": text}, ensure_ascii=False) for text in questions]
    (tmp_path / "quiz.jsonl").write_text("\n".join(lines), encoding="utf-8")
    leaking = {"0/leak": prose(60) + questions[1], "2/leak": questions[1] + questions[2] + prose(61)}
    quiz = {"path": "quiz.jsonl", "fields": {"text": "question"}}
    found, counts = build(tmp_path, pages | leaking, {"decontaminate": {"benchmarks": [quiz]}}, near={})
    assert set(found) == set(pages)
    assert counts["rejected"] == {"contaminated": 2}
    report = {"quiz": {"items": 4, "too_short": 1, "found": 2, "documents": 2}}
    assert counts["selection"]["decontaminate"] == report


def test_a_withdrawal_between_two_attempts_begins_the_comparison_anew(
    tmp_path: Path, pages: dict[str, str]
) -> None:
    build(tmp_path, {**pages, "2/copy": pages["1/2"] + prose(999, 1)}, near={})
    source = FilesSource.model_validate({"path": "site", "quality": {"max_repeated_ngram_ratio": 1}})
    config = CorpusConfig(
        source=(source,),
        duplicates=DuplicatesConfig(near=NearDuplicateConfig()),
    )
    site = FilesOnDisk(source, tmp_path)
    parts = make_parts([site], [Treatment(source)], tmp_path / "parts", workers=1)
    for refused, reason in (("", "near_duplicate"), ("site/2/copy.txt", "withdrawn")):
        refusals = Refusals([("id", refused)] if refused else [])
        rows = select(parts, [site.name], [0.4], config, refusals, tmp_path / "selection", 1).rows
        assert [rows.reasons[number] for number in rows.reason if number] == [reason]
