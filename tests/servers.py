"""A server of our own for tests: the real one, in a thread, on a free port of this machine."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import builds
from tsuzuri.core.files import write_json, write_text
from tsuzuri.serving.app import Guest
from tsuzuri.serving.config import ServeConfig
from tsuzuri.serving.server import Server
from tsuzuri.tokenizer.config import Boundary, TokenizerConfig
from tsuzuri.tokenizer.train import learn_tokenizer

VOCABULARY = 512
CONTEXT = 256
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_release(
    folder: Path, *, template: str | None = None, vocabulary: int = VOCABULARY, **settings: Any
) -> Path:
    """A folder with all of a release but its weights: what the mock engine needs."""
    texts = [text for pair in builds.STORIES.values() for text in pair] * 4
    description, tokenizer_settings = learn_tokenizer(
        texts, TokenizerConfig(vocab_size=vocabulary, boundary=Boundary.NONE)
    )
    write_text(folder / "tokenizer.json", description)
    named = {**json.loads(tokenizer_settings), **({"chat_template": template} if template else {})}
    write_json(folder / "tokenizer_config.json", named)
    shape = {
        "vocab_size": vocabulary,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    write_json(folder / "config.json", shape)
    write_json(folder / "generation_config.json", {"do_sample": True, "max_new_tokens": 16, **settings})
    return folder


@contextmanager
def running(config: ServeConfig, guests: Sequence[Guest] = ()) -> Iterator[tuple[str, Server]]:
    """(address, server) of a server with this configuration while this lasts."""
    server = Server(config, guests=guests)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield server.address, server
    finally:
        server.should_exit = True
        thread.join()


def ask(
    address: str,
    path: str,
    body: Any = None,
    *,
    method: str | None = None,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, str], Any]:
    """(status, headers, parsed JSON or bytes) of one request; a body that is no bytes is sent as JSON."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    sent = {"content-type": "application/json"} if data is not None else {}
    if key is not None:
        sent["authorization"] = f"Bearer {key}"
    try:
        connection.request(
            method or ("GET" if body is None else "POST"), path, data, {**sent, **(headers or {})}
        )
        answer = connection.getresponse()
        content = answer.read()
        named = {name.lower(): value for name, value in answer.getheaders()}
        is_json = bool(content) and named.get("content-type", "").startswith("application/json")
        return answer.status, named, json.loads(content) if is_json else content
    finally:
        connection.close()


def events(content: bytes) -> list[Any]:
    """The events of a stream, the last of which is "[DONE]"."""
    lines = [line for line in content.decode().split("\n\n") if line.startswith("data: ")]
    return [
        text if text == "[DONE]" else json.loads(text)
        for text in (line.removeprefix("data: ") for line in lines)
    ]
