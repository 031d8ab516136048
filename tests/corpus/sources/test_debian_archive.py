"""Packages are read without root and without dpkg; what apt cannot give is an error with a way out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.corpus.packages import write_package

from tsuzuri.core.errors import InputError
from tsuzuri.corpus.sources import debian_archive


@pytest.mark.parametrize("compression", ["gz", "xz", "zst"])
def test_the_files_of_a_package(tmp_path: Path, compression: str) -> None:
    path = write_package(
        tmp_path, "a-ja", {"usr/share/a.html": b"one", "usr/share/b.gz": b"two"}, compression
    )
    assert list(debian_archive.members(path)) == [("usr/share/a.html", b"one"), ("usr/share/b.gz", b"two")]
    assert debian_archive.version_of(path) == "1.0-1"


def test_a_damaged_package_names_its_file(tmp_path: Path) -> None:
    path = write_package(tmp_path, "a-ja", {"usr/share/a.html": bytes(100_000)})
    path.write_bytes(path.read_bytes()[:-80])
    with pytest.raises(InputError, match=r"a-ja_1\.0-1_all\.deb is damaged") as caught:
        list(debian_archive.members(path))
    assert str(path) in caught.value.hint
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(InputError, match="is no Debian package"):
        list(debian_archive.members(path))


def test_what_is_cached_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    ours = write_package(tmp_path, "a-ja", {"x": b""})
    write_package(tmp_path, "a-ja-dev", {"x": b""})
    assert debian_archive.fetch(["a-ja"], tmp_path) == [ours]


def test_the_newest_of_two_versions_is_read(tmp_path: Path) -> None:
    old = write_package(tmp_path, "a-ja", {"x": b""})
    new = old.rename(tmp_path / "a-ja_2.0_all.deb")
    old = write_package(tmp_path, "a-ja", {"x": b""})
    os.utime(old, (1, 1))
    assert debian_archive.cached("a-ja", tmp_path) == new


def test_without_apt_the_user_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="needs apt-get") as caught:
        debian_archive.fetch(["a-ja"], tmp_path / "cache")
    assert caught.value.hint == "use your own text instead: --set corpus.source=FOLDER"


APT = """#!/bin/sh
echo "$@" >> "{log}"
case "$*" in *" update"*) test -n "{update}" && echo "W: Failed to fetch: no network" >&2; exit 0;; esac
for name in $({unknown}); do
  case "$*" in *"$name"*) echo "E: Unable to locate package $name" >&2; exit 100;; esac
done
case "$*" in *Dir::State::Lists=*) ;; *) {first};; esac
for name in "$@"; do case "$name" in *-ja) cp "{package}" "./${{name}}_1.0_all.deb";; esac; done
"""


def apt(folder: Path, *, unknown: str = "true", first: str = "true", update: str = "") -> Path:
    """A stand-in for apt-get with the behaviour of a machine; the log of how it was called."""
    log = folder / "log"
    package = write_package(folder / "archive", "any", {"x": b""})
    script = folder / "bin" / "apt-get"
    script.parent.mkdir()
    script.write_text(APT.format(log=log, unknown=unknown, first=first, update=update, package=package))
    script.chmod(0o755)
    return log


@pytest.fixture
def path_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


@pytest.mark.usefixtures("path_first")
def test_packages_come_into_the_cache_whole(tmp_path: Path) -> None:
    apt(tmp_path)
    found = debian_archive.fetch(["a-ja", "b-ja"], tmp_path / "cache")
    assert [path.name for path in found] == ["a-ja_1.0_all.deb", "b-ja_1.0_all.deb"]
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [path.name for path in found]


@pytest.mark.usefixtures("path_first")
def test_missing_lists_are_fetched_into_private_folders(tmp_path: Path) -> None:
    log = apt(tmp_path, first='echo "E: no lists" >&2; exit 100')
    assert len(debian_archive.fetch(["a-ja"], tmp_path / "cache")) == 1
    calls = log.read_text().splitlines()
    assert [call.split()[-1] for call in calls] == ["a-ja", "update", "a-ja"]
    assert f"Dir::State::Lists={tmp_path}/cache/" in calls[1]


@pytest.mark.usefixtures("path_first")
def test_a_package_that_the_archive_lacks_is_left_out_aloud(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apt(tmp_path, unknown="echo b-ja")
    found = debian_archive.fetch(["a-ja", "b-ja"], tmp_path / "cache")
    assert [path.name for path in found] == ["a-ja_1.0_all.deb"]
    assert "left out" in capsys.readouterr().err


@pytest.mark.usefixtures("path_first")
def test_no_network_is_said_with_apts_own_words(tmp_path: Path) -> None:
    apt(tmp_path, unknown="echo a-ja", update="fails")
    with pytest.raises(
        InputError, match="Unable to locate package a-ja W: Failed to fetch: no network"
    ) as caught:
        debian_archive.fetch(["a-ja"], tmp_path / "cache")
    assert "--set corpus.source=FOLDER" in caught.value.hint
