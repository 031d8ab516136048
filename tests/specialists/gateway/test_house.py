"""The whole house over HTTP, with real workers and every kind of broker: one model to OpenAI's client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from buses import OpenBus, until
from servers import ask
from whole_houses import ALIAS, Whole, write_releases

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By specialist; each has a tokenizer of its own."""
    return write_releases(tmp_path_factory.mktemp("releases"))


@pytest.fixture
def whole(open_bus: OpenBus, prefix: str, releases: dict[str, Path]) -> Iterator[Whole]:
    """A house without workers yet."""
    found = Whole(open_bus, prefix, releases)
    with found.stack:
        yield found


def test_openai_s_client_sees_one_model_that_goes_on_though_workers_die(whole: Whole) -> None:
    first = whole.worker("general")
    whole.worker("law")
    whole.admit(general={"r1": 1.0}, law={"r1": 1.0})
    assert [model.id for model in whole.client.models.list()] == [
        ALIAS,
        f"{ALIAS}/general",
        f"{ALIAS}/law",
    ]
    expected = whole.text("むかし", tokens=150)
    assert expected.tsuzuri["specialist"] == "general"
    assert expected.usage.completion_tokens == 150
    assert whole.text("民法は").tsuzuri["specialist"] == "law"
    chat = whole.client.chat.completions.create(
        model=ALIAS, messages=[{"role": "user", "content": "民法とは"}], max_tokens=8, seed=1
    )
    assert chat.choices[0].message.content

    second = whole.worker("general")
    streams: dict[int, list[Any]] = {number: [] for number in range(8)}

    def read(number: int) -> None:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        for part in whole.text("むかし", tokens=150, **options):
            streams[number].append(part)

    threads = [threading.Thread(target=read, args=(number,)) for number in streams]
    for thread in threads:
        thread.start()
    # Keys decide who is given what, so one of the two may have them all, or begin later than the other.
    until(lambda: any(len(parts) > 3 for parts in streams.values()))
    max((first, second), key=lambda worker: worker.running).kill()
    for thread in threads:
        thread.join()
    for parts in streams.values():
        *told, usage = parts
        assert "".join(part.choices[0].text for part in told) == expected.choices[0].text
        assert usage.usage == expected.usage, "nothing is billed twice"
    assert whole.guest.gateway.ledger.counts["resumed"] >= 1


def test_a_specialist_that_is_lost_is_taken_over_by_another_tokenizer(whole: Whole) -> None:
    whole.worker("general")
    law = whole.worker("law")
    whole.admit(general={"r1": 1.0}, law={"r1": 1.0})
    alone = whole.text("民法は").choices[0].text
    text, shown, told = "", "", None
    for part in whole.text("民法は", stream=True, stream_options={"include_usage": True}):
        if not text:
            law.kill()
        if part.choices:
            text += part.choices[0].text
            shown = shown or text
            told = getattr(part, "tsuzuri", None) or told
        else:
            usage = part.usage
    assert shown
    assert alone.startswith(shown)
    assert text.startswith(shown)
    assert len(text) > len(shown)
    assert told is not None
    assert told["specialist"] == "general"
    assert "nobody who should answer for law is up" in told["why"]
    assert usage.completion_tokens == 40


def test_revisions_are_swapped_under_load_and_nobody_notices(whole: Whole) -> None:
    for revision in ("r1", "r2"):
        whole.worker("general", revision)
    whole.admit(general={"r1": 1.0})
    failed: list[BaseException] = []
    seen: list[str] = []
    is_over = threading.Event()

    def load_on() -> None:
        while not is_over.is_set():
            try:
                seen.append(whole.text("むかし", tokens=4).tsuzuri["revision"])
            except BaseException as error:
                failed.append(error)

    threads = [threading.Thread(target=load_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    for swap in range(20):
        revision = f"r{1 + (swap + 1) % 2}"
        whole.admit(general={revision: 1.0})
        until(partial(_is_told, failed, seen, revision))
    is_over.set()
    for thread in threads:
        thread.join()
    assert not failed
    told = ask(whole.address, "/admin/specialists")[2]
    assert sum(one["outcomes"].get("done", 0) for one in told["specialists"]) == sum(
        sum(one["outcomes"].values()) for one in told["specialists"]
    )


def _is_told(failed: list[BaseException], seen: list[str], revision: str) -> bool:
    """Whether the last answer was a revision's, or there is no need to wait for it."""
    return bool(failed) or seen[-1:] == [revision]
