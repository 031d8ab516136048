from __future__ import annotations

from pathlib import Path

import pytest

from tsuzuri.core.errors import InputError
from tsuzuri.core.files import write_text
from tsuzuri.core.lineage import describe, walk
from tsuzuri.core.manifest import make_box


def make(
    box: Path,
    kind: str,
    inputs: dict[str, Path],
    counts: dict[str, object],
    config: dict[str, object] | None = None,
) -> None:
    def work() -> dict[str, object]:
        write_text(box / "data.txt", kind)
        return counts

    make_box(box, kind=kind, config=config or {}, inputs=inputs, work=work)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A tokenizer and tokens made from one documents box, which was made from one file."""
    folder = tmp_path / "out"
    (tmp_path / "novel.txt").write_text("いろは")
    sources = {"aozora": {"documents": 5_000, "licenses": {"LicenseRef-PD-JP": 4_990, "CC-BY-4.0": 10}}}
    config = {
        "source": [{"name": "aozora", "kind": "aozora", "path": "cards", "index": "index.csv"}],
        "fingerprints": {"aozora": "0123456789abcdef"},
    }
    make(
        folder / "documents",
        "documents",
        {"file": tmp_path / "novel.txt"},
        {"characters": 12_345, "sources": sources},
        config,
    )
    make(folder / "tokenizer", "tokenizer", {"documents": folder / "documents"}, {"vocab_size": 8_192})
    inputs = {"documents": folder / "documents", "tokenizer": folder / "tokenizer"}
    make(folder / "tokens", "tokens", inputs, {})
    return folder


def states(box: Path) -> list[tuple[int, str, str]]:
    return [(ancestor.depth, ancestor.name, ancestor.state) for ancestor in walk(box)]


def test_a_box_is_followed_to_its_sources(out: Path) -> None:
    assert states(out / "tokens") == [
        (0, "tokens", "ok"),
        (1, "documents", "ok"),
        (2, "file", "ok"),
        (1, "tokenizer", "ok"),
        (2, "documents", "ok"),
        (3, "file", "ok"),
    ]
    text = describe(out / "tokens")
    assert "characters 12,345" in text
    line = (
        "    source aozora  aozora cards index.csv  0123456789ab"
        "  5,000 documents: 4,990 LicenseRef-PD-JP, 10 CC-BY-4.0"
    )
    assert line in text.split("\n")
    assert "**" not in text


def test_what_two_boxes_were_made_from_is_described_once(out: Path) -> None:
    lines = describe(out / "tokens").split("\n")
    assert sum("characters 12,345" in line for line in lines) == 1
    assert sum("novel.txt" in line for line in lines) == 1
    assert [line.endswith("(as above)") for line in lines if line.strip().startswith("documents")] == [
        False,
        True,
    ]


def test_what_changed_or_went_is_marked(out: Path) -> None:
    (out.parent / "novel.txt").write_text("ほへと")
    (out / "tokenizer" / "manifest.json").write_bytes(
        (out / "tokenizer" / "manifest.json").read_bytes().replace(b"8192", b"8193")
    )
    assert (2, "file", "changed") in states(out / "tokens")
    assert (1, "tokenizer", "changed") in states(out / "tokens")
    (out.parent / "novel.txt").unlink()
    assert (2, "file", "missing") in states(out / "tokens")
    assert "** missing **" in describe(out / "tokens")


def test_boxes_may_move_together(out: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    out.rename(tmp_path / "elsewhere" / "out")
    (tmp_path / "novel.txt").rename(tmp_path / "elsewhere" / "novel.txt")
    assert {state for _, _, state in states(tmp_path / "elsewhere" / "out" / "tokens")} == {"ok"}


def test_a_box_on_another_disk_through_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk" / "large").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tokens").symlink_to(tmp_path / "disk" / "large")
    make(tmp_path / "out" / "documents", "documents", {}, {})
    make(tmp_path / "out" / "tokens", "tokens", {"documents": tmp_path / "out" / "documents"}, {})
    assert states(tmp_path / "out" / "tokens") == [(0, "tokens", "ok"), (1, "documents", "ok")]


def test_of_a_build_the_last_box_is_followed(out: Path) -> None:
    assert describe(out) == describe(out / "tokens")


def test_a_folder_that_is_no_box_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.json"):
        list(walk(tmp_path))
    with pytest.raises(InputError, match="nothing does not exist"):
        describe(tmp_path / "nothing")
