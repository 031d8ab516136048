"""One server without keys and one with, of mock engines, for all tests of the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import CHAT_TEMPLATE, running, write_release
from tsuzuri.serving.accounts.config import AccountsConfig, DatabaseConfig
from tsuzuri.serving.config import LimitsConfig, ModelConfig, ServeConfig
from tsuzuri.serving.engines.mock import MockEngine
from tsuzuri.serving.server import Server
from tsuzuri.tokenizer.codec import Tokenizer

LIMITS = LimitsConfig(body_bytes=65_536, header_bytes=8192, new_tokens=1000, choices=8)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of a release but its weights, with a chat template."""
    return write_release(tmp_path_factory.mktemp("release"), template=CHAT_TEMPLATE)


@pytest.fixture(scope="session")
def plain_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another, without one."""
    return write_release(tmp_path_factory.mktemp("plain"), max_new_tokens=7)


@pytest.fixture(scope="session")
def tokenizer(release: Path) -> Tokenizer:
    return Tokenizer.load(release)


@pytest.fixture(scope="session")
def config(release: Path, plain_release: Path) -> ServeConfig:
    slow = {"kind": "mock", "tokens_per_s": 200.0, "slots": 64}
    return ServeConfig(
        port=0,
        models=(
            ModelConfig(path=release, name="kana", engine={"kind": "mock"}),
            ModelConfig(path=plain_release, name="plain", engine={"kind": "mock", "tokens": 3}),
            ModelConfig(path=release, name="slow", engine=slow),
        ),
        limits=LIMITS,
    )


@pytest.fixture(scope="session")
def server(config: ServeConfig) -> Iterator[Server]:
    """A server that anybody on this machine may ask."""
    with running(config) as (_, server):
        yield server


@pytest.fixture(scope="session")
def address(server: Server) -> str:
    return server.address


@pytest.fixture(scope="session")
def engine() -> MockEngine:
    """What `kana` says, asked directly."""
    return MockEngine(vocab_size=512, context=256)


@pytest.fixture(scope="session")
def keyed(config: ServeConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(address, URL of the database) of a server that asks for keys."""
    url = f"sqlite:///{tmp_path_factory.mktemp('accounts') / 'keys.db'}"
    accounts = AccountsConfig(
        database=DatabaseConfig(url=url), address_requests_per_minute=100_000, key_cache_s=0.0
    )
    root = config.models[0].path.parent
    with running(config.model_copy(update={"accounts": accounts, "releases_root": root})) as (address, _):
        yield address, url
