"""special_thanks.txt: the people who made a model possible, in the repository and inside every release.

It stands outside a release's manifest, because it changes while the model does not; SHA256SUMS names it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from tsuzuri.core.errors import InputError, RecipeError
from tsuzuri.core.files import locked, write_text
from tsuzuri.core.manifest import read_manifest, rewrite_manifest
from tsuzuri.release.sums import check_sums, write_sums
from tsuzuri.release.supporters import one_line, read_supporters

THANKS = "special_thanks.txt"
HEAD = "Special Thanks\n\nこのモデルは、次の方々のご支援で作られました。\nThis model was made possible by:\n"
NOBODY = "Special Thanks\n\nこのモデルには、まだ支援者がいません。\nThis model has no supporters yet.\n"

Groups: TypeAlias = Sequence[tuple[str, Sequence[str]]]
"""(heading, names)"""


def thanks(
    supporters: Path, on: str | None = None, repository: Path | None = None, releases: Sequence[Path] = ()
) -> Iterator[str]:
    """Write special_thanks.txt into a repository and releases; says where, and how many are named.

    `on` is the day that counts (YYYY-MM-DD; today, in UTC). Nothing is written before all that is given was
    found to be right.
    """
    day = _day(on)
    groups = read_supporters(supporters).thanked(day)
    if repository is None and not releases:
        raise RecipeError("nowhere to write to", hint="give --repository DIR, --release DIR, or both")
    if repository is not None and not repository.is_dir():
        raise InputError(f"{repository} is no folder", hint="give the folder of the repository")
    for release in releases:
        check_sums(release)
        read_manifest(release, "release")
    text = special_thanks(groups)
    named = f"{sum(len(names) for _, names in groups):,} named on {day}"
    if repository is not None:
        write_text(repository / THANKS, text)
        yield f"{repository / THANKS}: {named}"
    for release in releases:
        write_thanks(release, text)
        yield f"{release / THANKS}: {named}"


def write_thanks(release: Path, text: str) -> None:
    """Put another text into a finished release, whose checksums stay right."""
    with locked(release):
        manifest = read_manifest(release, "release")
        if (release / THANKS).read_text(encoding="utf-8") == text:
            return
        check_sums(release)
        write_text(release / THANKS, text)
        write_sums(release)
        if THANKS in manifest.files:  # a release of an older version
            rewrite_manifest(release, manifest.counts)


def thanked(supporters: Sequence[str] | Path) -> Groups:
    """Who is thanked: names, a file with one on a line, or a supporters.yaml as of today.

    InputError for an unreadable file or a name that is not one line.
    """
    if isinstance(supporters, Path) and supporters.suffix in (".yaml", ".yml"):
        return read_supporters(supporters).thanked(_day(None))
    names = _lines(supporters) if isinstance(supporters, Path) else supporters
    try:
        return [("", tuple(dict.fromkeys(map(one_line, names))))] if names else []
    except ValueError as error:
        raise InputError(
            "release.supporters holds what is no supporter's name", hint="one line of text for each"
        ) from error


def special_thanks(groups: Groups) -> str:
    """The text of special_thanks.txt."""
    parts = ["\n".join([*([f"◆ {heading}"] if heading else []), *names, ""]) for heading, names in groups]
    return "\n".join([HEAD, *parts]) if parts else NOBODY


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"no readable list of supporters at {file}", hint="give a UTF-8 file with one name on a line"
        ) from error
    return [line.strip() for line in lines if line.strip()]


def _day(text: str | None) -> datetime.date:
    if text is None:
        return datetime.datetime.now(datetime.UTC).date()
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise RecipeError(f"{text!r} is no day", hint="for example --on 2026-11-23") from error
