"""What a user may write under `corpus.source`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import RecipeError
from tsuzuri.corpus.config import CorpusConfig
from tsuzuri.corpus.sources.config import AozoraSource, DebianDocsSource, FilesSource


def parse(source: Any) -> CorpusConfig:
    return parse_config(CorpusConfig, {"source": source}, where="recipe.yaml")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("debian-docs", [DebianDocsSource()]),
        ("/my/folder", [FilesSource(path=Path("/my/folder"))]),
        ({"kind": "aozora", "path": "a"}, [AozoraSource(path=Path("a"))]),
        (["debian-docs", {"kind": "files", "path": "b"}], [DebianDocsSource(), FilesSource(path=Path("b"))]),
    ],
)
def test_a_source_in_its_short_and_long_forms(written: Any, meant: list[Any]) -> None:
    assert list(parse(written).source) == meant


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"kind": "files", "pth": "x"}, "did you mean 'path'?"),
        ({"kind": "filez", "path": "x"}, "no kind 'filez' (did you mean 'files'?)"),
        (
            [{"kind": "aozora", "path": "x", "quality": {"min_charcters": 3}}],
            "did you mean 'min_characters'",
        ),
        ({"kind": "files", "path": "x", "fields": {"txt": "a"}}, "did you mean 'text'?"),
        ({"kind": "files", "path": "x", "name": "a/b"}, "part of file names"),
        ({"kind": "files", "path": "x", "encoding": "shift_jix"}, "there is no encoding 'shift_jix'"),
        ({"kind": "files", "path": "x", "encoding": "hex"}, "there is no encoding 'hex'"),
        ({"kind": "files", "path": "x", "name": "all"}, "all sources together"),
        ({"kind": "aozora", "path": "x", "quality": {"max_link_ratio": 0.5}}, "max_link_ratio is for pages"),
        (
            {
                "kind": "common-crawl",
                "path": "x",
                "extractor": "trafilatura",
                "quality": {"profile": "general", "max_link_ratio": 0.5},
            },
            "max_link_ratio is for pages",
        ),
        ([], "there is no source"),
        (3, "source.0"),
    ],
)
def test_a_mistake_is_named(written: Any, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(written)
    assert message in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("kind", ["files", "common-crawl"])
def test_pages_may_be_asked_for_their_links(kind: str) -> None:
    (source,) = parse({"kind": kind, "path": "x", "quality": {"max_link_ratio": 0.5}}).source
    assert source.quality.thresholds == {"max_link_ratio": 0.5}


def test_a_resolved_configuration_is_read_back() -> None:
    config = parse([{"kind": "aozora", "path": "x"}, "debian-docs"])
    assert parse_config(CorpusConfig, config.as_mapping(), where="run.yaml") == config
