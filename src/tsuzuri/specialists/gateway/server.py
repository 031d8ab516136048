"""Specialists as models of a server, which come and go with the routes. The one file of this room that knows
the web application."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends

from tsuzuri.core.errors import TsuzuriError
from tsuzuri.serving.api.entry import ERRORS, operator
from tsuzuri.serving.service import Service
from tsuzuri.specialists.bus.base import Bus
from tsuzuri.specialists.bus.opening import open_bus
from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.control.controller import Controller
from tsuzuri.specialists.gateway.calls import nobody_yet
from tsuzuri.specialists.gateway.gateway import Gateway
from tsuzuri.specialists.gateway.models import GatewayModel, Only
from tsuzuri.specialists.gateway.reach import Reach
from tsuzuri.specialists.gateway.watching import Watch
from tsuzuri.specialists.messages import Route, new_id
from tsuzuri.specialists.registry.registry import Registry
from tsuzuri.specialists.routing.base import Router
from tsuzuri.specialists.routing.trained import load_router
from tsuzuri.specialists.topics import Topics, make_topics


class Specialists:
    """What brings specialists to a server: `serving.app.Guest`."""

    page = "specialists"

    def __init__(self, config: SpecialistsConfig, *, bus: Bus | None = None) -> None:
        """`bus`: one that is open already, and stays so."""
        self.router = APIRouter(tags=["admin"], responses=ERRORS)
        self.router.add_api_route(
            "/admin/specialists",
            self._tell,
            methods=["GET"],
            summary="Who is up, and what came of the last requests",
            dependencies=[Depends(operator)],
        )
        self._config, self._given_bus = config, bus
        self._topics = Topics(config.bus.prefix)
        self._bus: Bus | None = None
        self._registry: Registry | None = None
        self._controller: Controller | None = None
        self._service: Service | None = None
        self._mounted: dict[str, GatewayModel] = {}
        self._routers: dict[tuple[str, str], Router] = {}
        """By alias and generalist."""
        self._generalists: dict[str, str] = {}
        """Of each alias that is mounted with a route."""

    def prepare(self) -> None:
        """See `Guest`: reach the broker, and read who there is."""
        name = f"gateway-{socket.gethostname()}-{os.getpid()}-{new_id()[-6:]}"
        try:
            self._bus = bus = self._given_bus or open_bus(self._config.bus)
            make_topics(bus, self._topics.specs())
            self._registry = registry = Registry(bus, self._topics)
            self.gateway = Gateway(bus, self._topics, registry, name=name)
            self.gateway.open()
            self.watch = Watch(self.gateway, address=self._config.bus.bootstrap)
            self._choosing(self._config.alias, self._config.generalist)  # what is wrong with it is told now
            if self._config.specialists:  # else nobody here knows what is to be decided
                self._controller = Controller(bus, self._topics, registry, self._config, holder=name)
        except BaseException:
            self._leave()
            raise

    async def start(self, service: Service) -> None:
        """See `Guest`."""
        self._service = service
        self.gateway.on_change = self._follow
        await self.gateway.start()
        self.watch.start(service.metrics.registry)
        self._follow()

    async def close(self) -> None:
        """See `Guest`."""
        await self.watch.stop()
        await self.gateway.stop()
        await asyncio.to_thread(self._leave)

    def _leave(self) -> None:
        if self._controller is not None:
            self._controller.close()
        if hasattr(self, "gateway"):
            self.gateway.close()
        if self._registry is not None:
            self._registry.close()
        if self._bus is not None and self._given_bus is None:
            self._bus.close()

    async def _tell(self) -> dict[str, Any]:
        """Workers, revisions, shares, traffic, lag, latency, dead letters, and the last routings with their
        reasons; no text."""
        return self.watch.told()

    def _follow(self) -> None:
        """Serve what the routes name: all under their alias, each by its name. Before its first route
        the alias of the configuration is listed, and whoever asks it is told so."""
        assert self._service is not None
        catalog, routes = self._service.catalog, self.gateway.living.routes
        wanted = {
            name: (alias, route, specialist)
            for alias, route in routes.items()
            for specialist in ("", *(one for one in route.shares if any(route.shares[one].values())))
            for name in [f"{alias}/{specialist}" if specialist else alias]
        }
        awaited = self._awaited(routes)
        for name in [name for name in self._mounted if name not in wanted and name != awaited]:
            del self._mounted[name]
            with suppress(TsuzuriError):  # an administrator has unloaded it
                catalog.unload(name)
        if awaited and awaited not in self._mounted:
            self._mounted[awaited] = model = self._model(awaited, Only(""))
            catalog.mount(model, refusal=partial(nobody_yet, awaited))
        for name, (alias, route, specialist) in wanted.items():
            if name not in self._mounted or (not specialist and self._is_new(alias, route)):
                router = Only(specialist) if specialist else self._choosing(alias, route.generalist)
                if not specialist:
                    self._generalists[alias] = route.generalist
                self._mounted[name] = model = self._model(alias, router, specialist)
                catalog.mount(model)

    def _awaited(self, routes: Mapping[str, Route]) -> str:
        """The alias that is to have a route, as far as is known here, and has none; none: an empty name."""
        alias, is_named = self._config.alias, "alias" in self._config.model_fields_set
        is_ours = is_named or self._config.specialists or not routes  # else whoever decides has other names
        return alias if is_ours and alias not in routes else ""

    def _model(self, alias: str, router: Router, specialist: str = "") -> GatewayModel:
        reach = Reach(self.gateway, alias, is_strict=bool(specialist))
        return GatewayModel(
            reach, router, self._config.modes, specialist=specialist, on_over=self.watch.routed
        )

    def _is_new(self, alias: str, route: Route) -> bool:
        return self._generalists.get(alias) != route.generalist

    def _choosing(self, alias: str, generalist: str) -> Router:
        """The alias' router, loaded where it isn't; RecipeError, InputError and IntegrityError."""
        if (alias, generalist) not in self._routers:
            config = self._config.router.model_copy(update={"generalist": generalist})
            self._routers[alias, generalist] = load_router(config, Reach(self.gateway, alias))
        return self._routers[alias, generalist]
