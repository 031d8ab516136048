"""What `up` keeps in its folder over the end of a broker that has its records in memory, and over its own.

DIR/state.json   what the registry said last (routes, what is wanted, what was decided), and what the file
                 asked for when it was read
DIR/up.json      where the broker and the API are, for the other commands
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.core.files import write_json
from tsuzuri.specialists.messages import KINDS, Body, Descriptor, Route, Wanted

STATE, UP = "state.json", "up.json"
LASTING = ("ready", "draining", "gone")
"""States of a revision that are kept: what was refused is looked at again."""


def write_state(folder: Path, said: dict[str, Body], asked: dict[str, Any]) -> None:
    """Keep what the registry says, and what the file asked for."""
    kept = {
        key: {"kind": type(body).__name__.lower(), "body": msgspec.to_builtins(body)}
        for key, body in sorted(said.items())
        if isinstance(body, Route | Wanted) or (isinstance(body, Descriptor) and body.state in LASTING)
    }
    write_json(folder / STATE, {"said": kept, "asked": asked})


def read_state(folder: Path) -> tuple[dict[str, Body], dict[str, Any]]:
    """What was kept; nothing where nothing was. IntegrityError where it is damaged."""
    path = folder / STATE
    if not path.exists():
        return {}, {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        said = {
            key: msgspec.convert(item["body"], KINDS[item["kind"]]) for key, item in values["said"].items()
        }
        return said, dict(values["asked"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"{path} is damaged: {error}", hint="remove it: every specialist is then examined anew"
        ) from error


def write_up(folder: Path, **facts: Any) -> None:
    """Say where everything is."""
    write_json(folder / UP, facts)


def forget_up(folder: Path) -> None:
    """Nothing runs here any more."""
    (folder / UP).unlink(missing_ok=True)


def read_up(folder: Path) -> dict[str, Any]:
    """Where everything is; InputError where no `up` has used the folder."""
    try:
        values: dict[str, Any] = json.loads((folder / UP).read_text(encoding="utf-8"))
        return values
    except (OSError, ValueError) as error:
        raise InputError(
            f"nothing runs in {folder}: it has no {UP}",
            hint="tsuzuri specialists up SPECIALISTS.yaml, or give the broker with --kafka HOST:PORT",
        ) from error
