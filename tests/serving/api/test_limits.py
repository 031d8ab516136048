"""Time, origins and proxies, each with a configuration of its own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from servers import ask, events, running
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.config import LimitsConfig, ModelConfig, ServeConfig
from tsuzuri.serving.models import Prompt, TextRequest

SLOW = {"kind": "mock", "tokens_per_s": 100.0, "slots": 2, "queue": 3}


def config_of(release: Path, **changes: Any) -> ServeConfig:
    models = (ModelConfig(path=release, name="slow", engine=SLOW),)
    return ServeConfig(port=0, models=models, **changes)


def test_an_answer_has_its_time(release: Path) -> None:
    """What was written by then is the answer."""
    with running(config_of(release, limits=LimitsConfig(request_s=0.3))) as (address, _):
        asked = {"model": "slow", "prompt": "ある", "max_tokens": 4000}
        status, _, answer = ask(address, "/v1/completions", asked)
        assert status == 200
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["tsuzuri"]["outcome"] == "timeout"
        assert 0 < answer["usage"]["completion_tokens"] < 4000
        *_, last, end = events(ask(address, "/v1/completions", {**asked, "stream": True})[2])
        assert end == "[DONE]"
        assert last["tsuzuri"]["outcome"] == "timeout"


def test_who_has_no_text_by_then_is_told_to_ask_again(release: Path) -> None:
    """Two that have no deadline hold the engine's places."""
    with running(config_of(release, limits=LimitsConfig(request_s=0.3))) as (address, server):
        request = TextRequest(Prompt((300,), ""), SamplingConfig(max_new_tokens=100_000))
        holding = [server.catalog.look("slow").complete(request) for _ in range(2)]
        asked = {"model": "slow", "prompt": "ある", "max_tokens": 4000}
        status, headers, answer = ask(address, "/v1/completions", asked)
        *_, last = events(ask(address, "/v1/completions", {**asked, "stream": True})[2])
        for held in holding:
            held.cancel()
    assert status == 503, str(answer)
    assert answer["error"]["code"] == "request_timeout"
    assert int(headers["retry-after"]) >= 1
    assert last["error"]["code"] == "request_timeout"


def test_an_engine_that_is_full_says_so(release: Path) -> None:
    with running(config_of(release)) as (address, server):
        asked = {"model": "slow", "prompt": "ある", "max_tokens": 100}
        statuses: list[int] = []
        clients = [
            threading.Thread(target=lambda: statuses.append(ask(address, "/v1/completions", asked)[0]))
            for _ in range(5)
        ]
        for client in clients:
            client.start()
        while server.catalog.look("slow").stats().waiting < 3:
            pass
        for stream in (False, True):
            status, headers, answer = ask(address, "/v1/completions", {**asked, "stream": stream, "n": 2})
            assert (status, answer["error"]["code"]) == (429, "engine_overloaded")
            assert answer["error"]["type"] == "rate_limit_error"
            assert int(headers["retry-after"]) >= 1
        for client in clients:
            client.join()
        assert statuses == [200] * 5
        assert b"tsuzuri:overloads_total 2.0" in ask(address, "/metrics")[2]
        assert server.service.running == 0


def test_an_origin_that_is_named_may_ask(release: Path) -> None:
    with running(config_of(release, cors_origins=("https://app.example",))) as (address, _):
        sent = "authorization,content-type,x-stainless-lang,x-stainless-retry-count"  # by OpenAI's npm client
        asked = {"access-control-request-method": "POST", "access-control-request-headers": sent}
        for origin, allowed in (
            ("https://app.example", "https://app.example"),
            ("https://evil.example", None),
        ):
            headers = {"origin": origin, **asked}
            status, answered, _ = ask(address, "/v1/completions", method="OPTIONS", headers=headers)
            assert answered.get("access-control-allow-origin") == allowed
            assert (status == 200) == bool(allowed)
            _, answered, _ = ask(address, "/v1/models", headers={"origin": origin})
            assert answered.get("access-control-allow-origin") == allowed
            assert not allowed or "x-ratelimit-remaining-tokens" in answered["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in answered


def test_a_proxy_is_believed_where_it_is_trusted(release: Path) -> None:
    """A server that believes any header lets everybody choose an address, and with it another rate limit."""
    headers = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
    for trusted in ((), ("127.0.0.1",)):
        with running(config_of(release, trusted_proxies=trusted)) as (address, _):
            _, answered, _ = ask(address, "/health", headers=headers)
            assert ("strict-transport-security" in answered) == bool(trusted)
