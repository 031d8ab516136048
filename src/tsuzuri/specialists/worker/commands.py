"""`tsuzuri specialists worker`: one process that answers for a revision of a specialist."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsuzuri.core.config import apply_overrides, load_yaml, parse_config
from tsuzuri.core.errors import RecipeError
from tsuzuri.serving import logs
from tsuzuri.serving.config import ModelConfig
from tsuzuri.serving.loading import load
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.topics import Topics
from tsuzuri.specialists.worker.config import WorkerConfig
from tsuzuri.specialists.worker.loop import Worker
from tsuzuri.specialists.worker.naming import revision_of
from tsuzuri.specialists.worker.presence import Presence


def worker(
    release: Path | None = None,
    *,
    name: str | None = None,
    kafka: str | None = None,
    revision: str | None = None,
    config: Path | None = None,
    overrides: Sequence[str] = (),
) -> None:
    """Answer for a specialist until told to stop. What is given here goes over what the file says."""
    wanted = read_config(
        release, name=name, kafka=kafka, revision=revision, config=config, overrides=overrides
    )
    logs.start_log(wanted.log_level)
    asyncio.run(serve(wanted))


def read_config(
    release: Path | None = None,
    *,
    name: str | None = None,
    kafka: str | None = None,
    revision: str | None = None,
    config: Path | None = None,
    overrides: Sequence[str] = (),
) -> WorkerConfig:
    """What the command line and the file say together; RecipeError where no model is named."""
    values: dict[str, Any] = load_yaml(config) if config else {}
    given = {"release": str(release) if release else None, "name": name, "revision": revision}
    values |= {key: value for key, value in given.items() if value is not None}
    if kafka is not None:
        values["bus"] = {**(values.get("bus") or {}), "bootstrap": kafka}
    wanted = parse_config(WorkerConfig, apply_overrides(values, overrides), where=str(config or "worker"))
    if wanted.release is None:
        raise RecipeError(
            "no model is named",
            hint="tsuzuri specialists worker --kafka HOST:PORT --name NAME RELEASE (of an upstream: the "
            "folder of its tokenizer)",
        )
    return wanted


async def serve(config: WorkerConfig) -> None:
    """Say that it loads, load, answer until told to stop; raises where it can't go on."""
    assert config.release is not None
    if not config.revision:
        revision = await asyncio.to_thread(revision_of, config.release, config.engine)
        config = config.model_copy(update={"revision": revision})
    topics = Topics(config.bus.prefix)
    topics.group(config.name, config.revision)  # before minutes are spent on loading what can't be named so
    bus = await asyncio.to_thread(open_bus, config.bus)
    loop = asyncio.get_running_loop()
    presence: Presence | None = None
    try:
        presence = await asyncio.to_thread(Presence, bus, topics, config)
        asked = ModelConfig(path=config.release, engine=config.engine, filters=config.filters)
        loading = asyncio.ensure_future(asyncio.to_thread(load, asked))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, loading.cancel)
        try:
            model = await loading
        except asyncio.CancelledError:
            return
        try:
            answering = Worker(model, bus, topics, presence)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, answering.drain)
            await answering.run()
        finally:
            await model.close()
    finally:
        if presence is not None:
            await asyncio.to_thread(presence.close)
        await asyncio.to_thread(bus.close)
