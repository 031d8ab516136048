"""Pushing to a stand-in of the hub, by the real client, through the real command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

import hub
import releases
from tsuzuri.core.errors import InputError, IntegrityError, RecipeError, ResourceError, TsuzuriError
from tsuzuri.core.manifest import read_manifest, rewrite_manifest
from tsuzuri.release.push import push
from tsuzuri.release.sums import write_sums

REPO = "owner/tsuzuri"

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own way


@pytest.fixture
def site() -> Iterator[hub.Hub]:
    with hub.running_hub() as running:
        yield running


@pytest.fixture(scope="module")
def release(build: Path) -> Path:
    """A release; tests only read it."""
    return releases.release(build, "pushed")


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The hub's token, in the environment; the client's store is its plain one."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "absent"))
    monkeypatch.setenv("HF_TOKEN", hub.TOKEN)
    return hub.TOKEN


def pushed(site: hub.Hub, *releases: Path, repo: str = REPO, **options: Any) -> str:
    """What a push says."""
    return "\n".join(push(releases, repo, endpoint=site.url, **options))


def contents(release: Path) -> dict[str, bytes]:
    """What a release gives away."""
    return {path.name: path.read_bytes() for path in release.iterdir() if path.name != ".lock"}


def test_a_release_is_pushed_by_the_command_line_and_fetched_again(
    site: hub.Hub, release: Path, tmp_path: Path
) -> None:
    own = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    own |= {"HF_HOME": str(tmp_path), "HF_TOKEN": hub.TOKEN}
    command = [sys.executable, "-m", "tsuzuri", "release", "push", release, "--repo", REPO]
    done = subprocess.run(
        [*map(str, command), "--endpoint", site.url], capture_output=True, text=True, check=False, env=own
    )
    assert done.returncode == 0, done.stderr
    assert f"{site.url}/{REPO}, revision main, commit " in done.stdout
    assert hub.TOKEN not in done.stdout + done.stderr
    found = site.repositories[REPO]
    assert found.private
    assert "model.safetensors" in found.large
    assert found.branches["main"] == {".gitattributes": b"* text\n", **contents(release)}
    assert [title for title, _ in found.commits.values()] == ["試作 30M 1.0.0"]
    fetched = Path(
        huggingface_hub.snapshot_download(
            REPO, endpoint=site.url, token=hub.TOKEN, cache_dir=tmp_path / "cache"
        )
    )
    assert {path.name: path.read_bytes() for path in fetched.iterdir()} == found.branches["main"]


def test_a_push_that_was_cut_short_is_taken_up(site: hub.Hub, release: Path, token: str) -> None:
    site.refuse = "/commit/"
    with pytest.raises(ResourceError, match="answered 403") as caught:
        pushed(site, release)
    assert token not in str(caught.value)
    assert "a token that may write there" in caught.value.hint
    assert list(site.repositories[REPO].branches["main"]) == [".gitattributes"]
    site.refuse = ""
    sent = [asked for asked in site.asked if "/store/" in asked]
    assert len(sent) > 1
    pushed(site, release)
    assert [asked for asked in site.asked if "/store/" in asked] == sent  # nothing large went twice
    assert site.repositories[REPO].branches["main"].keys() >= contents(release).keys()


def test_milestones_go_to_revisions_of_their_own(
    site: hub.Hub, release: Path, tmp_path: Path, token: str
) -> None:
    milestone = tmp_path / "milestone"
    shutil.copytree(release, milestone)
    rewrite_manifest(milestone, {**read_manifest(milestone).counts, "milestone": 400})
    (milestone / "README.md").write_text("---\nlicense: mit\n---\n# 途中の版", encoding="utf-8")
    write_sums(milestone)
    said = pushed(site, release, milestone, public=True)
    assert f"{milestone} → {site.url}/{REPO}, revision step-00000400, commit " in said
    branches = site.repositories[REPO].branches
    assert set(branches) == {"main", "step-00000400"}
    assert branches["step-00000400"]["README.md"] != branches["main"]["README.md"]
    assert not site.repositories[REPO].private
    with pytest.raises(RecipeError, match="two releases would go to the revision v1"):
        pushed(site, release, milestone, revision="v1")


def test_what_a_revision_held_before_is_gone(site: hub.Hub, release: Path, token: str) -> None:
    site.repositories[REPO] = hub.Repository(private=True)
    site.repositories[REPO].branches["main"]["model-00001-of-00002.safetensors"] = b"old"
    pushed(site, release)
    assert set(site.repositories[REPO].branches["main"]) == {".gitattributes", *contents(release)}


def test_bytes_that_changed_on_their_way_are_noticed(site: hub.Hub, release: Path, token: str) -> None:
    site.spoil = True
    with pytest.raises(IntegrityError, match="the hub holds another"):
        pushed(site, release)


def test_a_damaged_or_unfinished_release_never_leaves(
    site: hub.Hub, release: Path, tmp_path: Path, token: str
) -> None:
    copy = tmp_path / "release"
    shutil.copytree(release, copy)
    (copy / "config.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"config\.json is damaged"):
        pushed(site, copy)
    shutil.copy(release / "config.json", copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(InputError, match="is not a folder of release"):
        pushed(site, copy)
    with pytest.raises(InputError, match="is no release"):
        pushed(site, tmp_path)
    assert site.asked == []


@pytest.mark.parametrize(
    ("repo", "given", "endpoint", "message"),
    [
        (REPO, "", None, "there is no token for the hub"),
        (REPO, "hf_wrong", None, "answered 401"),
        ("no/such/name", hub.TOKEN, None, "no name of a repository"),
        (REPO, hub.TOKEN, "http://127.0.0.1:9", "no push to http://127.0.0.1:9"),
    ],
)
def test_a_mistake_is_one_clear_error(
    site: hub.Hub,
    release: Path,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
    repo: str,
    given: str,
    endpoint: str | None,
    message: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", given)
    site.url = endpoint or site.url
    with pytest.raises(TsuzuriError, match=message) as caught:
        pushed(site, release, repo=repo)
    assert not given or given not in str(caught.value)
