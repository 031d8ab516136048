"""/v1/embeddings: vectors as numbers and as base64."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from servers import ask
from tsuzuri.serving.engines.mock import MockEngine
from tsuzuri.tokenizer.codec import Tokenizer


def embed(address: str, **asked: Any) -> dict[str, Any]:
    status, _, answer = ask(address, "/v1/embeddings", {"model": "kana", **asked})
    assert status == 200, answer
    return dict(answer)


def test_vectors_of_texts(address: str, engine: MockEngine, tokenizer: Tokenizer) -> None:
    texts = ["朝", "東京の夜"]
    answer = embed(address, input=texts)
    wanted = engine.embed([tokenizer.encode(text) for text in texts])
    assert np.allclose([item["embedding"] for item in answer["data"]], wanted)
    assert [item["index"] for item in answer["data"]] == [0, 1]
    tokens = sum(len(tokenizer.encode(text)) for text in texts)
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    coded = embed(address, input=texts, encoding_format="base64")["data"][1]["embedding"]
    assert np.array_equal(np.frombuffer(base64.b64decode(coded), "<f4"), wanted[1])
    assert embed(address, input=tokenizer.encode("朝"))["data"][0] == answer["data"][0]


@pytest.mark.parametrize(
    "asked", [{"input": []}, {"input": "朝", "dimensions": 3}, {"input": "朝", "model": 1}]
)
def test_what_is_refused(address: str, asked: dict[str, Any]) -> None:
    status, _, answer = ask(address, "/v1/embeddings", {"model": "kana", **asked})
    assert status == 400
    assert answer["error"]["param"] in ("input", "dimensions", "model")
