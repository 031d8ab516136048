"""The API with keys: who may, how much is left, and what an administrator may change while it runs."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from servers import ask, events
from tsuzuri.serving.accounts.commands import keys_create, keys_revoke, plans_set

Keyed = tuple[str, str]
ASKED = {"model": "kana", "prompt": "ある山", "max_tokens": 5}


def new_key(url: str, account: str, **terms: Any) -> str:
    made = json.loads(keys_create(account, database=url, as_json=True, **terms))
    return str(made["key"])


@pytest.fixture(scope="module")
def key(keyed: Keyed) -> str:
    plans_set("free", database=keyed[1], requests_per_minute=100_000, tokens_per_day=10_000_000)
    return new_key(keyed[1], "reader", plan="free")


@pytest.fixture(scope="module")
def admin(keyed: Keyed) -> str:
    return new_key(keyed[1], "owner", admin=True)


def usage(address: str, key: str) -> dict[str, Any]:
    status, _, answer = ask(address, "/account/usage", key=key)
    assert status == 200, answer
    return dict(answer)


def test_who_has_no_key_may_nothing(keyed: Keyed, key: str) -> None:
    address, url = keyed
    expired = new_key(url, "late", expires_days=1e-9)
    revoked = new_key(url, "gone")
    keys_revoke([revoked.split("_")[1]], database=url)
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    for bearer in (None, "", "sk-x", wrong, expired, revoked, "é", key + "x"):
        for path, body in (("/v1/models", None), ("/v1/completions", ASKED), ("/v1/embeddings", ASKED)):
            status, headers, answer = ask(address, path, body, key=bearer)
            assert status == 401, (bearer, answer)
            assert answer["error"]["type"] == "authentication_error"
            assert bearer is None or len(bearer) < 9 or bearer not in json.dumps(answer)
            assert headers["x-request-id"]


def test_a_key_is_asked_for_before_the_request_is_looked_at(keyed: Keyed) -> None:
    status, _, answer = ask(keyed[0], "/v1/completions", {"model": "nobody", "temperature": "hot"})
    assert status == 401, answer


def test_a_key_of_one_model(keyed: Keyed) -> None:
    address, url = keyed
    key = new_key(url, "narrow", models=["plain"])
    assert ask(address, "/v1/completions", {**ASKED, "model": "plain"}, key=key)[0] == 200
    for model in ("kana", "nobody"):
        status, _, answer = ask(address, "/v1/completions", {**ASKED, "model": model}, key=key)
        assert (status, answer["error"]["type"]) == (403, "permission_error")
    listed = ask(address, "/v1/models", key=key)[2]["data"]
    assert [model["id"] for model in listed] == ["plain"]
    assert ask(address, "/v1/models/kana", key=key)[0] == 403


def test_what_is_left_stands_in_the_headers(keyed: Keyed) -> None:
    address, url = keyed
    plans_set("small", database=url, requests_per_minute=2, tokens_per_day=1000)
    key = new_key(url, "small", plan="small")
    status, headers, _ = ask(address, "/v1/completions", ASKED, key=key)
    assert status == 200
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert headers["x-ratelimit-remaining-requests"] == "1"
    assert headers["x-ratelimit-limit-tokens"] == "1000"
    streamed = ask(address, "/v1/completions", {**ASKED, "stream": True}, key=key)
    assert streamed[1]["x-ratelimit-remaining-requests"] == "0"
    status, headers, answer = ask(address, "/v1/completions", ASKED, key=key)
    assert status == 429
    assert answer["error"]["type"] == "rate_limit_error"
    assert int(headers["retry-after"]) >= 1


def test_a_quota_is_kept(keyed: Keyed) -> None:
    address, url = keyed
    plans_set("tiny", database=url, requests_per_minute=1000, tokens_per_day=30)
    key = new_key(url, "tiny", plan="tiny")
    assert ask(address, "/v1/completions", {**ASKED, "max_tokens": 1000}, key=key)[0] == 429
    assert ask(address, "/v1/completions", {**ASKED, "max_tokens": 20}, key=key)[0] == 200
    assert ask(address, "/v1/completions", {**ASKED, "max_tokens": 20}, key=key)[0] == 429


def test_what_is_billed_is_what_was_answered(keyed: Keyed) -> None:
    address, url = keyed
    plans_set("wide", database=url, requests_per_minute=100_000, concurrent_requests=100)
    key = new_key(url, "billed", plan="wide")

    def one(number: int) -> int:
        asked = {**ASKED, "n": 1 + number % 3, "max_tokens": 1 + number % 7}
        if number % 2:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
            return int(
                events(ask(address, "/v1/completions", asked, key=key)[2])[-2]["usage"]["total_tokens"]
            )
        return int(ask(address, "/v1/completions", asked, key=key)[2]["usage"]["total_tokens"])

    with ThreadPoolExecutor(16) as pool:
        told = sum(pool.map(one, range(64)))
    embedded = ask(address, "/v1/embeddings", {"model": "kana", "input": ["朝", "夜"]}, key=key)[2]
    told += embedded["usage"]["total_tokens"]
    ask(address, "/v1/completions", {**ASKED, "model": "nobody"}, key=key)
    ask(address, "/v1/completions", {**ASKED, "n": 9}, key=key)
    assert (
        ask(address, "/v1/embeddings", {"model": "kana", "input": "朝", "dimensions": 3}, key=key)[0] == 400
    )
    assert str(told) in json.dumps(usage(address, key))


def test_an_administrator_loads_swaps_and_unloads(keyed: Keyed, key: str, admin: str, release: Path) -> None:
    address, _ = keyed
    for bearer, status in ((key, 403), (None, 401)):
        assert ask(address, "/admin/models", {"release": release.name}, key=bearer)[0] == status
    for path in ("nothing", "..", "/etc", "../" * 9 + "etc", "\x00"):
        status, _, answer = ask(address, "/admin/models", {"release": path}, key=admin)
        assert status == 400, answer
    status, _, answer = ask(address, "/admin/models", {"release": "."}, key=admin)
    assert (status, answer["error"]["code"]) == (400, "release_not_loaded")
    assert str(release.parent) not in answer["error"]["message"]
    assert ask(address, "/admin/models/nobody", method="DELETE", key=admin)[0] == 404


def test_metrics_are_for_this_machine_and_administrators(keyed: Keyed, key: str, admin: str) -> None:
    address, _ = keyed
    status, headers, text = ask(address, "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    assert b'tsuzuri:generation_tokens_total{model_name="kana"}' in text
    assert b"tsuzuri:time_to_first_token_seconds_bucket" in text
    proxied = {"x-forwarded-for": "203.0.113.9"}
    assert ask(address, "/metrics", headers=proxied)[0] == 401
    assert ask(address, "/metrics", headers=proxied, key=key)[0] == 403
    assert ask(address, "/metrics", headers=proxied, key=admin)[0] == 200


def test_an_answer_of_a_client_that_left_is_billed(keyed: Keyed) -> None:
    import http.client

    address, url = keyed
    key = new_key(url, "leaver", plan="wide")
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    body = json.dumps({"model": "slow", "prompt": "ある山", "max_tokens": 900, "stream": True})
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    connection.request("POST", "/v1/completions", body, headers)
    answer = connection.getresponse()
    assert answer.readline().startswith(b"data: ")
    answer.close()
    connection.close()
    end = time.monotonic() + 10
    while '"total_tokens": 0' in json.dumps(usage(address, key)) and time.monotonic() < end:
        time.sleep(0.02)
    text = json.dumps(usage(address, key))
    assert '"total_tokens": 0' not in text, text
