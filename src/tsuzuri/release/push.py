"""`tsuzuri release push`: a release → a repository on a Hugging Face hub, through the hub's own client.

What is damaged never leaves the machine: the checksums are compared first, and what the hub then says that it
holds is compared with them. A push that was cut short is taken up by running it again: the hub keeps the
large files that it has, and nothing of a revision is seen before its one commit. A new repository is private
until its owner says otherwise. The token is that of HF_TOKEN or of `hf auth login`; it is never printed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tsuzuri.core.errors import InputError, IntegrityError, MissingExtraError, RecipeError, ResourceError
from tsuzuri.core.files import sha256_file
from tsuzuri.core.manifest import MANIFEST, TIMINGS, Manifest, code_version, read_manifest, verify_files
from tsuzuri.release.sums import SUMS, check_sums, summed

MAIN = "main"
PUBLIC_HUB = "https://huggingface.co"
WAYS = ("httpx", "httpx2", "httpcore", "httpcore2")
"""Whose errors are of the way to the hub: the client's, of its older and newer versions."""
KEPT = frozenset({".gitattributes"})
"""What the hub itself puts into a repository."""


def push(
    releases: Sequence[Path],
    repo: str,
    revision: str | None = None,
    endpoint: str | None = None,
    public: bool = False,
) -> Iterator[str]:
    """Upload each release to its revision of the repository `repo`; says where each one is.

    The revision is `main`, or `step-…` of a milestone. Raises IntegrityError where a release is damaged or
    the hub holds other bytes, RecipeError for a name that is none, InputError without a token, ResourceError
    where the hub refuses or does not answer.
    """
    found = {Path(release): _checked(Path(release)) for release in releases}
    revisions = [revision or _revision(manifest) for manifest in found.values()]
    if len(set(revisions)) < len(revisions):
        raise RecipeError(
            f"two releases would go to the revision {max(revisions, key=revisions.count)}",
            hint="push them one by one, each with a --revision of its own",
        )
    hub = _client(endpoint)
    token = hub.get_token()
    if not token:
        raise InputError(
            "there is no token for the hub", hint="set HF_TOKEN, or run `hf auth login`, and run it again"
        )
    api = hub.HfApi(endpoint=endpoint, token=token, library_name="tsuzuri", library_version=code_version())
    with _hub_errors(hub, api.endpoint, token):
        url = api.create_repo(repo, private=not public, exist_ok=True)
        for (release, manifest), name in zip(found.items(), revisions, strict=True):
            commit = _push_one(hub, api, url.repo_id, name, release, manifest)
            yield f"{release} → {api.endpoint}/{url.repo_id}, revision {name}, commit {commit}"


def _checked(release: Path) -> Manifest:
    """The manifest of a whole release."""
    check_sums(release)
    manifest = read_manifest(release, "release")
    verify_files(release)
    return manifest


def _revision(manifest: Manifest) -> str:
    milestone = manifest.counts.get("milestone")
    return f"step-{milestone:08d}" if milestone else MAIN


def _client(endpoint: str | None) -> Any:
    if endpoint and endpoint.rstrip("/") != PUBLIC_HUB:
        os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # a store of the public hub's own; read at import
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("huggingface-hub", "train") from error
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    disable_progress_bars()
    return huggingface_hub


def _push_one(hub: Any, api: Any, repo: str, revision: str, release: Path, manifest: Manifest) -> str:
    """The commit that holds the release, its files compared."""
    if revision != MAIN:
        api.create_branch(repo, branch=revision, exist_ok=True)
    files = [*summed(release), SUMS, MANIFEST]
    files += [TIMINGS] if (release / TIMINGS).exists() else []
    there = {item.path for item in _tree(hub, api, repo, revision)}
    operations = [hub.CommitOperationAdd(name, str(release / name)) for name in files]
    operations += [hub.CommitOperationDelete(name) for name in sorted(there - {*files} - KEPT)]
    title = f"{manifest.config['name']} {manifest.config['version']}"
    commit = api.create_commit(repo, operations, commit_message=title, revision=revision)
    _compare(release, files, _tree(hub, api, repo, commit.oid))
    return str(commit.oid)


def _tree(hub: Any, api: Any, repo: str, revision: str) -> list[Any]:
    """The files of a revision, as the hub lists them."""
    items = api.list_repo_tree(repo, recursive=True, revision=revision)
    return [item for item in items if isinstance(item, hub.RepoFile)]


def _compare(release: Path, files: Sequence[str], tree: Sequence[Any]) -> None:
    """IntegrityError where what the hub holds is not what lies here."""
    there = {item.path: item for item in tree}
    for name in files:
        item = there.get(name)
        if item is None:
            raise IntegrityError(f"the hub does not hold {name}, though it took it", hint="push it again")
        same = (
            item.lfs.sha256 == sha256_file(release / name)
            if item.lfs
            else item.blob_id == _blob(release / name)
        )
        if not same:
            raise IntegrityError(f"the hub holds another {name} than {release}", hint="push it again")


def _blob(path: Path) -> str:
    """git's name of a file's bytes."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@contextmanager
def _hub_errors(hub: Any, endpoint: str, token: str) -> Iterator[None]:
    """Within it, what the hub or the way to it answers is one of our errors, without the token."""
    try:
        yield
    except hub.errors.HFValidationError as error:
        raise RecipeError(f"--repo is no name of a repository: {error}", hint="--repo owner/name") from error
    except (FileNotFoundError, PermissionError):
        raise  # of this machine
    except Exception as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        status = getattr(getattr(cause, "response", None), "status_code", None)
        of_the_way = type(cause).__module__.split(".")[0] in WAYS or isinstance(cause, OSError)
        if not (status or of_the_way or isinstance(error, ValueError | RuntimeError)):
            raise
        said = " ".join(str(cause).replace(token, "…").split())[:400] or type(cause).__name__
        what = f"the hub at {endpoint} answered {status}" if status else f"no push to {endpoint}"
        raise ResourceError(f"{what}: {said}", hint=_way_out(status)) from None


def _way_out(status: int | None) -> str:
    if status in (401, 403):
        return "give a token that may write there: HF_TOKEN, or `hf auth login`"
    return "run the same command again: what the hub has is not sent twice"
