"""`tsuzuri serve`: releases of this machine, specialists over Kafka, or both.

Without `--kafka` and without a section `specialists` nothing of Kafka is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsuzuri.core.config import load_yaml, parse_config
from tsuzuri.core.errors import MissingExtraError
from tsuzuri.serving.config import ServeConfig
from tsuzuri.serving.server import Options, run

if TYPE_CHECKING:
    from tsuzuri.serving.app import Guest

SECTION = "server"
"""Of a SPECIALISTS.yaml."""


def serve(
    releases: Sequence[Path] = (),
    *,
    config: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    database: str | None = None,
    kafka: str | None = None,
    overrides: Sequence[str] = (),
) -> None:
    """Serve until told to stop. `config` is a serve.yaml, perhaps with a section `specialists`, or a
    SPECIALISTS.yaml, whose section `server` it then is. What is given here goes over what the file says."""
    is_ours = config is not None and _is_specialists(load_yaml(config))
    options = Options(
        releases,
        config=config,
        section=SECTION if is_ours else None,
        host=host,
        port=port,
        database=database,
        overrides=tuple(overrides),
    )
    wanted = options.read()
    guests: list[Guest] = []
    if kafka is not None or is_ours or wanted.specialists is not None:
        path = config if is_ours else None
        guests.append(_specialists(path, config, wanted, kafka, overrides))
    run(options, guests)


def _is_specialists(values: Mapping[str, Any]) -> bool:
    """Whether a file is a SPECIALISTS.yaml: there `specialists` is a list, not a section."""
    return isinstance(values.get("specialists"), list) or SECTION in values


def _specialists(
    path: Path | None, config: Path | None, wanted: ServeConfig, kafka: str | None, overrides: Sequence[str]
) -> Guest:
    """`path`: of a SPECIALISTS.yaml; `config`: of a serve.yaml, with whose section they are described."""
    try:
        from tsuzuri.specialists.config import SpecialistsConfig, read_specialists, within
        from tsuzuri.specialists.gateway.server import Specialists
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("tsuzuri"):
            raise
        raise MissingExtraError(error.name or "msgspec", "kafka") from error
    if path is not None:
        found = read_specialists(path, overrides)
    else:
        section = parse_config(SpecialistsConfig, wanted.specialists or {}, where="specialists")
        found = within(config.absolute().parent, section) if config is not None else section
    if kafka is not None:
        asked = {**found.bus.model_dump(), "bootstrap": kafka}
        bus = parse_config(type(found.bus), asked, where="--kafka", hint="--kafka HOST:PORT,HOST:PORT")
        found = found.model_copy(update={"bus": bus})
    return Specialists(found)
