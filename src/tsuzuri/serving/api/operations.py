"""/health, /ready, /metrics and /docs."""

from __future__ import annotations

import html
import json
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from tsuzuri.serving.api.entry import ERRORS, operator, service_of

router = APIRouter(tags=["operations"], responses={status: ERRORS[status] for status in (401, 403, 429, 503)})
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
STYLE = """
body { font: 1rem/1.6 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
pre, code { font: .9rem/1.4 ui-monospace, monospace }
pre { overflow: auto; padding: .8rem; background: #8881 }
h2 { margin-top: 2.5rem }
td, th { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top }
:root { color-scheme: light dark }
"""


@router.get("/health", summary="Whether the process lives")
async def health() -> dict[str, str]:
    """Always, while it can answer at all."""
    return {"status": "ok"}


@router.get("/ready", summary="Whether requests should be sent here")
async def ready(request: Request) -> JSONResponse:
    """503 before there is a model that may be asked, after the server was told to stop, and when an engine
    can't go on."""
    service = service_of(request)
    failed = [model.facts.name for model in service.catalog if model.stats().failure is not None]
    models = service.catalog.open
    if service.is_draining:
        state = "draining"
    elif failed or not models:
        state = "engine_failed" if failed else "no_model"
    else:
        state = "ready"
    return JSONResponse({"status": state, "models": models}, 200 if state == "ready" else 503)


@router.get("/metrics", summary="Counters for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """For this machine, and for an administrator's key from elsewhere: they tell what others ask for."""
    await operator(request)
    return Response(service_of(request).metrics.text(), media_type=PROMETHEUS)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """The API on one page that loads nothing."""
    page = docs_page(request.app)
    return HTMLResponse(page, headers={"content-security-policy": PAGE_POLICY, "cache-control": "max-age=60"})


def docs_page(app: FastAPI) -> str:
    """The description of the API as HTML."""
    described = app.openapi()
    schemas = described.get("components", {}).get("schemas", {})
    parts = [f"<h1>{html.escape(described['info']['title'])}</h1>", f"<p>{html.escape(app.description)}</p>"]
    parts.append('<p>As a file: <a href="/openapi.json">openapi.json</a></p>')
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            parts += _operation(path, method.upper(), operation, schemas)
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>API</title><style>{STYLE}</style>{body}'
    )


def _operation(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> list[str]:
    parts = [f"<h2><code>{method} {html.escape(path)}</code></h2>"]
    parts.append(f"<p><b>{html.escape(operation.get('summary', ''))}</b></p>")
    parts.append(f"<p>{html.escape(operation.get('description', ''))}</p>")
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    fields = schemas.get(name, {}).get("properties", {})
    if fields:
        rows = "".join(
            f"<tr><td><code>{html.escape(field)}</code></td><td>{html.escape(_kind(value))}</td>"
            f"<td>{html.escape(value.get('description', ''))}</td></tr>"
            for field, value in fields.items()
        )
        parts.append(f"<table><tr><th>field</th><th>type</th><th>meaning</th></tr>{rows}</table>")
    if method == "POST" and fields:
        required = {field: _example(field) for field in schemas[name].get("required", [])}
        body = html.escape(json.dumps(required, ensure_ascii=False))
        parts.append(
            f"<pre>curl -H 'Authorization: Bearer KEY' -H 'Content-Type: application/json' \\\n"
            f"  -d '{body}' http://127.0.0.1:8000{html.escape(path)}</pre>"
        )
    return parts


def _kind(field: dict[str, Any]) -> str:
    """The type of a field in words."""
    options = field.get("anyOf", [field])
    names = [option.get("type") or option.get("$ref", "").rpartition("/")[2] for option in options]
    return " or ".join(dict.fromkeys(name for name in names if name and name != "null"))


def _example(field: str) -> Any:
    return {"messages": [{"role": "user", "content": "こんにちは"}], "input": "吾輩は猫である。"}.get(
        field, field.upper()
    )
