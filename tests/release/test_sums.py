from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.release.sums import check_sums, write_sums


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "深い").mkdir()
    (tmp_path / "深い" / "名前 と空白.txt").write_text("本文")
    (tmp_path / "timings.jsonl").write_text("")
    write_sums(tmp_path)
    return tmp_path


def test_whole_files_pass(folder: Path) -> None:
    assert check_sums(folder) == 2
    (folder / "timings.jsonl").write_text("a clock reading")
    assert check_sums(folder) == 2


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="this machine has no sha256sum")
def test_sha256sum_reads_them(folder: Path) -> None:
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)


def test_a_flipped_byte_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("{]")
    with pytest.raises(IntegrityError, match=r"config\.json is damaged"):
        check_sums(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "深い" / "名前 と空白.txt").unlink()
    with pytest.raises(IntegrityError, match=r"名前 と空白\.txt is missing"):
        check_sums(folder)


def test_a_stranger_is_named(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_text("")
    with pytest.raises(IntegrityError, match=r"pytorch_model\.bin is not part of the release"):
        check_sums(folder)


def test_damaged_sums_are_an_error(folder: Path) -> None:
    (folder / "SHA256SUMS").write_bytes(b"\xff" + (folder / "SHA256SUMS").read_bytes())
    with pytest.raises(IntegrityError, match="SHA256SUMS is damaged"):
        check_sums(folder)


def test_a_folder_without_sums_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no release"):
        check_sums(tmp_path)
