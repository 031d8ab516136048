"""SPECIALISTS.yaml: what it says, and what is wrong with it told in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import InputError, RecipeError
from tsuzuri.specialists.config import (
    RolloutConfig,
    SpecialistsConfig,
    check_files,
    read_specialists,
    within,
)
from tsuzuri.specialists.recipe import TAKEN
from tsuzuri.specialists.registry.view import RESERVED
from tsuzuri.specialists.topics import partitions_for
from tsuzuri.specialists.worker.config import WorkerConfig

GENERALIST = {"name": "generalist", "release": "releases/general"}
LITERATURE = {"name": "literature", "release": "releases/literature", "texts": "texts.jsonl"}


def write(folder: Path, **values: Any) -> Path:
    path = folder / "specialists.yaml"
    path.write_text(yaml.safe_dump({"specialists": [GENERALIST, LITERATURE], **values}))
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    found = read_specialists(write(tmp_path, router={"path": "router"}))
    assert found.specialists[1].release == tmp_path / "releases/literature"
    assert found.specialists[1].texts == tmp_path / "texts.jsonl"
    assert found.router.path == tmp_path / "router"


def test_what_a_specialist_may_not_write_is_said_to_its_workers(tmp_path: Path) -> None:
    filters = {"ng_words": {"file": "words.txt", "action": "stop"}}
    found = read_specialists(write(tmp_path, specialists=[{**GENERALIST, "filters": filters}])).specialists[0]
    assert found.said_filters == {"ng_words": {"file": str(tmp_path / "words.txt"), "action": "stop"}}
    worker = parse_config(WorkerConfig, {"name": "generalist", "filters": found.said_filters}, where="w")
    assert worker.filters == found.filters


def test_paths_of_a_section_are_relative_to_its_file_too(tmp_path: Path) -> None:
    section = parse_config(SpecialistsConfig, {"router": {"path": "router"}}, where="specialists")
    assert within(tmp_path, section).router.path == tmp_path / "router"


def test_the_generalist_is_named_once_for_the_router_too(tmp_path: Path) -> None:
    path = write(tmp_path, generalist="literature")
    assert read_specialists(path).router.generalist == "literature"
    assert read_specialists(write(tmp_path), ["generalist=literature"]).router.generalist == "literature"


def test_the_default_ramp() -> None:
    assert RolloutConfig().shares == (0.05, 0.25, 0.5, 1.0)
    assert SpecialistsConfig().gate.least_gain == 0.02


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"specialists": [GENERALIST, GENERALIST]}, "two specialists are called 'generalist'"),
        ({"generalist": "generlist"}, "'generlist' is none of the specialists .did you mean 'generalist'"),
        ({"specialists": [{**GENERALIST, "name": "文学"}]}, "can't be the name of a specialist"),
        ({"specialists": [{**GENERALIST, "name": "wanted"}]}, "has another meaning"),
        ({"specialists": [{**GENERALIST, "revision": "a/b"}]}, "can't be the name of a revision"),
        ({"specialists": [{"name": "generalist"}]}, "specialists.0.release"),
        ({"specialist": []}, "unknown key 'specialist' .did you mean 'specialists'"),
        ({"rollout": {"shares": [0.5, 0.25, 1]}}, "shares rise"),
        ({"rollout": {"shares": [0.5]}}, "shares rise"),
        ({"bus": {"bootstrap": "kafka"}}, "is no host:port"),
        ({"router": "table"}, "router: Input should be"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, values: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        read_specialists(write(tmp_path, **values))


def test_what_is_not_there_is_named_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "releases/general").mkdir(parents=True)
    found = read_specialists(write(tmp_path))
    with pytest.raises(InputError, match="specialist literature: there is no release") as caught:
        check_files(found)
    assert "specialists.1.release=" in caught.value.hint
    (tmp_path / "releases/literature").mkdir()
    with pytest.raises(InputError, match="there is no texts"):
        check_files(found)
    words = {"file": "words.txt"}
    filtered = {**GENERALIST, "filters": {"ng_words": words}}
    with pytest.raises(InputError, match=r"there is no filters.ng_words.file at .*/words.txt"):
        check_files(read_specialists(write(tmp_path, specialists=[filtered])))
    with pytest.raises(InputError, match="there is no router") as caught:
        check_files(read_specialists(write(tmp_path, router={"path": "router"})))
    assert "--set router.path=" in caught.value.hint


def test_one_without_texts_has_to_be_let_in_by_name(tmp_path: Path) -> None:
    for name in ("general", "literature"):
        (tmp_path / "releases" / name).mkdir(parents=True)
    bare = {"name": "literature", "release": "releases/literature"}
    with pytest.raises(InputError, match="names no texts of its domain"):
        check_files(read_specialists(write(tmp_path, specialists=[GENERALIST, bare])))
    check_files(read_specialists(write(tmp_path, specialists=[GENERALIST, {**bare, "gate": "none"}])))


def test_no_domain_is_called_what_no_specialist_can_be() -> None:
    assert set(RESERVED) <= set(TAKEN)


def test_there_are_as_many_partitions_as_workers_can_share() -> None:
    assert [partitions_for(workers) for workers in (0, 1, 2, 3, 8)] == [4, 4, 4, 6, 16]
