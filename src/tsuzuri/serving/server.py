"""`tsuzuri serve`: from a configuration to a listening process, and its end.

SIGTERM and SIGINT: no new connections; what runs is finished within `drain_s`, the rest handed back (503, or
an error event in its stream); bills are written; a second SIGINT waits for nothing. SIGHUP: the file is read
again and models are loaded, swapped and unloaded as it now says.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tsuzuri.core.config import apply_overrides, load_yaml, parse_config
from tsuzuri.core.errors import MissingExtraError, RecipeError, ResourceError, TsuzuriError
from tsuzuri.serving import logs
from tsuzuri.serving.config import ServeConfig

try:
    import uvicorn

    from tsuzuri.serving.access import Accounts, OpenAccess
    from tsuzuri.serving.app import Guest, application
    from tsuzuri.serving.catalog import Catalog, check_names
    from tsuzuri.serving.connection import connection_class
    from tsuzuri.serving.loading import load, stamp_of
    from tsuzuri.serving.playground import routes as playground
    from tsuzuri.serving.service import Service
except ModuleNotFoundError as error:
    if error.name and error.name.startswith("tsuzuri"):
        raise
    raise MissingExtraError(error.name or "fastapi", "serve") from error

DATABASE_VARIABLE = "TSUZURI_DATABASE"
"""Names the database where `--database` does not, as for `tsuzuri keys`."""
GRACE_S = 5.0
"""After `drain_s`: for what was handed back to be told so and billed."""


def run(options: Options, guests: Sequence[Guest] = ()) -> None:
    """Serve what a configuration names, and what guests bring, until told to stop."""
    wanted = options.read()
    if not wanted.models and not guests:
        raise RecipeError("there is nothing to serve", hint="tsuzuri serve RELEASE, or --config serve.yaml")
    logs.start_log(wanted.log_level)
    Server(wanted, options, guests).run()


class Options:
    """What the command line says, over a file that may change: a serve.yaml, or a section of another."""

    def __init__(
        self,
        releases: Sequence[Path] = (),
        *,
        config: Path | None = None,
        section: str | None = None,
        host: str | None = None,
        port: int | None = None,
        database: str | None = None,
        overrides: Sequence[str] = (),
    ) -> None:
        self._releases = releases
        self._config = config
        self._section = section
        self._given: dict[str, Any] = {
            name: value for name, value in (("host", host), ("port", port)) if value is not None
        }
        self._database = database or os.environ.get(DATABASE_VARIABLE)
        self._overrides = overrides

    def read(self) -> ServeConfig:
        """The configuration as it stands now."""
        values, overrides = load_yaml(self._config) if self._config else {}, self._overrides
        if self._section is not None:
            values, overrides = dict(apply_overrides(values, overrides).get(self._section) or {}), ()
        if self._releases:
            values["models"] = [{"path": str(path)} for path in self._releases]
        values |= self._given
        if self._database is not None:
            accounts = dict(values.get("accounts") or {})
            values["accounts"] = {
                **accounts,
                "database": {**accounts.get("database", {}), "url": self._database},
            }
        where = str(self._config or "serve")
        return parse_config(ServeConfig, apply_overrides(values, overrides), where=where)


class Server(uvicorn.Server):
    """uvicorn's server with our application, which is told when it is to stop and when to read its file."""

    def __init__(
        self, config: ServeConfig, options: Options | None = None, guests: Sequence[Guest] = ()
    ) -> None:
        self._wanted = config
        self._options = options
        self._guests = guests
        self._reloading: asyncio.Task[None] | None = None
        self._reloads_first = False
        """Whether SIGHUP came while the first models were being loaded."""
        accounts, routers = accounts_of(config, [guest.page for guest in guests])
        self.catalog = Catalog(load, stamp_of, drain_s=config.limits.request_s)
        self.service = Service(config, self.catalog, accounts)
        super().__init__(
            uvicorn.Config(
                application(self.service, routers, guests),
                http=connection_class(config.limits),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=True,
                proxy_headers=bool(config.trusted_proxies),
                forwarded_allow_ips=list(config.trusted_proxies),
                timeout_keep_alive=max(1, round(config.limits.keep_alive_s)),
                timeout_graceful_shutdown=round(config.drain_s + GRACE_S),
                backlog=2048,
            )
        )
        self._listener = listen(config.host, config.port)

    @property
    def address(self) -> str:
        """Where it listens, as a URL."""
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Look at the accounts, load the models, then listen until told to stop."""
        if self._options is not None:
            signal.signal(signal.SIGHUP, self._note_reload)
        try:
            self.service.accounts.prepare()
            for guest in self._guests:
                guest.prepare()
            for model in self._wanted.models:
                loaded = load(model)
                check_names([*(other.facts.name for other in self.catalog), loaded.facts.name])
                self.catalog.mount(loaded, model)
                logs.event("model_loaded", model=loaded.facts.name, revision=loaded.facts.revision)
        except BaseException:
            self._listener.close()
            raise
        if self._wanted.accounts is None:
            logs.event("open", note="no key is asked for, and only this machine is served")
        super().run([self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and to SIGHUP too."""
        await super().startup(sockets)
        if self._options is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        if self._reloads_first:
            self._reload()
        print(self.address, flush=True)
        logs.event("started", models=[model.facts.name for model in self.catalog])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then end."""
        self.service.begin_drain()
        await super().shutdown(sockets)

    def _note_reload(self, *_: object) -> None:
        self._reloads_first = True

    def _reload(self) -> None:
        self._reloading = asyncio.get_running_loop().create_task(self._follow(self._reloading))

    async def _follow(self, before: asyncio.Task[None] | None) -> None:
        """Read the file once the reload before this one is done; what goes wrong leaves the old models."""
        assert self._options is not None
        if before is not None:
            await before
        try:
            wanted = self._options.read()
            changes = await self.catalog.follow(wanted.models)
            logs.event("reloaded", changes=changes)
        except TsuzuriError as error:
            logs.event("not_reloaded", level=logging.ERROR, problem=error.message)
        except Exception as error:
            logs.failure("not_reloaded", error)


def accounts_of(config: ServeConfig, pages: Sequence[str] = ()) -> tuple[Accounts, list[Any]]:
    """The accounts of a configuration, and their routes with those of the playground, which shows these pages
    of guests too."""
    routers: list[Any] = []
    accounts: Accounts = OpenAccess()
    if config.accounts is not None:
        from tsuzuri.serving.accounts.routes import router
        from tsuzuri.serving.accounts.service import Accounts as Kept

        kept = Kept(config.accounts)
        accounts = kept
        routers.append(router(kept))
    if config.playground:
        routers.append(playground.router(has_accounts=config.accounts is not None, brought=pages))
    return accounts, routers


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; ResourceError with its reason where it can't."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ResourceError(
            f"{host}:{port} can't be listened at: {error.strerror}",
            hint="give another --port (0: any that is free) or --host",
        ) from error
    return listener
