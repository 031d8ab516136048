"""`tsuzuri specialists worker`: one process that answers for a revision of a specialist."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tsuzuri.core.config import apply_overrides, load_yaml, parse_config
from tsuzuri.core.errors import RecipeError
from tsuzuri.serving import logs
from tsuzuri.serving.config import ModelConfig
from tsuzuri.serving.loading import load
from tsuzuri.serving.models import TextModel
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
    if not asyncio.run(serve(wanted)):
        os._exit(0)  # a load can't be stopped, and what else ends a process waits for it, or runs into it


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


async def serve(config: WorkerConfig) -> bool:
    """Say that it loads, load, answer until told to stop: whether it came to answer, else it still loads.
    Raises where it can't go on."""
    assert config.release is not None
    if not config.revision:
        revision = await asyncio.to_thread(revision_of, config.release, config.engine)
        config = config.model_copy(update={"revision": revision})
    topics = Topics(config.bus.prefix)
    topics.group(config.name, config.revision)  # before minutes are spent on loading what can't be named so
    bus = await asyncio.to_thread(open_bus, config.bus)
    told = asyncio.Event()
    _on_signals(told.set)
    presence: Presence | None = None
    try:
        presence = await asyncio.to_thread(Presence, bus, topics, config)
        asked = ModelConfig(path=config.release, engine=config.engine, filters=config.filters)
        loading, stopped = _loading(asked), asyncio.ensure_future(told.wait())
        await asyncio.wait((loading, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not loading.done():
            logs.event("ended", note="told to stop while it loaded")
            return False
        model = loading.result()
        try:
            answering = Worker(model, bus, topics, presence)
            _on_signals(answering.drain)
            if told.is_set():
                answering.drain()
            await answering.run()
            return True
        finally:
            await model.close()
    finally:
        if presence is not None:
            await asyncio.to_thread(presence.close)
        await asyncio.to_thread(bus.close)


def _on_signals(work: Callable[[], None]) -> None:
    """Do it when told to stop, and nothing else from now on."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work)


def _loading(config: ModelConfig) -> asyncio.Future[TextModel]:
    """The model to come; whoever has no use for it any more need not wait for the load to end."""
    loop = asyncio.get_running_loop()
    coming: asyncio.Future[TextModel] = loop.create_future()

    def tell(how: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(lambda: None if coming.done() else how())

    def work() -> None:
        try:
            model = load(config)
        except BaseException as failed:
            error = failed
            tell(lambda: coming.set_exception(error))
        else:
            tell(lambda: coming.set_result(model))

    threading.Thread(target=work, name="load", daemon=True).start()
    return coming
