"""A model that writes at a pace, behind a worker, and who asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from buses import OpenBus
from servers import CHAT_TEMPLATE, write_release
from tsuzuri.serving.config import ModelConfig
from tsuzuri.serving.loading import load
from tsuzuri.serving.models import TextModel
from tsuzuri.specialists.topics import Topics
from workers import Gate


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of a release but its weights, with a chat template."""
    return write_release(tmp_path_factory.mktemp("release"), template=CHAT_TEMPLATE)


@pytest.fixture(scope="session")
def quick(release: Path) -> TextModel:
    """Writes everything at once."""
    return load(ModelConfig(path=release, engine={"kind": "mock"}))


@pytest.fixture
def slow(release: Path) -> Iterator[TextModel]:
    """Writes 100 tokens a second for two at a time."""
    model = load(ModelConfig(path=release, engine={"kind": "mock", "tokens_per_s": 100.0, "slots": 2}))
    yield model
    asyncio.run(model.close())


@pytest.fixture
def topics(prefix: str) -> Topics:
    return Topics(prefix)


@pytest.fixture
def gate(open_bus: OpenBus, topics: Topics) -> Iterator[Gate]:
    gate = Gate(open_bus, topics)
    yield gate
    gate.close()
