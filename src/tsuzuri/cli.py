"""The command line: one table from command to function, and no logic.

A function is named by `module:name` and imported only when its command is called, so `tsuzuri --help` starts without
torch. It receives the arguments by keyword, and what it returns (text, or an iterator of texts) is printed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tsuzuri.core.errors import Stopped, TsuzuriError
from tsuzuri.core.manifest import code_version


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


def argument(*flags: str, **options: Any) -> Argument:
    """An argument of a command."""
    return Argument(flags, options)


def folder(name: str, help: str, **options: Any) -> Argument:
    """A required option that names a box or another path."""
    return argument(f"--{name}", type=Path, required=True, metavar="DIR", help=help, **options)


RECIPE = argument("recipe", type=Path, metavar="RECIPE.yaml", help="the recipe")
OUT = folder("out", "the folder to make, or to go on with")
SET = argument(
    "--set",
    dest="overrides",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="change a value of the recipe",
)
AMEND = argument(
    "--amend",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    help="change a begun run on purpose from here on",
)
DOCUMENTS = folder("documents", "the folder of documents")
TOKENIZER = folder("tokenizer", "the folder of the tokenizer")
TOKENS = folder("tokens", "the folder of token shards")
MODEL = argument("path", type=Path, metavar="MODEL", help="a release, a run or a Hugging Face folder")
TEXT = argument("source", metavar="FILE", help="a text file, one text a line; - is standard input")
DEVICE = argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="where to compute")

COMMANDS = (
    Command(
        "build",
        "the whole chain from sources to release and report; run again to resume",
        "tsuzuri.build:build",
        (RECIPE, OUT, SET, AMEND, argument("--dry-run", action="store_true", help="say what it would do")),
    ),
    Command("corpus", "sources → documents", "tsuzuri.build:corpus", (RECIPE, OUT, SET)),
    Command(
        "tokenizer train",
        "documents → tokenizer",
        "tsuzuri.build:train_tokenizer",
        (RECIPE, DOCUMENTS, OUT, SET),
    ),
    Command(
        "pack", "documents → token shards", "tsuzuri.build:pack", (RECIPE, DOCUMENTS, TOKENIZER, OUT, SET)
    ),
    Command(
        "train", "token shards → weights", "tsuzuri.build:train", (RECIPE, TOKENS, TOKENIZER, OUT, SET, AMEND)
    ),
    Command(
        "evaluate",
        "a model → held-out bits, repetition, samples",
        "tsuzuri.build:evaluate",
        (
            argument("model", type=Path, metavar="MODEL", help="a run, a release or a Hugging Face folder"),
            TOKENS,
            OUT,
            argument("--recipe", type=Path, metavar="RECIPE.yaml", help="whose `evaluate` section to use"),
            SET,
        ),
    ),
    Command(
        "lineage",
        "from a folder back to its sources",
        "tsuzuri.core.lineage:describe",
        (argument("box", type=Path, metavar="DIR", help="any folder that tsuzuri made"),),
    ),
)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole table."""
    top = argparse.ArgumentParser(
        prog="tsuzuri", description="綴り: from Japanese text to a model that writes Japanese"
    )
    top.add_argument("--version", action="version", version=f"tsuzuri {code_version()}")
    groups = {"": top.add_subparsers(dest="command", required=True, metavar="COMMAND")}
    for command in COMMANDS:
        group, _, name = command.name.rpartition(" ")
        if group not in groups:
            of_group = groups[""].add_parser(group, help=f"{group}: train, compare and the like")
            groups[group] = of_group.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
        own = groups[group].add_parser(name, help=command.help, description=command.help)
        own.set_defaults(function=command.function)
        for item in command.arguments:
            own.add_argument(*item.flags, **item.options)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 2 for a mistake that its user can mend, 128 + signal when stopped."""
    values = vars(parser().parse_args(arguments))
    module, _, name = values.pop("function").partition(":")
    values = {key: value for key, value in values.items() if key not in ("command", "subcommand")}
    try:
        _print(getattr(import_module(module), name)(**values))
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return 128 + signal.SIGTERM
    except TsuzuriError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output went away: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _print(result: str | Iterable[str] | None) -> None:
    for text in [result] if isinstance(result, str) else result or ():
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
