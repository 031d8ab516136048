"""The table of commands."""

from __future__ import annotations

import inspect
import re
import signal
from importlib import import_module
from pathlib import Path
from typing import Literal

import pytest

from tsuzuri.__main__ import run
from tsuzuri.cli import COMMANDS, Command, fields_of, main, parser
from tsuzuri.core.config import Config, apply_overrides, parse_config
from tsuzuri.core.errors import Stopped
from tsuzuri.corpus.config import LicenseRules


def words(command: Command) -> list[str]:
    """A command line with every required argument."""
    line = command.name.split()
    for item in command.arguments:
        if not item.flags[0].startswith("-"):
            line.append(next(iter(item.options.get("choices") or ["x"])))
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


def test_only_the_options_given_are_passed_on_and_texts_as_they_are() -> None:
    line = ["generate", "MODEL", "--temperature", "0.7", "--stop", "[", "--stop", "。"]
    values = vars(parser().parse_args(line))
    assert values["stop"] == ["[", "。"]
    assert values["temperature"] == "0.7"
    assert "top_p" not in values


def test_a_field_is_explained_by_its_docstring() -> None:
    class Rules(Config):
        share: float = 0.5
        """What is kept, in % of all. The rest goes."""
        manner: Literal["fast", "exact"] = "exact"
        """How."""
        again: bool = False
        """Whether once more."""

    helps = [item.options["help"] % {} for item in fields_of(Rules)]
    assert helps == [
        "What is kept, in % of all. The rest goes; default: 0.5",
        "How; fast or exact; default: exact",
        "Whether once more",
    ]


def test_what_is_or_is_not_is_said_by_its_name_alone() -> None:
    assert vars(parser().parse_args(["plan", "--preemptible", "--device", "h200"]))["preemptible"] is True
    assert "preemptible" not in vars(parser().parse_args(["plan"]))


def test_a_group_of_commands_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "corpus build or withdraw; see tsuzuri corpus --help" in said
    assert "release build or verify or convert or push; see tsuzuri release --help" in said


def test_an_empty_path_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["build", "recipe.yaml", "--out", ""])
    assert stop.value.code == 2
    assert "--out: it is empty" in capsys.readouterr().err


def test_license_options_are_short_for_settings() -> None:
    line = ["corpus", "build", "r.yaml", "--out", "o", "--set", "a=1", "--no-nc", "--no-unclear"]
    line += ["--licenses", "MIT,CC0-1.0"]
    overrides = vars(parser().parse_args(line))["overrides"]
    recipe = apply_overrides({}, overrides)
    rules = {"no_nc": True, "no_unclear": True, "allowed": ["MIT", "CC0-1.0"]}
    assert recipe == {"a": 1, "corpus": {"licenses": rules}}
    parse_config(LicenseRules, recipe["corpus"]["licenses"], where="test")
    again = vars(parser().parse_args(["corpus", "build", "r.yaml", "--out", "o"]))
    assert again["overrides"] == []


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--temperature", "hot", "temperature: Input should be a valid number"),
        ("--temperature", "inf", "temperature: Input should be a finite number"),
        ("--seed", str(2**63), "seed: Input should be less than 9223372036854775808"),
    ],
)
def test_a_wrong_value_is_answered_with_the_way_to_the_right_ones(
    option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "MODEL", option, value]) == 2
    said = capsys.readouterr().err
    assert f"error: generate: {message}" in said
    assert "→ tsuzuri generate --help" in said


@pytest.mark.parametrize("command", ["corpus build", "build"])
def test_a_path_that_cannot_be_is_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("春は曙。", encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(f"corpus: {{source: {tmp_path}/texts}}", encoding="utf-8")
    (tmp_path / "file").write_text("", encoding="utf-8")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert main([*command.split(), str(tmp_path / "recipe.yaml"), "--out", str(out)]) == 2
        assert re.search(
            f"^error: {out}\\S*: .+\n  → give another path", capsys.readouterr().err, re.MULTILINE
        )


def test_a_folder_where_a_file_is_wanted_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert f"no readable file at {tmp_path}" in capsys.readouterr().err
    assert main(["score", "MODEL", str(tmp_path)]) == 2
    assert f"no readable file at {tmp_path}" in capsys.readouterr().err


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(arguments: object = None) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("tsuzuri.cli.main", interrupted)
    assert run() == 128 + signal.SIGINT


def test_a_stopped_run_exits_with_its_signal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stopped(**arguments: object) -> None:
        raise Stopped("stopped", by=signal.SIGINT)

    monkeypatch.setattr("tsuzuri.chain.stages.report", stopped)
    assert main(["report", str(tmp_path)]) == 128 + signal.SIGINT


def test_the_parser_names_the_program() -> None:
    assert parser().prog == "tsuzuri"


@pytest.mark.parametrize("steps", ["-1", "some", ""])
def test_a_count_is_a_number(steps: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["build", "r.yaml", "--out", "o", "--profile", steps])
    assert "is no number of 0 or more" in capsys.readouterr().err
