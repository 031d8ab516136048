"""Connections that dawdle, flood, vanish or are no HTTP at all."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from servers import ask, running
from tsuzuri.serving.config import ServeConfig
from tsuzuri.serving.server import Server

SLOW = {"model": "slow", "prompt": "ある山", "max_tokens": 900}


@pytest.fixture(scope="module")
def impatient(config: ServeConfig) -> Iterator[Server]:
    """A server that waits for nobody longer than half a second."""
    limits = config.limits.model_copy(update={"header_s": 0.5, "body_s": 0.5, "write_s": 0.5})
    with running(config.model_copy(update={"limits": limits})) as (_, server):
        yield server


@contextmanager
def connected(address: str) -> Iterator[socket.socket]:
    """A connection of our own."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        yield connection


def rest(connection: socket.socket) -> bytes:
    """All that the server sends until it closes."""
    parts = []
    while True:
        try:
            part = connection.recv(65_536)
        except ConnectionResetError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


def refusal(answer: bytes) -> tuple[int, str]:
    """(status, code) of a refused connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["code"]


def post(body: bytes, *, path: str = "/v1/completions", length: int | None = None) -> bytes:
    """The bytes of a request."""
    size = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {size}\r\n\r\n".encode() + body


def eventually(is_so: Callable[[], bool], *, seconds: float = 10.0) -> bool:
    """Whether it becomes so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_so():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("sent", [b"", b"POST /v1/comp", b"GET / HTTP/1.1\r\nhost: localhost\r\nx-a: "])
def test_headers_that_do_not_come_are_not_waited_for(impatient: Server, sent: bytes) -> None:
    with connected(impatient.address) as connection:
        connection.sendall(sent)
        assert refusal(rest(connection)) == (408, "request_timeout")


def test_headers_that_trickle_are_not_waited_for(impatient: Server) -> None:
    with connected(impatient.address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        answer = b""
        connection.settimeout(0.1)
        for number in range(100):
            try:
                connection.sendall(f"x-{number}: 1\r\n".encode())
                answer = connection.recv(4096)
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
            if answer:
                break
        assert refusal(answer) == (408, "request_timeout")


def test_the_second_request_of_a_connection_is_not_waited_for_either(impatient: Server) -> None:
    with connected(impatient.address) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /hea")
        assert refusal(rest(connection)) == (408, "request_timeout")


def test_headers_without_end_are_cut_off(address: str) -> None:
    with connected(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"x-a: " + b"a" * 20_000)
        assert refusal(rest(connection)) == (431, "headers_too_large")


def test_a_body_that_does_not_come_is_not_waited_for(impatient: Server) -> None:
    with connected(impatient.address) as connection:
        connection.sendall(post(b'{"model"', length=1000))
        assert refusal(rest(connection)) == (408, "request_timeout")


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_what_is_no_http(address: str, sent: bytes) -> None:
    with connected(address) as connection:
        connection.sendall(sent)
        assert refusal(rest(connection)) == (400, "bad_http")


def test_bodies_of_two_lengths_are_refused(address: str) -> None:
    """Request smuggling: what stands between server and proxy must not read two different requests."""
    with connected(address) as connection:
        head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n"
        connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\n\r\n")
        assert refusal(rest(connection))[0] == 400


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_away_is_written_for_no_longer(server: Server, stream: bool) -> None:
    engine = server.catalog.look("slow")
    before = engine.stats()
    with connected(server.address) as connection:
        connection.sendall(post(json.dumps({**SLOW, "stream": stream}).encode()))
        assert eventually(lambda: engine.stats().running == 1)
        assert eventually(lambda: engine.stats().generated_tokens > before.generated_tokens)
    assert eventually(lambda: engine.stats().running == 0, seconds=2)
    after = engine.stats()
    assert after.finished.get("cancelled", 0) == before.finished.get("cancelled", 0) + 1
    assert after.generated_tokens - before.generated_tokens < 800


def test_who_does_not_read_is_cut_off(impatient: Server) -> None:
    """Tokens with twenty alternatives each fill every buffer between; then the engine stops too."""
    engine = impatient.catalog.look("kana")
    held = impatient.service
    with connected(impatient.address) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        body = {**SLOW, "model": "kana", "logprobs": 20, "n": 8, "max_tokens": 1000, "echo": True}
        connection.sendall(post(json.dumps(body).encode()))
        assert eventually(lambda: held.running == 0 and engine.stats().running == 0, seconds=20)


def test_pipelined_requests_are_answered_in_order(address: str) -> None:
    body = json.dumps({"model": "slow", "prompt": "", "max_tokens": 2, "seed": 1}).encode()
    with connected(address) as connection:
        connection.sendall(
            post(body) + b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        answer = rest(connection)
    assert answer.index(b"text_completion") < answer.index(b'{"status":"ok"}')


def test_one_more_than_may_be_answered_is_told_to_come_again(server: Server) -> None:
    limit = server.service.config.limits.requests
    jobs = [server.service.admit(object()) for _ in range(limit)]  # type: ignore[arg-type]
    for job in jobs:
        job.__enter__()
    try:
        status, headers, answer = ask(server.address, "/v1/completions", {"model": "kana", "prompt": ""})
    finally:
        for job in jobs:
            job.__exit__(None, None, None)
    assert status == 429
    assert answer["error"]["code"] == "server_overloaded"
    assert int(headers["retry-after"]) >= 1
    assert ask(server.address, "/health")[0] == 200
