"""Hosts whose pages do not stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.quality.config import QualityConfig
from tsuzuri.corpus.quality.hosts import HostList
from tsuzuri.corpus.quality.judge import Judge

PROSE = (
    "吾輩は猫である。名前はまだ無い。どこで生れたか頓と見当がつかぬ。"
    "何でも薄暗いじめじめした所で泣いていた事だけは記憶している。"
)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "domains"
    path.write_text("Bad.example  # gambling\n\nworse.example.co.jp\r\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("host", "is_refused"),
    [
        ("bad.example", True),
        ("www.shop.bad.example", True),
        ("notbad.example", False),
        ("worse.example.co.jp", True),
        ("example.co.jp", False),
        ("", False),
    ],
)
def test_a_host_and_what_belongs_to_it(listed: Path, host: str, is_refused: bool) -> None:
    assert (host in HostList([listed])) == is_refused


def test_a_recipe_names_lists_of_hosts(listed: Path) -> None:
    config = QualityConfig.model_validate({"profile": "general", "hosts": "domains"})
    judge = Judge(config, listed.parent)
    rejection = judge.reject(PROSE, "<https://WWW.bad.example/page>")
    assert rejection is not None
    assert (rejection.reason, rejection.value) == ("host", "www.bad.example")
    assert judge.reject(PROSE, "https://good.example/") is None
    assert judge.reject(PROSE) is None


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"\xff\xfe"])
def test_a_list_that_is_none_is_said(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "domains").write_bytes(content)
    with pytest.raises(InputError, match="domains"):
        HostList([tmp_path / "domains"])
