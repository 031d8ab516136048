"""A site's lines: those on page after page of one group go from all pages but the first."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.corpus.duplicates.boilerplate import BOILERPLATE, boilerplate_lines
from tsuzuri.corpus.duplicates.config import BoilerplateConfig
from tsuzuri.corpus.duplicates.spans import Cut, cut, read_spans

FEW = BoilerplateConfig(min_documents=3, min_share=0.5, memory_bytes=2**20)
Page = tuple[str, str]


def write(folder: Path, pages: list[Page], cut_at: int) -> list[Path]:
    paths = []
    for number, part in enumerate((pages[:cut_at], pages[cut_at:])):
        paths.append(folder / f"{number}.parquet")
        columns = [[text for _, text in part], [group for group, _ in part]]
        schema = pa.schema([("text", pa.string()), ("group", pa.string())])
        pq.write_table(pa.table(columns, schema=schema), paths[-1])
    return paths


def cleaned(folder: Path, pages: list[Page], config: BoilerplateConfig, workers: int = 1) -> list[str]:
    boilerplate_lines(write(folder, pages, len(pages) // 2), folder / "found", config, workers=workers)
    spans = read_spans(folder / "found" / BOILERPLATE, 0, len(pages))
    return [cut(text, [Cut(*span, 1) for span in spans.get(row, [])]) for row, (_, text) in enumerate(pages)]


def plain(pages: list[Page], config: BoilerplateConfig) -> list[str]:
    holding: dict[Page, set[int]] = defaultdict(set)
    for row, (group, text) in enumerate(pages):
        for line in text.split("\n"):
            holding[group, line.strip()].add(row)
    sizes = Counter(group for group, _ in pages)

    def goes(row: int, group: str, line: str) -> bool:
        rows = holding[group, line.strip()]
        often = len(rows) >= max(config.min_documents, config.min_share * sizes[group])
        return bool(group) and often and row > min(rows) and len(line.strip()) >= config.min_characters

    return [
        "".join(
            line + end
            for line, end in zip(text.split("\n"), [*["\n"] * text.count("\n"), ""], strict=True)
            if not goes(row, group, line)
        )
        for row, (group, text) in enumerate(pages)
    ]


MENU, FOOTER = "ホーム｜新着｜お問い合わせ", "無断転載を禁じます"


def test_menus_go_and_prose_stays(tmp_path: Path) -> None:
    site = [("a.example", f"{MENU}\n　本文その{number}です。\n{FOOTER}") for number in range(4)]
    others = [("b.example", f"{MENU}\n別の本文です。"), ("", f"{MENU}\n宛先のない本文です。")]
    found = cleaned(tmp_path, [*site, *others], FEW)
    assert found == [
        site[0][1],
        *(f"　本文その{number}です。\n" for number in (1, 2, 3)),
        *(t for _, t in others),
    ]


def filled_lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


LINES = ["いろはに", "ほへとち　", " ほへとち", "りぬ", "", "るをわか", "よたれそつね"]
PAGES = st.tuples(st.sampled_from(["", "a", "b"]), st.lists(st.sampled_from(LINES), max_size=5))


@settings(max_examples=20, deadline=None)
@given(pages=st.lists(PAGES, min_size=2, max_size=12))
def test_lines_are_those_of_a_plain_reference(
    pages: list[tuple[str, list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    texts = [(group, "\n".join(lines)) for group, lines in pages]
    expected = plain(texts, FEW)
    found = cleaned(tmp_path_factory.mktemp("pages"), texts, FEW)
    assert list(map(filled_lines, found)) == list(map(filled_lines, expected))


def test_workers_do_not_matter(tmp_path: Path) -> None:
    pages = [(f"host{number % 3}", f"{MENU}\n本文{number}\n{FOOTER}") for number in range(30)]
    for workers in (1, 2):
        (tmp_path / str(workers)).mkdir()
        cleaned(tmp_path / str(workers), pages, FEW, workers)
    found = [(tmp_path / str(workers) / "found" / BOILERPLATE).read_bytes() for workers in (1, 2)]
    assert found[0] == found[1]


def test_counts_say_what_was_cut(tmp_path: Path) -> None:
    pages = [("a.example", f"{MENU}\n本文{number}") for number in range(4)]
    counts = boilerplate_lines(write(tmp_path, pages, 1), tmp_path / "found", FEW)
    assert counts == {
        "groups": 1, "documents_cut": 3, "spans": 3, "characters_cut": 3 * (len(MENU) + 1)
    }  # fmt: skip
