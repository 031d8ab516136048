"""What the table of commands is made of: a command, its arguments, options from a configuration's fields."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from tsuzuri.core.config import Config


@dataclass(frozen=True)
class Argument:
    """One argument of a command, as argparse takes it."""

    flags: tuple[str, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Command:
    """One row of the table."""

    name: str
    """One word, or two (`release verify`)."""
    help: str
    function: str
    """module:name"""
    arguments: tuple[Argument, ...]


def some_path(text: str) -> Path:
    """The path that an argument is; an empty one, which a shell makes of an unset variable, is none."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return Path(text)


def some_count(text: str) -> int:
    """The number, 0 or more, that an argument is."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 0 or more")
    return int(text)


def some_seconds(text: str) -> float:
    """The time, more than none, that an argument is."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


def argument(*flags: str, **options: Any) -> Argument:
    """An argument of a command."""
    return Argument(flags, options)


def folder(name: str, help: str, **options: Any) -> Argument:
    """A required option that names a box or another path."""
    return argument(f"--{name}", type=some_path, required=True, metavar="DIR", help=help, **options)


SET = argument(
    "--set",
    dest="overrides",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="change a value of the recipe",
)
SUPPORTERS = (
    argument(
        "supporters",
        type=some_path,
        metavar="SUPPORTERS.yaml",
        help="who supports, and how (docs/publishing.md)",
    ),
    argument("--on", metavar="DAY", help="the day that counts, as 2026-11-23; default: today"),
)


def allowed_licenses(names: str) -> str:
    """The `--set` that `--licenses` is short for."""
    return f"corpus.licenses.allowed=[{', '.join(map(repr, filter(None, names.split(','))))}]"


LICENSES = (
    argument(
        "--no-nc",
        dest="overrides",
        action="append_const",
        const="corpus.licenses.no_nc=true",
        help="without texts whose license is known to forbid commercial use",
    ),
    argument(
        "--no-nd",
        dest="overrides",
        action="append_const",
        const="corpus.licenses.no_nd=true",
        help="without texts whose license is known to forbid edited copies",
    ),
    argument(
        "--no-unclear",
        dest="overrides",
        action="append_const",
        const="corpus.licenses.no_unclear=true",
        help="without texts of which no license is known, which --no-nc and --no-nd keep",
    ),
    argument(
        "--licenses",
        dest="overrides",
        action="append",
        type=allowed_licenses,
        metavar="SPDX,…",
        help="only texts under these licenses",
    ),
)


def fields_of(config: type[Config]) -> tuple[Argument, ...]:
    """An option for each field of a configuration; only those given are passed on; a tuple's is repeated."""
    return tuple(_field(f"--{name.replace('_', '-')}", field) for name, field in config.model_fields.items())


def _field(flag: str, field: FieldInfo) -> Argument:
    if field.annotation is bool:
        return argument(flag, action="store_true", default=argparse.SUPPRESS, help=_meaning(field))
    return argument(
        flag,
        action="append" if isinstance(field.default, tuple) else "store",
        default=argparse.SUPPRESS,
        metavar="NUMBER" if _is_number(field.annotation) else "TEXT",
        help="; ".join([_meaning(field), *_choices(field.annotation), f"default: {_shown(field.default)}"]),
    )


def _meaning(field: FieldInfo) -> str:
    """Its docstring as argparse takes it."""
    return " ".join((field.description or "").split()).rstrip(".").replace("%", "%%")


def _is_number(annotation: Any) -> bool:
    return any(kind in (int, float) for kind in (annotation, *get_args(annotation)))


def _choices(annotation: Any) -> list[str]:
    words = [word for word in get_args(annotation) if isinstance(word, str)]
    return [" or ".join(words)] if words else []


def _shown(default: Any) -> str:
    return "none" if default is None or default == () else str(default)
