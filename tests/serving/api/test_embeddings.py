"""/v1/embeddings: vectors as numbers and as base64."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from servers import ask, running
from tsuzuri.serving.config import LimitsConfig, ModelConfig, ServeConfig
from tsuzuri.serving.engines.mock import MockEngine
from tsuzuri.serving.loading import load
from tsuzuri.serving.models import Prompt, TextModel
from tsuzuri.serving.server import Server
from tsuzuri.tokenizer.codec import Tokenizer

LONG = {"model": "slow", "input": [[1 + number % 9] * 250 for number in range(80)]}
"""20,000 tokens."""


class Slow:
    """A model that takes its time for vectors."""

    def __init__(self, inner: TextModel) -> None:
        self.facts = replace(inner.facts, name="slow")
        self.inner = inner
        self.calls = 0

    async def embed(self, prompts: Sequence[Prompt]) -> Any:
        """After a while."""
        self.calls += 1
        await asyncio.sleep(0.1)
        return await self.inner.embed(prompts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@contextmanager
def slowly(release: Path, **settings: Any) -> Iterator[tuple[str, Server, Slow]]:
    """(address, server, its slow model)"""
    config = ModelConfig(path=release, name="kana", engine={"kind": "mock"})
    with running(ServeConfig(port=0, models=(config,), **settings)) as (address, server):
        slow = Slow(load(config))
        server.catalog.mount(slow)  # type: ignore[arg-type]
        yield address, server, slow


def embed(address: str, **asked: Any) -> dict[str, Any]:
    status, _, answer = ask(address, "/v1/embeddings", {"model": "kana", **asked})
    assert status == 200, answer
    return dict(answer)


def test_vectors_of_texts(address: str, engine: MockEngine, tokenizer: Tokenizer) -> None:
    texts = ["朝", "東京の夜"]
    answer = embed(address, input=texts)
    wanted = engine.embed([tokenizer.encode(text) for text in texts])
    assert np.allclose([item["embedding"] for item in answer["data"]], wanted)
    assert [item["index"] for item in answer["data"]] == [0, 1]
    tokens = sum(len(tokenizer.encode(text)) for text in texts)
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    coded = embed(address, input=texts, encoding_format="base64")["data"][1]["embedding"]
    assert np.array_equal(np.frombuffer(base64.b64decode(coded), "<f4"), wanted[1])
    assert embed(address, input=tokenizer.encode("朝"))["data"][0] == answer["data"][0]


@pytest.mark.parametrize(
    "asked", [{"input": []}, {"input": "朝", "dimensions": 3}, {"input": "朝", "model": 1}]
)
def test_what_is_refused(address: str, asked: dict[str, Any]) -> None:
    status, _, answer = ask(address, "/v1/embeddings", {"model": "kana", **asked})
    assert status == 400
    assert answer["error"]["param"] in ("input", "dimensions", "model")


def test_who_goes_away_is_read_for_no_longer(release: Path) -> None:
    with slowly(release) as (address, server, slow):
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
        connection.request("POST", "/v1/embeddings", json.dumps(LONG), {"content-type": "application/json"})
        while not slow.calls:
            time.sleep(0.01)
        connection.close()
        while server.service.running:
            time.sleep(0.01)
        assert slow.calls < 5


def test_vectors_have_their_time(release: Path) -> None:
    with slowly(release, limits=LimitsConfig(request_s=0.15)) as (address, _, slow):
        status, headers, answer = ask(address, "/v1/embeddings", LONG)
        assert (status, answer["error"]["code"]) == (503, "request_timeout")
        assert int(headers["retry-after"]) >= 1
        assert slow.calls < 5


def test_vectors_are_handed_back_at_a_stop(release: Path) -> None:
    answers: list[Any] = []
    with slowly(release, drain_s=0.1) as (address, server, slow):
        client = threading.Thread(target=lambda: answers.append(ask(address, "/v1/embeddings", LONG)))
        client.start()
        while not slow.calls:
            time.sleep(0.01)
        server.should_exit = True
        client.join()
    status, _, answer = answers[0]
    assert (status, answer["error"]["code"]) == (503, "server_shutting_down")
    assert slow.calls < 10


def test_portions_come_in_order(address: str, engine: MockEngine) -> None:
    answer = embed(address, input=LONG["input"])
    wanted = engine.embed(LONG["input"])  # type: ignore[arg-type]
    assert np.allclose([item["embedding"] for item in answer["data"]], wanted)
    assert answer["usage"]["prompt_tokens"] == 20_000
