"""What a hostile, broken or careless client meets: the right status, an error in OpenAI's shape, no leak."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

import pytest

from servers import ask, running
from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import RecipeError
from tsuzuri.serving.config import LimitsConfig, ServeConfig

ASKED = {"model": "kana", "prompt": "秘密の文章", "max_tokens": 2}


def checked(status: int, answer: Any, wanted: int, code: str) -> dict[str, Any]:
    """The error of an answer."""
    assert status == wanted, answer
    error = dict(answer["error"])
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert "秘密" not in json.dumps(answer, ensure_ascii=False)
    assert "Traceback" not in error["message"]
    assert "site-packages" not in error["message"]
    return error


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b'"text"',
        b"null",
        b"\xff\xfe{",
        b'{"model": "kana", "prompt": "\xe3\x81"}',
        b'{"model": "kana", "prompt": "\x00"',
        b"[" * 50_000,
        b'{"a":' * 5_000,
        b'{"model": "kana", "n": ' + b"9" * 5_000 + b"}",
        b'{"model": "kana", "temperature": NaN}',
        b'{"model": "kana", "temperature": 1e999}',
        b'{"model": "kana", "prompt": "\\ud800"}',
        b'{"model": "kana", "prompt": ["\\udfff"]}',
        b'{"model": "\\ud800"}',
        b'{"model": "kana", "\\ud800": 1}',
    ],
)
def test_bodies_that_are_none(address: str, body: bytes) -> None:
    status, headers, answer = ask(address, "/v1/completions", body, method="POST")
    assert status == 400, answer
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe{",
        '{"model": "kana", "prompt": "朝"}'.encode("cp932"),
        b'{"model": "kana", "prompt": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b"\x1f\x8b compressed",
    ],
)
def test_what_is_wrong_with_a_body_is_said(address: str, body: bytes) -> None:
    status, _, answer = ask(address, "/v1/completions", body, method="POST")
    assert "JSON object in UTF-8" in checked(status, answer, 400, "bad_json")["message"]


def test_no_path_leads_elsewhere(address: str) -> None:
    status, headers, answer = ask(address, "/v1/completions/", ASKED)
    checked(status, answer, 404, "not_found")
    assert "location" not in headers


def test_a_body_that_is_too_large(address: str) -> None:
    status, _, answer = ask(address, "/v1/completions", {**ASKED, "prompt": "秘密" * 40_000})
    checked(status, answer, 413, "body_too_large")


def test_beyond_what_all_bodies_may_take_a_request_is_told_to_come_again(config: ServeConfig) -> None:
    """The bodies of requests that run count too: a stream holds its own to its end."""
    limits = config.limits.model_copy(update={"body_bytes": 40_000, "bodies_bytes": 60_000})
    with running(config.model_copy(update={"limits": limits})) as (address, _):
        large = {"model": "slow", "prompt": "", "max_tokens": 900, "user": "秘密" * 5_000}  # 30 KB
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
        body = json.dumps({**large, "stream": True}, ensure_ascii=False).encode()
        connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
        assert connection.getresponse().status == 200
        body = json.dumps(large, ensure_ascii=False).encode()
        status, headers, answer = ask(address, "/v1/completions", body)
        checked(status, answer, 429, "server_overloaded")
        assert int(headers["retry-after"]) >= 1
        assert ask(address, "/v1/completions", {**ASKED, "model": "kana"})[0] == 200
        connection.close()
        while (status := ask(address, "/v1/completions", body.replace(b"slow", b"kana"))[0]) == 429:
            time.sleep(0.01)
        assert status == 200
    with pytest.raises(RecipeError, match="must hold one"):
        parse_config(LimitsConfig, {"bodies_bytes": 2048}, where="limits")


def test_a_body_of_another_type_goes_no_further(address: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        status, _, answer = ask(address, "/v1/completions", ASKED, headers={"content-type": kind})
        checked(status, answer, 415, "not_json")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/completions", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/models/nobody", 404, "model_not_found"),
        ("GET", "/v1/models/..%2f..%2fetc%2fpasswd", 404, "model_not_found"),
        ("POST", "/admin/models", 403, "admin_key_required"),
        ("DELETE", "/admin/models/kana", 403, "admin_key_required"),
    ],
)
def test_paths_that_are_none(address: str, method: str, path: str, status: int, code: str) -> None:
    body = {"release": "x"} if method == "POST" else None
    found, _, answer = ask(address, path, body, method=method)
    checked(found, answer, status, code)


def test_every_answer_has_headers_that_browsers_obey(address: str) -> None:
    for path in ("/v1/models", "/v1/nothing", "/docs", "/health"):
        _, headers, _ = ask(address, path)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert not [name for name in headers if name.startswith("access-control")]
        assert "server" not in headers


def test_another_origin_is_told_nothing(address: str) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    _, answered, _ = ask(address, "/v1/completions", method="OPTIONS", headers=headers)
    assert not [name for name in answered if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "127.0.0.1.evil.example"])
def test_a_server_without_keys_answers_to_the_names_of_loopback_alone(address: str, host: str) -> None:
    status, _, answer = ask(address, "/v1/models", headers={"host": host})
    checked(status, answer, 403, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:9", "[::1]:8000", "[::1]"])
def test_those_names(address: str, host: str) -> None:
    assert ask(address, "/v1/models", headers={"host": host})[0] == 200


def test_the_page_of_the_api_loads_nothing(address: str) -> None:
    status, _, page = ask(address, "/docs")
    text = page.decode()
    assert status == 200
    assert "/v1/chat/completions" in text
    assert "<script" not in text
    assert "src=" not in text
    assert "//" not in text.replace("http://127.0.0.1:8000", "").replace("https://example.jp", "")


def test_the_description_names_no_status_that_is_not_answered(address: str) -> None:
    _, _, described = ask(address, "/openapi.json")
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert "422" not in operation["responses"], (path, method)
    assert {"/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/v1/models"} <= set(
        described["paths"]
    )
