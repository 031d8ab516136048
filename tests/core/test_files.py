from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.core.errors import IntegrityError, ResourceError, ResumeError
from tsuzuri.core.files import (
    append_json_line,
    atomic_file,
    atomic_folder,
    disk_errors,
    locked,
    read_json_lines,
    sha256_bytes,
    sha256_file,
    sweep_temporary,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def python(program: str, *arguments: object) -> list[str]:
    """The command that runs a program with this interpreter."""
    return [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    with atomic_file(path, "w") as file:
        file.write("綴り\r\n")
        assert not path.exists()
    assert path.read_bytes() == "綴り\r\n".encode()
    assert names(path.parent) == ["file.txt"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def fail() -> None:
        with atomic_file(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with atomic_folder(path) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text("x")
        assert not path.exists()
    assert (path / "inner" / "file").read_text() == "x"
    assert names(tmp_path) == ["folder"]


def test_an_error_leaves_no_folder(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "folder") as folder:
            (folder / "file").write_text("x")
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_process_killed_while_writing_leaves_only_what_the_next_sweeps(tmp_path: Path, kind: str) -> None:
    program = """
        import sys, time
        from pathlib import Path
        from tsuzuri.core.files import atomic_file, atomic_folder
        path = Path(sys.argv[1])
        with atomic_folder(path) if path.name == "folder" else atomic_file(path) as made:
            if path.name == "folder":
                (made / "half").write_bytes(b"x" * 100_000)
            else:
                made.write(b"x" * 100_000)
            print("writing", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen(python(program, tmp_path / kind), stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    left = names(tmp_path)
    assert len(left) == 1
    assert left[0].startswith(".tmp-")
    sweep_temporary(tmp_path)
    assert names(tmp_path) == []


def test_a_file_replaced_under_kills_is_always_one_of_its_whole_states(tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from tsuzuri.core.files import write_text
        for number in range(1_000_000):
            write_text(Path(sys.argv[1]), str(number % 10) * 300_000)
    """
    path = tmp_path / "file"
    for pause_s in (0.0, 0.013, 0.031, 0.057):
        path.unlink(missing_ok=True)
        process = subprocess.Popen(python(program, path))
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(pause_s)
        process.kill()
        process.wait()
        text = path.read_text()
        assert len(text) == 300_000
        assert text == text[0] * 300_000


def test_json_is_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"名": ["綴り", 1]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "綴り" in text
    assert text.endswith("}\n")
    assert json.loads(text) == {"名": ["綴り", 1]}


LINES = st.lists(
    st.dictionaries(st.text(max_size=3), st.one_of(st.integers(), st.text(max_size=5)), max_size=3),
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(values=LINES, torn=st.text(min_size=1, max_size=6), cut=st.integers(1, 30))
def test_a_log_torn_anywhere_in_its_last_line_goes_on(
    tmp_path_factory: pytest.TempPathFactory, values: list[object], torn: str, cut: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    for value in values:
        append_json_line(path, value)
    line = json.dumps({"text": "綴り" + torn}, ensure_ascii=False).encode()
    with open(path, "ab") as file:
        file.write(line[: min(cut, len(line) - 1)])
    assert read_json_lines(path) == values
    append_json_line(path, {"next": "行"})
    assert read_json_lines(path) == [*values, {"next": "行"}]


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_json_lines(tmp_path / "log.jsonl") == []


def test_a_log_damaged_before_its_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(IntegrityError, match=r"log\.jsonl is damaged: its line 2"):
        read_json_lines(path)


def test_sums_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "a") == sha256_bytes(b"abc") == expected


def test_sweeping_leaves_other_files(tmp_path: Path) -> None:
    for name in (".tmp-1-a", "b", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / ".tmp-2-c").mkdir()
    (tmp_path / ".tmp-2-c" / "d").touch()
    (tmp_path / ".tmp-2-c" / ".tmp-2-e").touch()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / ".tmp-3-f").touch()
    sweep_temporary(tmp_path)
    assert names(tmp_path) == [".hidden", "b", "model"]
    assert names(tmp_path / "model") == []


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "disk is full"),
        (errno.EROFS, "cannot be written"),
        (errno.EACCES, "cannot be written"),
    ],
)
def test_the_disks_answers_become_errors(tmp_path: Path, number: int, message: str) -> None:
    with pytest.raises(ResourceError, match=message), disk_errors(tmp_path / "not" / "there"):
        raise OSError(number, os.strerror(number))


def test_other_answers_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "gone")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_log_on_a_full_disk_says_so() -> None:
    with pytest.raises(ResourceError, match="disk is full"):
        append_json_line(Path("/dev/full"), {"a": 1})


def test_a_full_disk_keeps_the_old_file_and_says_so(tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from tsuzuri.core.errors import ResourceError
        from tsuzuri.core.files import write_text
        path = Path(sys.argv[1]) / "file"
        write_text(path, "old" * 10_000)
        try:
            write_text(path, "new" * 100_000)
        except ResourceError as error:
            print(str(error))
        assert path.read_text() == "old" * 10_000
        assert [item.name for item in path.parent.iterdir()] == ["file"]
        write_text(path, "new")
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    private = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if not shutil.which("unshare") or subprocess.run([*private, *mount], capture_output=True).returncode:
        pytest.skip("this system does not let a test mount a small disk of its own")
    run = 'disk="$1"; shift; mount -t tmpfs -o size=100k tmpfs "$disk" && exec "$@"'
    command = [*private, "sh", "-c", run, "sh", str(disk), *python(program, disk)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "the disk is full:" in done.stdout
    assert "it resumes" in done.stdout


def test_one_process_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    program = """
        import sys, time
        from pathlib import Path
        from tsuzuri.core.files import locked
        with locked(Path(sys.argv[1])):
            print("held", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen(python(program, tmp_path / "box"), stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(ResumeError, match="another tsuzuri process"), locked(tmp_path / "box"):
            pass
        process.kill()
        process.wait()
    with locked(tmp_path / "box"):
        pass
    with locked(tmp_path / "box"):
        pass
