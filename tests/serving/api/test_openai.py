"""The official clients of OpenAI's API work unchanged."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from servers import ask

PROMPT = "ある山の中に"


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_completions(client: openai.OpenAI) -> None:
    asked = {"model": "slow", "prompt": PROMPT, "max_tokens": 6, "seed": 1}
    whole = client.completions.create(**asked, logprobs=2, n=2)  # type: ignore[call-overload]
    assert whole.usage.completion_tokens == 12
    assert len(whole.choices[1].logprobs.token_logprobs) == 6
    stream = client.completions.create(**asked, stream=True, stream_options={"include_usage": True})  # type: ignore[call-overload]
    parts = list(stream)
    assert "".join(part.choices[0].text for part in parts if part.choices) == whole.choices[0].text
    assert parts[-1].usage.completion_tokens == 6
    extra = client.completions.create(
        **asked, extra_body={"min_p": 0.1, "top_k": 5, "repetition_penalty": 1.1}
    )  # type: ignore[call-overload]
    assert extra.choices[0].finish_reason == "length"


def test_conversations(client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": PROMPT}]
    asked = {"model": "slow", "messages": messages, "max_tokens": 6, "seed": 1}
    whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=1)  # type: ignore[call-overload]
    assert len(whole.choices[0].logprobs.content) == 6
    parts = list(client.chat.completions.create(**asked, stream=True))  # type: ignore[call-overload]
    text = "".join(part.choices[0].delta.content or "" for part in parts)
    assert text == whole.choices[0].message.content


def test_vectors_and_models(client: openai.OpenAI) -> None:
    vectors = client.embeddings.create(model="kana", input=["朝", "夜"])  # asks for base64 itself
    assert [len(item.embedding) for item in vectors.data] == [8, 8]
    assert [model.id for model in client.models.list()] == ["kana", "plain", "slow"]
    assert client.models.retrieve("kana").owned_by == "tsuzuri"


def test_errors_are_raised_as_its_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no model"):
        client.completions.create(model="nobody", prompt="")
    with pytest.raises(openai.BadRequestError, match="repetition_penalty") as caught:
        client.completions.create(model="kana", prompt="", presence_penalty=1)
    assert caught.value.param == "presence_penalty"
    assert caught.value.request_id


def test_a_wrong_key_is_an_authentication_error(keyed: tuple[str, str]) -> None:
    with (
        openai.OpenAI(base_url=f"{keyed[0]}/v1", api_key="tsz_wrong") as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


SCRIPT = """
import OpenAI from "openai";
const client = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "none", maxRetries: 0 });
const asked = { model: "slow", prompt: "ある山の中に", max_tokens: 6, seed: 1 };
const whole = await client.completions.create(asked);
let text = "", usage = null;
const streamed = { ...asked, stream: true, stream_options: { include_usage: true } };
for await (const part of await client.completions.create(streamed)) {
  if (part.choices.length) text += part.choices[0].text;
  usage = part.usage ?? usage;
}
const talk = { model: "slow", messages: [{ role: "user", content: "ある山" }], seed: 1 };
let said = "";
for await (const part of await client.chat.completions.create({ ...talk, stream: true }))
  said += part.choices[0].delta.content ?? "";
const answer = await client.chat.completions.create(talk);
const vectors = await client.embeddings.create({ model: "kana", input: ["朝", "夜"] });
const models = [];
for await (const model of client.models.list()) models.push(model.id);
let refused = null;
try {
  await client.completions.create({ ...asked, model: "nobody" });
} catch (error) {
  refused = [error.constructor.name, error.code];
}
console.log(JSON.stringify({
  whole: whole.choices[0].text, text, usage, said, answer: answer.choices[0].message.content,
  vectors: vectors.data.map((item) => item.embedding.length), models, refused,
}));
"""


@pytest.mark.large  # npm fetches the package
def test_the_npm_client(address: str, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    (tmp_path / "package.json").write_text('{"type": "module", "private": true}')
    (tmp_path / "ask.js").write_text(SCRIPT)
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "openai"]
    if subprocess.run(install, cwd=tmp_path, check=False, timeout=250, capture_output=True).returncode:
        pytest.skip("npm can't fetch the package openai")
    done = subprocess.run(
        ["node", "ask.js", address], cwd=tmp_path, check=False, timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    asked = {"model": "slow", "prompt": PROMPT, "max_tokens": 6, "seed": 1}
    assert told["whole"] == told["text"] == ask(address, "/v1/completions", asked)[2]["choices"][0]["text"]
    assert told["usage"]["completion_tokens"] == 6
    assert told["said"] == told["answer"]
    assert told["vectors"] == [8, 8]
    assert told["models"] == ["kana", "plain", "slow"]
    assert told["refused"] == ["NotFoundError", "model_not_found"]
