"""The table of commands."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from tsuzuri.cli import COMMANDS, Command, main, parser


def words(command: Command) -> list[str]:
    """A command line with every required argument."""
    line = command.name.split()
    for item in command.arguments:
        if not item.flags[0].startswith("-"):
            line.append("x")
        elif item.options.get("required"):
            line += [item.flags[0], "x"]
    return line


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_calls_a_function_that_takes_its_arguments(command: Command) -> None:
    values = vars(parser().parse_args(words(command)))
    given = set(values) - {"command", "subcommand", "function"}
    module, _, name = command.function.partition(":")
    inspect.signature(getattr(import_module(module), name)).bind(**dict.fromkeys(given))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_and_argument_explains_itself(command: Command) -> None:
    assert command.help
    assert all(item.options.get("help") for item in command.arguments)


def test_a_mistake_in_the_arguments_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bild"])
    assert stop.value.code == 2
    assert "invalid choice: 'bild'" in capsys.readouterr().err


def test_the_parser_names_the_program() -> None:
    assert parser().prog == "tsuzuri"
