"""Several models at once: loaded, swapped and unloaded while requests run, none of which is dropped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from servers import ask, running, write_release
from tsuzuri.core.errors import InputError, TsuzuriError
from tsuzuri.serving.accounts.commands import keys_create
from tsuzuri.serving.accounts.config import AccountsConfig, DatabaseConfig
from tsuzuri.serving.catalog import Catalog
from tsuzuri.serving.config import FilterConfig, ModelConfig, NgWordsFilter, ServeConfig
from tsuzuri.serving.errors import ApiError
from tsuzuri.serving.loading import load, stamp_of
from tsuzuri.serving.models import TextModel


class Watched:
    """A model that says when it was closed."""

    def __init__(self, inner: TextModel, revision: str) -> None:
        self.facts = replace(inner.facts, revision=revision)
        self.inner = inner
        self.is_closed = False

    async def close(self, *, drain_s: float = 0.0) -> None:
        """Closed."""
        self.is_closed = True
        await self.inner.close(drain_s=drain_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_a_model_is_closed_once_nobody_holds_it(release: Path) -> None:
    config = ModelConfig(path=release, name="kana", engine={"kind": "mock"})
    made: list[Watched] = []

    def watched(wanted: ModelConfig) -> TextModel:
        made.append(Watched(load(wanted), str(len(made))))
        return made[-1]  # type: ignore[return-value]

    async def run() -> None:
        catalog = Catalog(watched, stamp_of, drain_s=60)
        await catalog.load(config)
        with catalog.hold("kana") as old:
            await catalog.load(config)
            with catalog.hold("kana") as new:
                assert (old.facts.revision, new.facts.revision) == ("0", "1")
                await asyncio.sleep(0.05)
                assert not made[0].is_closed
            catalog.unload("kana")
        await asyncio.sleep(0.1)
        assert [model.is_closed for model in made] == [True, True]
        with pytest.raises(ApiError, match="no model"), catalog.hold("kana"):
            pass
        await catalog.close()

    asyncio.run(run())


def test_a_changed_configuration_is_followed(release: Path, plain_release: Path) -> None:
    one = ModelConfig(path=release, name="one", engine={"kind": "mock"})
    two = ModelConfig(path=plain_release, name="two", engine={"kind": "mock"})

    async def run(steps: Sequence[tuple[ModelConfig, ...]]) -> list[list[str]]:
        catalog = Catalog(load, stamp_of, drain_s=60)
        changes = [await catalog.follow(step) for step in steps]
        await catalog.close()
        return changes

    other = two.model_copy(update={"engine": {"kind": "mock", "tokens": 2}})
    changes = asyncio.run(run([(one,), (one, two), (one, two), (one, other), (two,)]))
    assert changes == [["+one"], ["+two"], [], ["+two"], ["+two", "-one"]]


def test_files_that_changed_are_read_again(tmp_path: Path) -> None:
    """A link to another release, as `releases/current` is one, and a list of words."""
    words, current = tmp_path / "words.txt", tmp_path / "current"
    words.write_text("禁句\n", encoding="utf-8")
    for name in ("a", "b"):
        write_release(tmp_path / name)
    current.symlink_to("a")
    filters = FilterConfig(ng_words=NgWordsFilter(file=words))
    wanted = (ModelConfig(path=current, name="kana", engine={"kind": "mock"}, filters=filters),)

    async def run() -> None:
        catalog = Catalog(load, stamp_of, drain_s=60)
        assert await catalog.follow(wanted) == ["+kana"]
        catalog.mount(load(ModelConfig(path=tmp_path / "b", name="guest", engine={"kind": "mock"})))
        assert await catalog.follow(wanted) == []
        words.write_text("禁句\n別の禁句\n", encoding="utf-8")
        assert await catalog.follow(wanted) == ["+kana"]
        current.unlink()
        with pytest.raises(TsuzuriError, match="holds no model"):
            await catalog.follow(wanted)
        current.symlink_to("b")
        assert await catalog.follow(wanted) == ["+kana"]
        assert await catalog.follow(wanted) == []
        await catalog.close()

    asyncio.run(run())


def test_of_a_configuration_with_a_mistake_nothing_is_followed(release: Path, plain_release: Path) -> None:
    one = ModelConfig(path=release, name="one", engine={"kind": "mock"})
    two = ModelConfig(path=plain_release, name="two", engine={"kind": "mock"})
    unnamed = ModelConfig(path=release, engine={"kind": "mock"})
    other = one.model_copy(update={"engine": {"kind": "mock", "tokens": 2}})
    made: list[Watched] = []

    def watched(wanted: ModelConfig) -> TextModel:
        made.append(Watched(load(wanted), str(len(made))))
        return made[-1]  # type: ignore[return-value]

    async def run(wrong: tuple[ModelConfig, ...], message: str) -> None:
        made.clear()
        catalog = Catalog(watched, stamp_of, drain_s=60)
        await catalog.follow((one, two))
        with pytest.raises(TsuzuriError, match=message):
            await catalog.follow(wrong)
        assert [model.facts.revision for model in catalog] == ["0", "1"]
        assert [model.is_closed for model in made] == [False, False, *[True] * (len(made) - 2)]
        assert len(made) > 2
        await catalog.close()

    asyncio.run(run((other, ModelConfig(path=Path("/nowhere"))), "holds no model"))
    asyncio.run(
        run((one, unnamed, unnamed.model_copy(update={"filters": FilterConfig(hold_characters=16)})), "two")
    )


def test_swapping_under_load_drops_nothing(release: Path, tmp_path: Path) -> None:
    """Requests of twelve clients while the model is swapped again and again by an administrator."""
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    accounts = AccountsConfig(database=DatabaseConfig(url=url), address_requests_per_minute=1_000_000)
    for name in ("a", "b"):
        write_release(tmp_path / "releases" / name)
    engine = {"kind": "mock", "tokens_per_s": 300.0}
    models = (ModelConfig(path=tmp_path / "releases" / "a", name="kana", engine=engine),)
    config = ServeConfig(port=0, models=models, accounts=accounts, releases_root=tmp_path / "releases")
    with running(config) as (address, _):
        admin = _key(url, admin=True)
        keys = [_key(url) for _ in range(4)]
        statuses: list[int] = []
        is_over = threading.Event()

        def client(number: int) -> None:
            while not is_over.is_set():
                asked = {"model": "kana", "prompt": "ある", "max_tokens": 30, "stream": number % 2 == 0}
                status, _, content = ask(address, "/v1/completions", asked, key=keys[number % 4])
                is_whole = not asked["stream"] or content.endswith(b"data: [DONE]\n\n")
                statuses.append(status if is_whole else 0)

        clients = [threading.Thread(target=client, args=(number,)) for number in range(12)]
        for thread in clients:
            thread.start()
        swaps = 0
        while swaps < 8 or len(statuses) < 36:
            asked = {"release": "ab"[swaps % 2], "name": "kana"}
            assert ask(address, "/admin/models", asked, key=admin)[0] == 200
            swaps += 1
        is_over.set()
        for thread in clients:
            thread.join()
        assert ask(address, "/admin/models/kana", method="DELETE", key=admin)[0] == 204
        assert ask(address, "/v1/completions", {"model": "kana", "prompt": ""}, key=keys[0])[0] == 404
        assert ask(address, "/ready")[0] == 503
    assert set(statuses) == {200}


@pytest.mark.parametrize("asked", [{"name": "kana"}, {}])
def test_a_swapped_model_keeps_its_engine_and_filters_and_the_act_is_in_the_audit_log(
    tmp_path: Path, asked: dict[str, str]
) -> None:
    """The command line names no model: what is served is called as its release calls itself."""
    url, root = f"sqlite:///{tmp_path / 'keys.db'}", tmp_path / "releases"
    (tmp_path / "words.txt").write_text("禁句\n", encoding="utf-8")
    filters = FilterConfig(ng_words=NgWordsFilter(file=tmp_path / "words.txt"))
    paths = [write_release(root / name) for name in ("plain", "kana", "next/kana")]
    engine = {"kind": "mock", "tokens": 3}
    config = ServeConfig(
        port=0,
        models=(
            ModelConfig(path=paths[0], engine={"kind": "mock"}),
            ModelConfig(path=paths[1], engine=engine, filters=filters),
        ),
        accounts=AccountsConfig(database=DatabaseConfig(url=url)),
        releases_root=root,
    )
    with running(config) as (address, server):
        admin = _key(url, admin=True)
        loaded = ask(address, "/admin/models", {"release": "next/kana", **asked}, key=admin)
        assert loaded[0] == 200, loaded
        assert (loaded[2]["id"], loaded[2]["tsuzuri"]["filters"]) == ("kana", ["ng_words"])
        answer = ask(
            address, "/v1/completions", {"model": "kana", "prompt": "雪", "max_tokens": 9}, key=admin
        )
        assert answer[2]["usage"]["completion_tokens"] == 3
        ask(address, "/admin/models/kana", method="DELETE", key=admin)
        again = ask(address, "/admin/models", {"release": "kana", **asked}, key=admin)
        assert again[2]["tsuzuri"]["filters"] == ["ng_words"]
        assert len(list(server.catalog)) == 2
        told = ask(address, "/admin/audit", key=admin)[2]["data"]
    acts = [(line["action"], line["subject"]) for line in told if line["action"].startswith("model.")]
    assert acts == [("model.load", "kana"), ("model.unload", "kana"), ("model.load", "kana")]
    assert {line["actor"] for line in told if line["action"].startswith("model.")} == {
        f"key:{admin.split('_')[1]}"
    }


def test_what_can_not_be_served_is_said_before_anything_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no model"):
        load(ModelConfig(path=tmp_path))


def _key(url: str, *, admin: bool = False) -> str:
    import json

    from tsuzuri.serving.accounts.commands import plans_set

    plans_set(
        "wide", database=url, requests_per_minute=1_000_000, concurrent_requests=100, tokens_per_day=10**9
    )
    return str(
        json.loads(keys_create(f"owner-{admin}", database=url, admin=admin, plan="wide", as_json=True))["key"]
    )
