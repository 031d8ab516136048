"""Chromium, and the servers that its pages come from.

Playwright's synchronous interface leaves an event loop running in the thread that uses it, so a browser lasts
for one module of tests: what other rooms test with `asyncio.run` comes after its end.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

import prose_api
from chromium import FLAGS, Tab


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("Chromium is not installed: apt-get install chromium fonts-noto-cjk")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def prose() -> Iterator[tuple[str, FastAPI]]:
    """(address, application) of the API that writes prose."""
    app = prose_api.application()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, name="prose")
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", app
    server.should_exit = True
    thread.join()


@pytest.fixture
def open_tab(browser: Any, prose: tuple[str, FastAPI]) -> Iterator[Callable[..., Tab]]:
    """Opens tabs on the API that writes prose, each as a visitor of its own; they may not complain."""
    tabs: list[Tab] = []

    def opened(path: str = "/", *, address: str = prose[0], key: str = prose_api.KEY, **settings: Any) -> Tab:
        tabs.append(Tab(browser, address, path, key=key, **settings))
        return tabs[-1]

    yield opened
    for tab in tabs:
        tab.close()
