"""The whole stage: documents boxes from folders, resumed after kills, refused where the input is at fault."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.corpus.packages import documentation, prose

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import InputError, RecipeError, ResumeError
from tsuzuri.core.manifest import MANIFEST, Manifest, verify_files
from tsuzuri.corpus.build import build_documents
from tsuzuri.corpus.config import CorpusConfig
from tsuzuri.corpus.document import read_documents


def build(box: Path, root: Path, source: Any = ".", **settings: Any) -> Manifest:
    values = {"source": source, "root": root, **settings}
    return build_documents(parse_config(CorpusConfig, values, where="test"), box)


BUILD = """
import sys
from pathlib import Path
from tsuzuri.core.config import parse_config
from tsuzuri.corpus.build import build_documents
from tsuzuri.corpus.config import CorpusConfig
source = [f"library/{number:02}" for number in range(40)]
config = parse_config(CorpusConfig, {"source": source, "root": sys.argv[1]}, where="test")
build_documents(config, Path(sys.argv[2]))
"""


def files_of(box: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in box.iterdir()
        if path.suffix == ".parquet" or path.name == MANIFEST
    }


def start(root: Path, box: Path, program: str = BUILD, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", program, str(root), str(box), *more]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Forty authors of five works each, two copies, one page of English and one that is no text."""
    return write_library(tmp_path / "library")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library, which no test changes, and what an undisturbed build makes of it: `whole`."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_library(folder / "library")
    assert start(folder, folder / "whole").wait(60) == 0
    return folder


def write_library(root: Path) -> Path:
    for author in range(40):
        (root / f"{author:02}").mkdir(parents=True)
        for work in range(5):
            (root / f"{author:02}" / f"{work}.txt").write_text(prose(f"作家{author}の作品{work}"))
    (root / "39" / "copy.txt").write_text("\n" + prose("作家0の作品0") + "\r\n")
    (root / "00" / "copy.txt").write_text(prose("作家39の作品4"))
    (root / "20" / "english.txt").write_text("This page is in English and has not been translated yet. " * 2)
    (root / "20" / "binary.txt").write_bytes(bytes(range(256)))
    return root


def groups(box: Path, split: str) -> set[str]:
    return {document.group for document in read_documents(box, split)}


def test_a_library_becomes_documents(tmp_path: Path, library: Path) -> None:
    source = {"kind": "files", "path": ".", "name": "書庫", "group_by": "folder", "license": "CC0-1.0"}
    box = tmp_path / "box"
    manifest = build(box, library, source, heldout_fraction=0.2, keep_rejected=True)
    counts = manifest.counts
    assert counts["documents"] == 200
    assert counts["rejected"] == {"duplicate": 2, "min_japanese_ratio": 1, "undecodable": 1}
    assert counts["waterfall"][0][1] == 204
    assert counts["waterfall"][-1][1:] == [200, counts["characters"]]
    assert counts["sources"]["書庫"]["licenses"] == {"CC0-1.0": 200}
    assert counts["train_documents"] + counts["heldout_documents"] == 200
    train, heldout = groups(box, "train"), groups(box, "heldout")
    assert not train & heldout
    assert 3 <= len(heldout) <= 14
    assert len(train | heldout) == 40
    texts = [document.text for split in ("train", "heldout") for document in read_documents(box, split)]
    assert len(set(texts)) == 200
    assert (
        sum(map(len, texts))
        == counts["characters"]
        == sum(counts["scripts"].values())
        + sum(sum(character.isspace() for character in text) for text in texts)
    )
    rejected = pq.read_table(box / "rejected-00000.parquet").to_pydict()
    assert sorted(rejected["reason"]) == ["duplicate", "duplicate", "min_japanese_ratio", "undecodable"]
    assert "This page is in English" in "".join(rejected["text"])
    verify_files(box)
    assert sorted(path.name for path in box.iterdir() if not path.name.startswith(".")) == [
        "DATASHEET.md",
        "datasheet.html",
        "heldout-00000.parquet",
        MANIFEST,
        "rejected-00000.parquet",
        "samples.json",
        "timings.jsonl",
        "train-00000.parquet",
    ]


def test_the_same_library_elsewhere_gives_the_same_bytes(tmp_path: Path, library: Path) -> None:
    source = {"kind": "files", "path": "library", "name": "書庫"}
    build(tmp_path / "a", tmp_path, source)
    (tmp_path / "moved").mkdir()
    moved = library.rename(tmp_path / "moved" / "library")
    build(tmp_path / "b" / "deep", tmp_path / "moved", source)
    build(tmp_path / "c", tmp_path, {**source, "path": str(moved)})
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b" / "deep") == files_of(tmp_path / "c")
    assert str(tmp_path) not in (tmp_path / "c" / MANIFEST).read_text()


def test_a_finished_box_is_not_made_again_and_a_changed_input_is_noticed(
    tmp_path: Path, library: Path
) -> None:
    box = tmp_path / "box"
    first = build(box, library)
    modified = (box / MANIFEST).stat().st_mtime_ns
    assert build(box, library) == first
    assert (box / MANIFEST).stat().st_mtime_ns == modified
    with pytest.raises(ResumeError, match="heldout_fraction"):
        build(box, library, heldout_fraction=0.3)
    (library / "00" / "0.txt").write_text(prose("書き直した作品"))
    with pytest.raises(ResumeError, match="fingerprints"):
        build(box, library)


def test_a_finished_box_outlives_its_sources(
    tmp_path: Path, library: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = {"file": "words.txt", "max_rate": 0.5}
    (library / "words.txt").write_text("禁句\n")
    source = [{"kind": "files", "path": ".", "name": "書庫", "quality": {"ng_words": [words]}}]
    first = build(tmp_path / "box", library, source)
    library.rename(tmp_path / "moved")
    assert build(tmp_path / "box", library, source) == first
    assert f"書庫: there is nothing at {library}" in (said := capfd.readouterr().err)
    assert f"{tmp_path / 'box'} is complete and taken as it is" in said
    library.mkdir()  # a disk that is not mounted
    assert build(tmp_path / "box", library, source) == first
    with pytest.raises(ResumeError, match="heldout_fraction"):
        build(tmp_path / "box", library, source, heldout_fraction=0.3)
    with pytest.raises(InputError, match=r"words\.txt"):
        build(tmp_path / "other", library, source)


def test_nothing_is_downloaded_for_a_finished_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    packages = documentation(tmp_path / "tsuzuri" / "debian-docs")
    source = {"kind": "debian-docs", "packages": packages}
    first = build(tmp_path / "box", tmp_path, source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    monkeypatch.setenv("PATH", "")  # no apt-get
    assert build(tmp_path / "box", tmp_path, source) == first


def test_a_source_may_be_only_for_training_or_only_for_evaluation(tmp_path: Path, library: Path) -> None:
    (tmp_path / "panel").mkdir()
    for number in range(3):
        (tmp_path / "panel" / f"{number}.txt").write_text(prose(f"評価用{number}"))
    source = [
        {"kind": "files", "path": "library", "heldout_fraction": 0},
        {"kind": "files", "path": "panel", "heldout_fraction": 1},
    ]
    counts = build(tmp_path / "box", tmp_path, source).counts
    assert counts["sources"]["library"]["heldout_documents"] == 0
    assert counts["sources"]["panel"]["heldout_documents"] == counts["sources"]["panel"]["documents"] == 3


def test_width_is_folded_and_quality_is_set_per_source(tmp_path: Path) -> None:
    for name in ("web", "book"):
        (tmp_path / name).mkdir()
        for number in range(4):
            (tmp_path / name / f"{number}.txt").write_text("ＡＢＣｶﾞ。" + prose(f"{name}{number}"))
    source = [
        {"kind": "files", "path": "web"},
        {"kind": "files", "path": "book", "fold_width": False, "quality": {"min_characters": 10}},
    ]
    build(tmp_path / "box", tmp_path, source)
    starts = {document.source: document.text[:5] for document in read_documents(tmp_path / "box", "train")}
    assert starts == {"web": "ABCガ。", "book": "ＡＢＣｶﾞ"}


def test_packages_of_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    packages = documentation(tmp_path / "tsuzuri" / "debian-docs")
    source = {"kind": "debian-docs", "packages": packages}
    counts = build(tmp_path / "box", tmp_path, source).counts
    assert counts["documents"] == 12
    assert counts["heldout_documents"] >= 1
    assert counts["sources"]["debian-docs"]["licenses"] == {
        "GFDL-1.3-or-later": 3,
        "GPL-2.0-or-later": 1,
        "LicenseRef-man-ja": 8,
    }


def test_sources_without_documents_say_what_was_found(tmp_path: Path, library: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="looked for text, HTML, JSON, tables"):
        build(tmp_path / "a", tmp_path, "empty")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.txt").write_bytes(bytes(range(256)))
    (tmp_path / "broken" / "b.txt").write_text("短い")
    with pytest.raises(InputError, match="gives no document: 1 undecodable, 1 min_characters") as caught:
        build(tmp_path / "b", tmp_path, ["broken", "library"])
    assert "encoding" in caught.value.hint
    assert not (tmp_path / "b" / MANIFEST).exists()
    build(tmp_path / "b", tmp_path, "library")  # the command put right finds nothing in its way


def test_an_empty_held_out_set_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "only.txt").write_text(prose("一つだけの作品"))
    with pytest.raises(InputError, match=r"no document is left for heldout.*one has 1") as caught:
        build(tmp_path / "box", tmp_path, "one")
    assert "raise corpus.heldout_fraction" in caught.value.hint
    source = {"kind": "files", "path": "one", "heldout_fraction": 1}
    with pytest.raises(InputError, match="no document is left for train") as caught:
        build(tmp_path / "box2", tmp_path, source)
    assert "lower" in caught.value.hint


def test_a_column_to_choose_by_that_is_not_there_is_said_at_once(tmp_path: Path, library: Path) -> None:
    with pytest.raises(RecipeError, match="no column 'stars' to be chosen by"):
        build(tmp_path / "box", tmp_path, "library", duplicates={"near": {"score_column": "stars"}})
    assert not (tmp_path / "box").exists()


def test_when_nothing_is_left_it_is_said_why(tmp_path: Path, library: Path) -> None:
    with pytest.raises(InputError, match=r"^no document is left; fallen out: 20\d license") as caught:
        build(tmp_path / "box", tmp_path, "library", licenses={"allowed": []})
    assert "heldout_fraction" not in caught.value.hint


def test_two_sources_of_one_name_are_refused(tmp_path: Path, library: Path) -> None:
    with pytest.raises(RecipeError, match="two sources or benchmarks are named 'library'"):
        build(tmp_path / "box", tmp_path, ["library", str(library)])


def test_a_path_that_is_named_like_the_total_needs_a_name_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "a.txt").write_text(prose("1"))
    with pytest.raises(RecipeError, match="all sources together"):
        build(tmp_path / "box", tmp_path, "all")


@pytest.mark.parametrize("parts_before_kill", [1, 15, 39])
def test_a_killed_build_goes_on_and_ends_with_the_same_bytes(
    undisturbed: Path, tmp_path: Path, parts_before_kill: int
) -> None:
    box = tmp_path / "killed"
    process = start(undisturbed, box)
    while process.poll() is None and len(list(box.glob("parts/[0-9]*.parquet"))) < parts_before_kill:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert not (box / MANIFEST).exists()
    kept = {path.name: path.stat().st_mtime_ns for path in box.glob("parts/[0-9]*.parquet")}
    assert len(kept) >= parts_before_kill
    again = start(undisturbed, box)
    assert again.wait(60) == 0
    assert files_of(box) == files_of(undisturbed / "whole")
    assert not (box / "parts").exists()


KILLED_BEFORE = """
import os, signal, sys
last = sys.argv.pop()
def kill(event, arguments):
    if event == "os.rename" and os.path.basename(arguments[1]) == last:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(kill)
"""


@pytest.mark.parametrize("file", ["train-00000.parquet", MANIFEST])
def test_a_build_that_is_killed_behind_its_reading_keeps_what_was_read(
    undisturbed: Path, tmp_path: Path, file: str
) -> None:
    """Right before a file appears: the documents, or the manifest, when all of them are hashed."""
    box = tmp_path / "killed"
    assert start(undisturbed, box, KILLED_BEFORE + BUILD, file).wait(60) == -signal.SIGKILL
    assert not (box / MANIFEST).exists()
    assert len(list(box.glob("parts/[0-9]*.parquet"))) == 40
    assert start(undisturbed, box).wait(60) == 0
    assert files_of(box) == files_of(undisturbed / "whole")
    assert not (box / "parts").exists()


def test_what_a_kill_left_of_the_work_goes_with_the_next_command(tmp_path: Path, library: Path) -> None:
    first = build(tmp_path / "box", library)
    (tmp_path / "box" / "parts").mkdir()
    assert build(tmp_path / "box", library) == first
    assert not (tmp_path / "box" / "parts").exists()


FULL_DISK = """
import subprocess
import sys
from pathlib import Path
from tsuzuri.core.errors import ResourceError
disk, program = sys.argv.pop(), sys.argv.pop()
try:
    exec(program)
except ResourceError as error:
    print(error)
assert list(Path(disk).rglob("*.parquet")), "parts that were whole are kept"
subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
exec(program)
"""


def test_a_full_disk_is_said_and_nothing_is_lost(undisturbed: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    private = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if not shutil.which("unshare") or subprocess.run([*private, *mount], capture_output=True).returncode:
        pytest.skip("this system does not let a test mount a small disk of its own")
    box, copy = disk / "box", tmp_path / "box"
    run = 'disk="$1"; shift; mount -t tmpfs -o size=100k tmpfs "$disk" && "$@" && cp -r "$disk"/* "$disk"/..'
    python = [sys.executable, "-c", FULL_DISK, str(undisturbed), str(box), BUILD, str(disk)]
    done = subprocess.run(
        [*private, "sh", "-c", run, "sh", str(disk), *python], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "the disk is full:" in done.stdout
    assert files_of(copy) == files_of(undisturbed / "whole")
