"""Our engine for other servers against a stand-in that speaks as vLLM, llama.cpp or a plain server do."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from tests.generation.conftest import ByteTokenizer

pytest.importorskip("httpx", reason="httpx is not installed: pip install 'tsuzuri[serve]'")

from tsuzuri.core.errors import InputError
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.generation.rules import TokenRules
from tsuzuri.serving.engines.base import EngineFailed, Overloaded, TokenRequest
from tsuzuri.serving.engines.upstream import UpstreamConfig, UpstreamEngine

WRITTEN = [40, 41, 42, 43]
END = 0


def vllm(token: int, wants: int) -> dict[str, Any]:
    found: dict[str, Any] = {"text": "", "token_ids": [token]}
    if wants:
        top = {f"token_id:{token}": -0.5, "token_id:9": -1.5}
        found["logprobs"] = {"tokens": [f"token_id:{token}"], "token_logprobs": [-0.5], "top_logprobs": [top]}
    return found


def llama_cpp(token: int, wants: int) -> dict[str, Any]:
    top = [{"id": token, "token": "x", "logprob": -0.5}, {"id": 9, "token": "y", "logprob": -1.5}]
    return {"text": "x", "logprobs": {"content": [{**top[0], "top_logprobs": top}]}}


def plain(token: int, wants: int) -> dict[str, Any]:
    return {"text": "" if token == END else chr(token - 3)}


class StandIn(ThreadingHTTPServer):
    """A server whose answers are set by the test."""

    daemon_threads = True
    speaks: Callable[[int, int], dict[str, Any]] = staticmethod(vllm)
    refusals: tuple[int, ...] = ()
    unknown: tuple[str, ...] = ()
    endless = False
    breaks_off = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.left = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append({**body, "authorization": self.headers.get("authorization")})
        if refused := [name for name in self.server.unknown if name in body]:
            self.send_response(400)
            self.end_headers()
            self.wfile.write(f"{refused[0]} is no parameter".encode())
            return
        if self.server.refusals:
            status, *rest = self.server.refusals
            self.server.refusals = tuple(rest)
            self.send_response(status)
            self.send_header("retry-after", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        if self.path.endswith("embeddings"):
            data = [{"index": index, "embedding": [3.0, 4.0 * index]} for index in range(len(body["input"]))]
            self.wfile.write(json.dumps({"data": data[::-1]}).encode())
            return
        try:
            self.write(body.get("logprobs", 0))
        except (BrokenPipeError, ConnectionResetError):
            self.server.left.set()

    def write(self, wants: int) -> None:
        tokens = WRITTEN * 100_000 if self.server.endless else [*WRITTEN, END]
        for token in tokens:
            self.event({"choices": [self.server.speaks(token, wants)]})
            if self.server.breaks_off:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            time.sleep(0.01 if self.server.endless else 0)
        self.event({"choices": [{"text": "", "finish_reason": "stop"}]})
        self.event({"choices": [], "usage": {"completion_tokens": 4}})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, value: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")


@pytest.fixture
def server() -> Iterator[StandIn]:
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def opened(server: StandIn, rules: TokenRules, monkeypatch: pytest.MonkeyPatch) -> Iterator[UpstreamEngine]:
    monkeypatch.setenv("TSUZURI_UPSTREAM_KEY", "secret")
    config = UpstreamConfig(base_url=server.url, model="theirs", retries=2, slots=2, queue=1)
    engine = UpstreamEngine(
        config,
        rules,
        lambda text: ByteTokenizer().encode_batch([text])[0],
        name="ours",
        vocab_size=260,
        context=64,
    )
    yield engine
    engine.close()


def request(**fields: Any) -> TokenRequest:
    sampling = {name: fields.pop(name) for name in list(fields) if name in SamplingConfig.model_fields}
    return TokenRequest((5, 6), SamplingConfig(**sampling), **fields)


@pytest.mark.parametrize("speaks", [vllm, llama_cpp, plain])
@pytest.mark.parametrize("wants", [0, 2])
def test_ids_come_back_from_every_kind_of_server(
    server: StandIn, opened: UpstreamEngine, speaks: Callable[[int, int], dict[str, Any]], wants: int
) -> None:
    server.speaks = speaks
    events = list(opened.submit(request(seed=7, max_new_tokens=9, top_logprobs=wants, logit_bias={8: -1.0})))
    tokens = [token for event in events for token in event.tokens]
    assert [token.id for token in tokens] == WRITTEN
    assert events[-1].finish == "stop"
    if wants and speaks is not plain:
        assert tokens[0].logprob == -0.5
        assert tokens[0].top == ((40, -0.5), (9, -1.5))
    (body,) = server.bodies
    assert body["prompt"] == [0, 5, 6]
    assert (body["seed"], body["max_tokens"], body["logit_bias"]) == (7, 9, {"8": -1.0})
    assert body["authorization"] == "Bearer secret"
    assert opened.stats().generated_tokens == 4


def test_what_an_earlier_attempt_wrote_is_read_and_not_written_again(
    server: StandIn, opened: UpstreamEngine
) -> None:
    list(opened.submit(request(max_new_tokens=9, min_new_tokens=1, written=(7, 8))))
    (body,) = server.bodies
    assert body["prompt"] == [0, 5, 6, 7, 8]
    assert (body["max_tokens"], body["min_tokens"]) == (7, 0)


def test_what_a_server_does_not_know_it_is_not_told_again(server: StandIn, opened: UpstreamEngine) -> None:
    server.unknown, server.speaks = ("repeat_penalty", "return_token_ids"), plain
    for _ in range(2):
        events = list(opened.submit(request(max_new_tokens=9)))
        assert [token.id for event in events for token in event.tokens] == WRITTEN
    assert len(server.bodies) == 4
    assert "return_tokens_as_token_ids" in server.bodies[-1]
    server.unknown = ("temperature",)
    with pytest.raises(InputError, match="temperature is no parameter"):
        list(opened.submit(request(max_new_tokens=9)))


def test_a_busy_server_is_asked_again_and_a_refusing_one_is_believed(
    server: StandIn, opened: UpstreamEngine
) -> None:
    server.refusals = (503, 429)
    assert list(opened.submit(request()))[-1].finish == "stop"
    assert len(server.bodies) == 3
    for status, error in ((400, InputError), (500, EngineFailed), (404, EngineFailed)):
        server.refusals = (status,)
        with pytest.raises(error, match=str(status)):
            list(opened.submit(request()))
    assert len(server.bodies) == 6
    server.refusals = (429,) * 9
    with pytest.raises(Overloaded):
        list(opened.submit(request()))


def test_what_breaks_off_is_not_begun_anew(server: StandIn, opened: UpstreamEngine) -> None:
    server.breaks_off = True
    generation = opened.submit(request())
    with pytest.raises(EngineFailed):
        list(generation)
    assert len(server.bodies) == 1


def test_leaving_closes_the_stream(server: StandIn, opened: UpstreamEngine) -> None:
    server.endless = True
    with opened.submit(request()) as generation:
        next(generation)
    assert list(generation)[-1].finish == "cancelled"
    assert server.left.wait(10)
    late = opened.submit(request(deadline=time.monotonic() + 0.05))
    assert list(late)[-1].finish == "timeout"
    assert (opened.stats().running, opened.stats().waiting) == (0, 0)


def test_beyond_its_queue_it_refuses_and_closing_ends_what_runs(
    server: StandIn, opened: UpstreamEngine
) -> None:
    server.endless = True
    generations = [opened.submit(request()) for _ in range(3)]
    with pytest.raises(Overloaded):
        opened.submit(request())
    opened.close()
    for generation in generations:
        with pytest.raises(EngineFailed):
            list(generation)
    with pytest.raises(EngineFailed):
        opened.submit(request())


def test_vectors_come_in_order_and_of_length_one(opened: UpstreamEngine) -> None:
    assert np.allclose(opened.embed([[5], [6]]), [[1.0, 0.0], [0.6, 0.8]])


def test_what_it_cannot_do_is_said(opened: UpstreamEngine) -> None:
    with pytest.raises(InputError, match="prompts"):
        opened.submit(request(prompt_logprobs=True))
    with pytest.raises(InputError, match="no_repeat_ngram"):
        list(opened.submit(request(no_repeat_ngram=3)))


def test_a_server_that_is_not_there_is_named(rules: TokenRules) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        config = UpstreamConfig(base_url=url, model="theirs", retries=1)
        engine = UpstreamEngine(config, rules, lambda text: [], name="ours", vocab_size=260, context=64)
        with pytest.raises(EngineFailed, match="base URL"):
            list(engine.submit(request()))
        engine.close()
