from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tsuzuri.core.errors import InputError, IntegrityError, ResumeError
from tsuzuri.core.files import read_json_lines, sha256_file, write_json, write_text
from tsuzuri.core.manifest import (
    Manifest,
    box_sha256,
    make_box,
    read_manifest,
    record_timing,
    verify_files,
)


def make(
    box: Path, source: Path, config: Mapping[str, Any] | None = None, kind: str = "documents"
) -> Manifest:
    def work() -> dict[str, int]:
        text = source.read_text()
        write_text(box / "inner" / "copy.txt", text)
        return {"characters": len(text)}

    return make_box(
        box, kind=kind, config={"a": 1} if config is None else config, inputs={"source": source}, work=work
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.txt"
    path.write_text("いろは")
    return path


def test_a_box_says_what_it_was_made_from(tmp_path: Path, source: Path) -> None:
    manifest = make(tmp_path / "out" / "box", source)
    assert manifest.kind == "documents"
    assert manifest.config == {"a": 1}
    assert manifest.inputs == {"source": {"path": "../../source.txt", "sha256": sha256_file(source)}}
    assert manifest.counts == {"characters": 3}
    assert manifest.files == {"inner/copy.txt": sha256_file(source)}
    assert read_manifest(tmp_path / "out" / "box", "documents") == manifest
    left = sorted(path.name for path in (tmp_path / "out" / "box").iterdir())
    assert left == [".lock", "inner", "manifest.json", "timings.jsonl"]


def test_the_same_work_elsewhere_gives_the_same_manifest(tmp_path: Path, source: Path) -> None:
    make(tmp_path / "one", source)
    make(tmp_path / "two", source)
    assert box_sha256(tmp_path / "one") == box_sha256(tmp_path / "two")
    assert str(tmp_path) not in (tmp_path / "one" / "manifest.json").read_text()


def test_a_complete_box_is_not_made_again(tmp_path: Path, source: Path) -> None:
    def never() -> dict[str, Any]:
        raise AssertionError

    first = make(tmp_path / "box", source)
    again = make_box(
        tmp_path / "box", kind="documents", config={"a": 1}, inputs={"source": source}, work=never
    )
    assert again == first


def test_a_complete_box_without_one_of_its_files_is_refused(tmp_path: Path, source: Path) -> None:
    box = tmp_path / "box"
    make(box, source)
    (box / "inner" / "copy.txt").unlink()
    with pytest.raises(IntegrityError, match=r"inner/copy\.txt is missing\n.*run its command again"):
        make(box, source)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda source: {"config": {"a": 2}}, "a: 1 → 2"),
        (lambda source: {"config": {"b": {"c": 2}, "a": 1}}, r"b: None → "),
        (lambda source: {"kind": "tokens"}, "holds documents, where tokens"),
        (lambda source: source.write_text("ほへと") and {}, "input source has changed"),
    ],
)
def test_a_box_begun_with_other_facts_is_refused(
    tmp_path: Path, source: Path, complete: bool, change: Callable[[Path], dict[str, Any]], message: str
) -> None:
    box = tmp_path / "box"
    if complete:
        make(box, source)
    else:
        make_unfinished(box, source)
    with pytest.raises(ResumeError, match=message):
        make(box, source, **change(source))


def make_unfinished(box: Path, source: Path) -> None:
    """A box whose work was interrupted."""

    def interrupted() -> dict[str, Any]:
        write_text(box / "half.txt", "half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_box(box, kind="documents", config={"a": 1}, inputs={"source": source}, work=interrupted)
    assert not (box / "manifest.json").exists()
    assert (box / "pending.json").exists()


def test_an_unfinished_box_is_taken_up(tmp_path: Path, source: Path) -> None:
    box = tmp_path / "box"
    make_unfinished(box, source)
    found: list[str] = []

    def work() -> dict[str, Any]:
        found.append((box / "half.txt").read_text())
        return {}

    make_box(box, kind="documents", config={"a": 1}, inputs={"source": source}, work=work)
    assert found == ["half"]
    assert not (box / "pending.json").exists()


def test_a_box_in_which_nothing_was_written_may_be_begun_otherwise(tmp_path: Path, source: Path) -> None:
    box = tmp_path / "box"

    def refuse() -> dict[str, Any]:
        (box / "parts").mkdir()
        raise InputError("the wrong source")

    with pytest.raises(InputError, match="the wrong source"):
        make_box(box, kind="documents", config={"a": 2}, inputs={"source": source}, work=refuse)
    assert make(box, source).counts == {"characters": 3}


def test_a_box_killed_right_after_its_manifest_is_complete(tmp_path: Path, source: Path) -> None:
    box = tmp_path / "box"
    manifest = make(box, source)
    facts = {"kind": manifest.kind, "config": manifest.config, "inputs": manifest.inputs}
    write_json(box / "pending.json", facts)
    assert make(box, source) == manifest
    assert not (box / "pending.json").exists()


def test_a_process_killed_at_work_is_followed_by_the_same_bytes(tmp_path: Path, source: Path) -> None:
    program = """
        import os, signal, sys
        from pathlib import Path
        from tsuzuri.core.files import write_text
        from tsuzuri.core.manifest import make_box
        box, source, killed_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

        def work():
            for number in range(3):
                path = box / f"{number}.txt"
                if number == killed_at:
                    (box / f".tmp-1-{path.name}").write_text("half")
                    os.kill(os.getpid(), signal.SIGKILL)
                if not path.exists():
                    write_text(path, str(number))
            return {"files": 3}

        make_box(box, kind="documents", config={}, inputs={"source": source}, work=work)
    """

    def run(box: Path, killed_at: int) -> int:
        command = [sys.executable, "-c", textwrap.dedent(program), str(box), str(source), str(killed_at)]
        return subprocess.run(command).returncode

    assert run(tmp_path / "unbroken", -1) == 0
    for killed_at in (0, 1, 2):
        assert run(tmp_path / "broken", killed_at) == -9
    assert run(tmp_path / "broken", -1) == 0
    assert box_sha256(tmp_path / "broken") == box_sha256(tmp_path / "unbroken")
    assert sorted(path.name for path in (tmp_path / "broken").glob("*.txt")) == ["0.txt", "1.txt", "2.txt"]


def test_two_processes_do_not_make_one_box(tmp_path: Path, source: Path) -> None:
    box = tmp_path / "box"

    def work() -> dict[str, Any]:
        with pytest.raises(ResumeError, match="another tsuzuri process"):
            make(box, source)
        return {}

    make_box(box, kind="documents", config={"a": 1}, inputs={"source": source}, work=work)


def test_verifying_names_the_file_at_fault(tmp_path: Path, source: Path) -> None:
    box = tmp_path / "box"
    make(box, source)
    verify_files(box)
    (box / "inner" / "copy.txt").write_text("いろほ")
    with pytest.raises(IntegrityError, match=r"inner/copy\.txt is not what manifest\.json says"):
        verify_files(box)
    verify_files(box, [])
    (box / "inner" / "copy.txt").unlink()
    with pytest.raises(IntegrityError, match=r"inner/copy\.txt is missing"):
        verify_files(box, ["inner/copy.txt"])


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"kind": 1}', "\udcff"])
@pytest.mark.parametrize("name", ["manifest.json", "pending.json"])
def test_damaged_facts_are_refused(tmp_path: Path, source: Path, name: str, content: str) -> None:
    box = tmp_path / "box"
    make(box, source)
    (box / "manifest.json").unlink()
    (box / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(IntegrityError, match=rf"{name} is damaged"):
        make(box, source)
    if name == "manifest.json":
        with pytest.raises(IntegrityError, match="is damaged"):
            read_manifest(box)


def test_what_is_no_finished_box_is_refused(tmp_path: Path, source: Path) -> None:
    with pytest.raises(InputError, match=r"not a folder of tokens: it has no manifest\.json"):
        read_manifest(tmp_path, "tokens")
    with pytest.raises(InputError, match="not complete"):
        box_sha256(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        box_sha256(tmp_path / "nothing")
    make(tmp_path / "box", source)
    with pytest.raises(InputError, match="holds documents, where tokens was wanted") as caught:
        read_manifest(tmp_path / "box", "tokens")
    assert caught.value.hint == "give a folder of tokens"
    with pytest.raises(InputError, match="does not exist") as caught:
        make(tmp_path / "other", tmp_path / "nothing")
    assert caught.value.hint == "give the path of what the stage before made"


def test_clock_readings_stay_outside_every_hash(tmp_path: Path, source: Path) -> None:
    box = tmp_path / "box"
    make(box, source)
    before = box_sha256(box)
    record_timing(box, "extra", tokens_per_s=12.5)
    assert box_sha256(box) == before
    verify_files(box)
    timings = read_json_lines(box / "timings.jsonl")
    assert [line["stage"] for line in timings] == ["documents", "extra"]
    assert timings[0]["elapsed_s"] >= 0
    assert timings[1]["tokens_per_s"] == 12.5
    assert "timings.jsonl" not in json.loads((box / "manifest.json").read_text())["files"]
