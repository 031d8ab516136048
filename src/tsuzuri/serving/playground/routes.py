"""The routes of the playground: one page, and the files that it loads. It talks to the HTTP API alone.

The files are read once and served by exact name, so no path can lead out of the package. Addresses within
the page are relative: behind a proxy that adds a prefix it works unchanged.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

LANGUAGES = ("ja", "en")
"""The first is shown to whoever asks for neither."""
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Content-Security-Policy of the page: nothing inline, nothing from elsewhere, no text ever read as HTML."""


def router(*, has_accounts: bool, brought: Sequence[str] = ()) -> APIRouter:
    """The routes, for the server's root; without accounts the pages about keys are not offered, and of those
    that guests bring only these."""
    found = dict(_files(files("tsuzuri.serving.playground") / "static"))
    page = found.pop("index.html").decode()
    pages = {
        language: page.replace('<html lang="ja">', _opening(language, has_accounts, brought)).encode()
        for language in LANGUAGES
    }

    routes = APIRouter(include_in_schema=False)

    @routes.get("/", response_class=Response)
    async def index(request: Request) -> Response:
        language = preferred_language(request.headers.get("accept-language", ""))
        headers = {
            "content-language": language,
            "content-security-policy": POLICY,
            "referrer-policy": "no-referrer",
            "vary": "accept-language",
        }
        return _answer(request, pages[language], ".html", headers)

    @routes.get("/playground/{name:path}", response_class=Response)
    async def file(name: str, request: Request) -> Response:
        if name not in found:
            return Response("not found", status_code=404, media_type="text/plain")
        return _answer(request, found[name], name[name.rindex(".") :], {})

    return routes


def preferred_language(accepted: str) -> str:
    """The language of the page for an Accept-Language header."""
    wanted: list[tuple[float, str]] = []
    for item in accepted.split(","):
        name, _, weight = item.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            quality = 0.0
        wanted.append((-quality, name.strip().lower().partition("-")[0]))
    order = (language for quality, language in sorted(wanted, key=lambda one: one[0]) if quality < 0)
    return next((language for language in order if language in LANGUAGES), LANGUAGES[0])


def _opening(language: str, has_accounts: bool, brought: Sequence[str]) -> str:
    pages = f' data-pages="{html.escape(" ".join(brought))}"' if brought else ""
    return f'<html lang="{html.escape(language)}" data-accounts="{"yes" if has_accounts else "no"}"{pages}>'


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        name = f"{prefix}{item.name}"
        if item.is_dir():
            yield from _files(item, f"{name}/")
        elif name.endswith(tuple(TYPES)):
            yield name, item.read_bytes()


def _answer(request: Request, body: bytes, suffix: str, headers: dict[str, str]) -> Response:
    """The file, or 304 where the browser has this very one."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache", "x-content-type-options": "nosniff", **headers}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers={"content-type": TYPES[suffix], **headers})
