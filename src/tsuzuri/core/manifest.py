"""Boxes on disk: a folder of plain files with a `manifest.json` that says what it was made from.

The manifest is written last, so a folder with one is complete. It holds no clock reading and no absolute
path: the same inputs and configuration give the same bytes, and its SHA-256 stands for the whole box.
Before the work starts, the same facts stand in `pending.json`, so that a rerun with another recipe is noticed
on an unfinished box too. Clock readings go to `timings.jsonl`, outside every hash.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tsuzuri.core.config import differences
from tsuzuri.core.errors import InputError, IntegrityError, ResumeError
from tsuzuri.core.files import append_json_line, locked, sha256_file, sweep_temporary, write_json

MANIFEST = "manifest.json"
PENDING = "pending.json"
TIMINGS = "timings.jsonl"
FORMAT_VERSION = 1
UNHASHED = frozenset(
    (
        *(MANIFEST, PENDING, TIMINGS, ".lock", "tensorboard", "profile", "checkpoints", "report.html"),
        *("parts", "README.md", "special_thanks.txt", "SHA256SUMS"),
    )
)
"""Not in a manifest: itself, what is there only during the work, clock readings and what shows them (a
report, a release's card), names that come and go, what has its own sums or is sums."""
SECTIONS = {
    "documents": "corpus.",
    "tokenizer": "tokenizer.",
    "tokens": "pack.",
    "evaluation": "evaluate.",
    "release": "release.",
}
"""kind → the section of the recipe that its `config` is; that of a run has sections of its own."""


@dataclass(frozen=True)
class Manifest:
    """What a box was made from and what is in it."""

    kind: str
    """documents, tokenizer, tokens, run, evaluation or release."""
    config: dict[str, Any]
    """The resolved configuration of the stage that made the box."""
    inputs: dict[str, dict[str, str]]
    """name → {path: relative to the box, sha256: of that box's manifest or of the file}."""
    counts: dict[str, Any] = field(default_factory=dict)
    """What the stage counted: documents, characters, tokens, rejects by reason."""
    files: dict[str, str] = field(default_factory=dict)
    """relative path → SHA-256 of every file in the box."""
    code_version: str = ""
    format_version: int = FORMAT_VERSION


def code_version() -> str:
    """The version of the installed package; of a tree that is not installed, `0+unknown`."""
    try:
        return version("tsuzuri")
    except PackageNotFoundError:
        return "0+unknown"


def box_sha256(path: Path) -> str:
    """The hash that stands for a box (its manifest's) or a single file (its own)."""
    path = Path(path)
    if path.is_dir():
        if not (path / MANIFEST).exists():
            hint = "run the command that makes it again"
            raise InputError(f"{path} has no {MANIFEST}: it is not complete", hint=hint)
        return sha256_file(path / MANIFEST)
    if not path.exists():
        raise InputError(f"{path} does not exist", hint="give the path of what the stage before made")
    return sha256_file(path)


def read_manifest(box: Path, kind: str | None = None) -> Manifest:
    """The manifest of a complete box; InputError when there is none or it is of another kind."""
    path = Path(box) / MANIFEST
    if not path.exists():
        wanted = f"a folder of {kind}" if kind else "a finished folder"
        hint = "run the command that makes it (again)"
        raise InputError(f"{box} is not {wanted}: it has no {MANIFEST}", hint=hint)
    try:
        manifest = Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise IntegrityError(f"{path} is damaged", hint=f"remove {box} and run its command again") from error
    if kind and manifest.kind != kind:
        raise InputError(
            f"{box} holds {manifest.kind}, where {kind} was wanted", hint=f"give a folder of {kind}"
        )
    return manifest


def verify_files(box: Path, names: Iterable[str] | None = None) -> None:
    """Compare a box's files (all, or those named) with its manifest; IntegrityError names the first."""
    manifest = read_manifest(box)
    names = list(manifest.files if names is None else names)
    _require_files(box, names)
    for name in names:
        path = Path(box) / name
        if sha256_file(path) != manifest.files[name]:
            raise IntegrityError(
                f"{path} is not what {MANIFEST} says: its SHA-256 differs, so its bytes have changed",
                hint=f"restore it from a copy, or remove {box} and run its command again",
            )


def make_box(
    box: Path,
    *,
    kind: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, Path],
    work: Callable[[], Mapping[str, Any]],
) -> Manifest:
    """Make a box, or take up where a killed run left it, or find it complete and do nothing.

    `work` writes the files into `box` (atomically, see `core.files`) and returns the counts. It is called
    only when the box is not complete; what it finds in the folder is its own unfinished work on the same
    configuration and inputs; when it raises before it has written anything, the box is as if never begun.
    Raises ResumeError when the box was begun with others, IntegrityError when it is complete but for a file
    that has gone.
    """
    box = Path(box)
    with locked(box):
        facts: dict[str, Any] = {
            "kind": kind,
            "config": dict(config),
            "inputs": {name: _input(box, path) for name, path in sorted(inputs.items())},
        }
        found = facts_of(box)
        if found is not None:
            _compare(box, found, facts)
        if (box / MANIFEST).exists():
            (box / PENDING).unlink(missing_ok=True)  # there if a run was killed right after its last file
            manifest = read_manifest(box, kind)
            _require_files(box, manifest.files)
            return manifest
        sweep_temporary(box)
        write_json(box / PENDING, facts)
        started = time.perf_counter()
        try:
            counts = work()
        except BaseException:
            if not any(path.is_file() and path.name not in (PENDING, ".lock") for path in box.rglob("*")):
                (box / PENDING).unlink()  # nothing is there that another recipe could not begin with
            raise
        record_timing(box, kind, elapsed_s=time.perf_counter() - started)
        return _finish(box, Manifest(code_version=code_version(), counts=dict(counts), **facts))


def reopen(box: Path) -> None:
    """Let a finished box be taken up again: the next `make_box` calls its work once more."""
    manifest = read_manifest(box)
    write_json(box / PENDING, {name: getattr(manifest, name) for name in ("kind", "config", "inputs")})
    (box / MANIFEST).unlink()


def rewrite_manifest(box: Path, counts: Mapping[str, Any]) -> Manifest:
    """Say anew what a finished box holds, whose files were changed on purpose by who has locked it."""
    manifest = read_manifest(box)
    return _finish(Path(box), replace(manifest, counts=dict(counts), files={}))


def record_timing(box: Path, stage: str, **readings: float | str) -> None:
    """Append clock readings (seconds, speeds) of a stage to the box's `timings.jsonl`."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    append_json_line(Path(box) / TIMINGS, {"stage": stage, "at": stamp, **readings})


def _require_files(box: Path, names: Iterable[str]) -> None:
    for name in names:
        path = Path(box) / name
        if not path.exists():
            raise IntegrityError(f"{path} is missing", hint=f"remove {box} and run its command again")


def _finish(box: Path, manifest: Manifest) -> Manifest:
    for path in sorted(box.rglob("*")):
        name = path.relative_to(box)
        if path.is_file() and name.parts[0] not in UNHASHED:
            manifest.files[name.as_posix()] = sha256_file(path)
    write_json(box / MANIFEST, manifest.__dict__)
    (box / PENDING).unlink(missing_ok=True)
    return manifest


def _input(box: Path, path: Path) -> dict[str, str]:
    relative = os.path.relpath(Path(path).absolute(), box.absolute())
    return {"path": Path(relative).as_posix(), "sha256": box_sha256(Path(path))}


def facts_of(box: Path) -> dict[str, Any] | None:
    """kind, config and inputs of a box, finished or begun; None where there is none."""
    for name in (MANIFEST, PENDING):
        path = box / name
        if path.exists():
            try:
                values = json.loads(path.read_text(encoding="utf-8"))
                return {name: values[name] for name in ("kind", "config", "inputs")}
            except (ValueError, KeyError, TypeError) as error:
                hint = f"remove {box} and run its command again"
                raise IntegrityError(f"{path} is damaged", hint=hint) from error
    return None


def _compare(box: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if found["kind"] != wanted["kind"]:
        message = f"{box} holds {found['kind']}, where {wanted['kind']} is to be written"
        raise ResumeError(message, hint="give another --out")
    section = SECTIONS.get(wanted["kind"], "")
    changed = differences(found["config"], json.loads(json.dumps(wanted["config"])), section)
    old = {name: item["sha256"] for name, item in found["inputs"].items()}
    new = {name: item["sha256"] for name, item in wanted["inputs"].items()}
    changed += [f"input {line.split(':')[0]} has changed" for line in differences(old, new)]
    if changed:
        raise ResumeError(
            f"{box} was begun with another recipe: {'; '.join(changed)}",
            hint=f"give another --out, or remove {box} to make it anew",
        )
