from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from lxml import html

import builds
from tsuzuri.core.errors import InputError
from tsuzuri.core.files import append_json_line, write_json
from tsuzuri.report.build import build_report

EVIL = "</script><script>alert('x')</script>\"'<b>&amp;\ud800\x00\x1b"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build with every box up to the evaluation; tests only read it."""
    return builds.make_all(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def page(out: Path) -> html.HtmlElement:
    return html.document_fromstring(build_report(out).read_text(encoding="utf-8"))


def headings(page: html.HtmlElement) -> list[str]:
    return [heading.text_content() for heading in page.iter("h2")]


def test_every_part_of_a_build_has_its_section(page: html.HtmlElement) -> None:
    assert headings(page) == [
        "文書Corpus",
        "語彙Tokenizer",
        "学習Training",
        "文の育ちSamples through training",
        "評価Final scores",
        "書いたものWhat it writes",
        "設定Configuration",
        "来歴Lineage",
    ]


def test_the_numbers_of_the_boxes_are_there(page: html.HtmlElement) -> None:
    text = page.text_content()
    for number in (
        "14,620",
        "53,870,114",
        "−1,609,211",
        "29,894,656",
        "4.672",
        "0.914",
        "1,684",
        "AMD EPYC 7B13",
        "CC-BY-SA-3.0",
    ):
        assert number in text
    assert builds.STORIES[50][0] in text


def test_the_stages_show_how_far_the_build_is(page: html.HtmlElement) -> None:
    states = page.xpath("//ol[@class='stages']/li/@class")
    assert states == ["done"] * 5 + ["absent"]


def test_losses_have_their_japanese_names(page: html.HtmlElement) -> None:
    text = page.text_content()
    assert "日本語でない not Japanese" in text
    assert "文字として読めない not decodable" in text
    assert "min_japanese_ratio" not in text


def test_every_chart_has_words_and_a_table(page: html.HtmlElement) -> None:
    charts = page.xpath("//figure[.//svg[@class='chart']]")
    assert len(charts) == 5
    for figure in charts:
        assert figure.find("figcaption").text_content().strip()
        assert figure.xpath(".//svg[@role='img']/@aria-label")[0]
        assert figure.xpath(".//details//table//td")
    assert all(bar.get("aria-label") for bar in page.xpath("//svg[@class='bar']"))


def test_nothing_is_loaded_and_nothing_runs(out: Path, page: html.HtmlElement) -> None:
    text = (out / "report.html").read_text(encoding="utf-8")
    assert not page.xpath("//script | //link | //img | //iframe | //@src | //@href | //@onclick")
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'" in page.xpath("//meta[@http-equiv]/@content")[0]


def test_no_place_of_this_machine_is_given_away(out: Path) -> None:
    assert str(out.parent) not in (out / "report.html").read_text(encoding="utf-8")


def test_the_same_boxes_give_the_same_bytes(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / out.name)
    assert build_report(tmp_path / out.name).read_bytes() == (out / "report.html").read_bytes()


def test_a_build_with_documents_alone_is_reported(tmp_path: Path) -> None:
    builds.make_documents(tmp_path)
    page = html.document_fromstring(build_report(tmp_path).read_text(encoding="utf-8"))
    assert headings(page) == ["文書Corpus", "設定Configuration", "来歴Lineage"]


def test_a_run_under_way_is_reported(tmp_path: Path) -> None:
    builds.write_run(tmp_path / "run", steps=40)
    write_json(
        tmp_path / "run" / "pending.json", {"kind": "run", "config": builds.run_config(), "inputs": {}}
    )
    page = html.document_fromstring(build_report(tmp_path).read_text(encoding="utf-8"))
    assert headings(page) == ["学習Training", "設定Configuration"]
    assert page.xpath("//ol[@class='stages']/li/@class")[3] == "begun"
    assert len(page.xpath("//svg[@class='chart']")) == 3


def test_a_live_page_loads_itself_anew_and_sums_no_sources(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "build")
    live = html.document_fromstring(build_report(tmp_path / "build", live=True).read_text(encoding="utf-8"))
    assert live.xpath("//meta[@http-equiv='refresh']/@content") == ["60"]
    assert "来歴Lineage" not in headings(live)
    last = html.document_fromstring(build_report(tmp_path / "build").read_text(encoding="utf-8"))
    assert not last.xpath("//meta[@http-equiv='refresh']")
    assert "来歴Lineage" in headings(last)


def test_boxes_may_lie_anywhere(out: Path, tmp_path: Path) -> None:
    boxes = {"run": out / "run", "tokens": out / "tokens"}
    page = html.document_fromstring(build_report(tmp_path, boxes).read_text(encoding="utf-8"))
    assert "学習Training" in headings(page)
    assert headings(page)[-1] == "来歴Lineage"
    assert "Trainingrun" in page.xpath("//main/section[last()]")[0].text_content()


def test_steps_left_out_are_told(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    assert "steps left out" not in build_report(tmp_path).read_text(encoding="utf-8")
    numbers = {"loss": 9.25, "grad_norm": "inf"}
    line = {"kind": "spike", "step": 31, "cause": "hardware", "rows": [960, 991], "samples": [], **numbers}
    append_json_line(tmp_path / "run" / "incidents.jsonl", line)
    append_json_line(
        tmp_path / "run" / "metrics.jsonl", {"step": 601, "loss": None, "grad_norm": None, "skipped": True}
    )
    page = html.document_fromstring(build_report(tmp_path).read_text(encoding="utf-8"))
    (fold,) = page.xpath("//details[contains(summary, 'steps left out')]")
    row = [cell.text_content() for cell in fold.xpath(".//tbody//td|.//tbody//th")]
    assert row[:5] == ["31", "spike", "9.2500", "inf", "hardware"]


def test_what_comes_from_data_stays_text(tmp_path: Path) -> None:
    name = EVIL.encode("utf-8", "replace").decode()
    source = {"documents": 1, "characters": 5, "heldout_documents": 1, "licenses": {name: 1}}
    builds.make_documents(
        tmp_path,
        sources={name: source},
        waterfall=[[name, 2, 9], [name, 1, 5]],
        rejected={name: 1},
        scripts={name: 5},
    )
    builds.write_run(tmp_path / "run", steps=10)
    write_json(
        tmp_path / "run" / "pending.json",
        {"kind": "run", "config": {"model": {"model_type": name}}, "inputs": {}},
    )
    append_json_line(
        tmp_path / "run" / "metrics.jsonl", {"step": 9, "heldout": {name: {"bits_per_character": 4.0}}}
    )
    with open(tmp_path / "run" / "samples.jsonl", "a", encoding="ascii") as file:
        file.write(json.dumps({"step": 9, "samples": [{"prompt": EVIL, "text": EVIL}]}) + "\n")
    text = build_report(tmp_path).read_text(encoding="utf-8")
    page = html.document_fromstring(text)
    assert not list(page.iter("script"))
    assert not list(page.xpath("//section//b[not(ancestor::p or ancestor::ul)]"))
    assert (
        page.xpath("//ol[@class='growth']//p/b")[0].text
        == "</script><script>alert('x')</script>\"'<b>&amp;\ufffd\ufffd\ufffd"
    )


def test_a_folder_without_a_build_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no build"):
        build_report(tmp_path)
