"""The files in `deploy/` say what the server understands."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from tsuzuri.cli import parser
from tsuzuri.core.config import load_yaml, parse_config
from tsuzuri.serving.accounts.config import AccountsConfig, DatabaseConfig
from tsuzuri.serving.config import FilterConfig, LimitsConfig, ModelConfig, ServeConfig
from tsuzuri.serving.engines.ours.config import EngineConfig

DEPLOY = Path(__file__).parents[2] / "deploy"
pytestmark = pytest.mark.skipif(not DEPLOY.is_dir(), reason="the source tree is absent")


def test_the_configuration_is_one() -> None:
    config = parse_config(ServeConfig, load_yaml(DEPLOY / "serve.yaml"), where="serve.yaml")
    assert config.accounts is not None
    assert config.models[0].filters.personal_data is not None


def test_the_unit_starts_a_command_that_there_is_and_waits_long_enough() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "tsuzuri.service")
    service = unit["Service"]
    program, *arguments = service["ExecStart"].split()
    assert program.endswith("/tsuzuri")
    assert vars(parser().parse_args(arguments))["function"] == "tsuzuri.specialists.gateway.command:serve"
    config = parse_config(ServeConfig, load_yaml(DEPLOY / "serve.yaml"), where="serve.yaml")
    assert int(service["TimeoutStopSec"]) > config.drain_s + 10
    text = (DEPLOY / "tsuzuri.service").read_text(encoding="utf-8")
    assert "'tsuzuri[serve,train,anonymize]'" in text  # what filters.personal_data of serve.yaml needs
    line = next(line for line in text.splitlines() if "bin/tsuzuri keys" in line)
    made = vars(parser().parse_args(line.split("bin/tsuzuri ")[1].split()))
    assert config.accounts is not None
    assert made["database"] == config.accounts.database.url.replace(
        "///", f"///{service['WorkingDirectory']}/"
    )
    assert "-HUP" in service["ExecReload"]


def test_the_container_starts_a_command_that_there_is() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if "tsuzuri serve" in line)
    arguments = line.lstrip("# ").split("tsuzuri ", 1)[1].split()
    values = vars(parser().parse_args(arguments))
    assert (values["host"], values["database"]) == ("0.0.0.0", "sqlite:////data/state/tsuzuri.db")
    for name in ("USER tsuzuri", "STOPSIGNAL SIGTERM", "HEALTHCHECK"):
        assert name in text


def test_the_manual_explains_every_key() -> None:
    manual = (DEPLOY.parent / "docs" / "serving.md").read_text(encoding="utf-8")
    for config in (
        ServeConfig,
        ModelConfig,
        FilterConfig,
        LimitsConfig,
        AccountsConfig,
        DatabaseConfig,
        EngineConfig,
    ):
        for name in config.model_fields:
            assert re.search(rf"\b{name}\b", manual), f"{config.__name__}.{name}"


def test_every_default_constructs_and_every_key_is_described() -> None:
    def check(config: type[BaseModel]) -> None:
        for name, field in config.model_fields.items():
            assert field.description, f"{config.__name__}.{name}"
            if isinstance(field.default, BaseModel):
                check(type(field.default))

    check(ServeConfig)
    assert ServeConfig().models == ()
