"""/v1/models, and /admin/models: what is served, and changing it while it runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from tsuzuri.core.errors import TsuzuriError
from tsuzuri.serving import logs
from tsuzuri.serving.api.entry import ERRORS, Administrator, Signed, permit, service_of
from tsuzuri.serving.api.schemas import Asked, ModelAnswer, ModelsAnswer
from tsuzuri.serving.config import ModelConfig, ServeConfig
from tsuzuri.serving.errors import ApiError, invalid
from tsuzuri.serving.loading import name_of
from tsuzuri.serving.models import TextModel

router = APIRouter(tags=["models"], responses=ERRORS)
admin = APIRouter(tags=["admin"], responses=ERRORS)


class LoadRequest(Asked):
    """A release to serve."""

    release: Annotated[str, Field(min_length=1, max_length=400)]
    """Its folder, under the server's `releases_root`."""
    name: Annotated[str, Field(pattern=r"^[\w.:/-]{1,100}$")] | None = None
    """What clients call it; left out: what its release calls itself. A model of this name is replaced."""


@router.get("/v1/models", response_model=ModelsAnswer, summary="What is served")
async def models(request: Request, caller: Signed) -> dict[str, Any]:
    """The models that the key may use; the first is the default of the playground."""
    return {
        "object": "list",
        "data": [_told(model) for model in service_of(request).catalog if caller.allows(model.facts.name)],
    }


@router.get("/v1/models/{name:path}", response_model=ModelAnswer, summary="One model")
async def model(name: str, request: Request, caller: Signed) -> dict[str, Any]:
    """What there is to know of a model."""
    permit(caller, name)
    return _told(service_of(request).catalog.look(name))


@admin.post("/admin/models", response_model=ModelAnswer, summary="Load a release, or swap a model")
async def load(asked: LoadRequest, request: Request, caller: Administrator) -> dict[str, Any]:
    """Serve a release from now on, with the engine and the filters of the model that it replaces. Requests
    that run with that model end with it."""
    service = service_of(request)
    service.check_open()
    folder = _folder(service.config, asked.release)
    try:
        own_name = await asyncio.to_thread(name_of, folder)
        config = service.catalog.settings(asked.name or own_name) or ModelConfig(path=folder)
        named = {"name": asked.name} if asked.name else {}
        loaded = await service.catalog.load(config.model_copy(update={"path": folder, **named}))
    except TsuzuriError as error:
        logs.failure("model_not_loaded", error, model=asked.name, key=caller.key_id)
        message = "that folder holds no release that can be served"
        raise invalid(message, param="release", code="release_not_loaded") from error
    name, revision = loaded.facts.name, loaded.facts.revision
    logs.event("model_loaded", model=name, revision=revision, key=caller.key_id)
    await service.accounts.note(caller, "model.load", name, {"release": asked.release, "revision": revision})
    return _told(loaded)


@admin.delete("/admin/models/{name:path}", status_code=204, summary="Unload a model", response_class=Response)
async def unload(name: str, request: Request, caller: Administrator) -> Response:
    """Serve a model no more. Requests that run with it end as they would have."""
    service = service_of(request)
    service.catalog.unload(name)
    logs.event("model_unloaded", model=name, key=caller.key_id)
    await service.accounts.note(caller, "model.unload", name)
    return Response(status_code=204)


def _told(model: TextModel) -> dict[str, Any]:
    facts = model.facts
    return {
        "id": facts.name,
        "object": "model",
        "created": facts.created_at,
        "owned_by": "tsuzuri",
        "tsuzuri": {
            "revision": facts.revision,
            "context": facts.context,
            "capabilities": sorted(facts.capabilities),
            "defaults": dict(facts.defaults),
            "filters": list(facts.filters),
            "chat": facts.has_chat,
        },
    }


def _folder(config: ServeConfig, release: str) -> Path:
    """A folder under `releases_root`; ApiError for one that is not."""
    root = config.releases_root
    if root is None:
        raise ApiError(
            403, "loading_is_off", "set releases_root in the server's configuration to load releases"
        )
    try:
        folder = (root / release).resolve()
        inside = folder.is_relative_to(root.resolve()) and folder.is_dir()
    except (OSError, ValueError):
        inside = False
    if not inside:
        raise invalid("there is no such folder under the server's releases_root", param="release")
    return folder
