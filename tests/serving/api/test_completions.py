"""/v1/completions: what a text is continued by, whole and in parts, as OpenAI's clients expect it."""

from __future__ import annotations

from typing import Any

import pytest

from servers import ask, events
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.engines.base import TokenRequest
from tsuzuri.serving.engines.mock import MockEngine
from tsuzuri.tokenizer.codec import Tokenizer

PROMPT = "ある山の中に"


def complete(address: str, **asked: Any) -> dict[str, Any]:
    status, _, answer = ask(address, "/v1/completions", {"model": "kana", "prompt": PROMPT, **asked})
    assert status == 200, answer
    return dict(answer)


def refused(address: str, path: str = "/v1/completions", **asked: Any) -> dict[str, Any]:
    status, _, answer = ask(address, path, {"model": "kana", **asked})
    assert status == 400, answer
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    return dict(answer["error"])


def expected(engine: MockEngine, tokenizer: Tokenizer, prompt: str, *, seed: int, tokens: int) -> str:
    """What the mock says, decoded by the tokenizer."""
    sampling = SamplingConfig(max_new_tokens=tokens, seed=seed)
    return tokenizer.decode(engine.expected(TokenRequest(tuple(tokenizer.encode(prompt)), sampling)))


def test_a_text_is_continued(address: str, engine: MockEngine, tokenizer: Tokenizer) -> None:
    answer = complete(address, max_tokens=6, seed=5)
    assert answer["object"] == "text_completion"
    assert answer["model"] == "kana"
    [choice] = answer["choices"]
    assert choice["text"] == expected(engine, tokenizer, PROMPT, seed=5, tokens=6)
    assert choice["finish_reason"] == "length"
    assert choice["logprobs"] is None
    read = len(tokenizer.encode(PROMPT))
    assert answer["usage"] == {
        "prompt_tokens": read,
        "completion_tokens": 6,
        "total_tokens": read + 6,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert answer["timings"]["predicted_n"] == 6
    assert answer["tsuzuri"]["outcome"] == "complete"


def test_the_release_says_how_long_a_text_is(address: str) -> None:
    assert complete(address)["usage"]["completion_tokens"] == 16
    assert complete(address, model="plain")["choices"][0]["finish_reason"] == "stop"


def test_samples_have_the_seeds_that_follow(address: str) -> None:
    three = complete(address, max_tokens=5, seed=7, n=3)["choices"]
    alone = [complete(address, max_tokens=5, seed=7 + k)["choices"][0]["text"] for k in range(3)]
    assert [choice["text"] for choice in three] == alone
    assert [choice["index"] for choice in three] == [0, 1, 2]


def test_without_a_seed_texts_differ(address: str) -> None:
    texts = {complete(address, max_tokens=8)["choices"][0]["text"] for _ in range(4)}
    assert len(texts) > 1


def test_several_prompts_are_continued_side_by_side(address: str, tokenizer: Tokenizer) -> None:
    answer = complete(address, prompt=["朝", "夜", "昼"], max_tokens=4, seed=1, n=2)
    assert [choice["index"] for choice in answer["choices"]] == list(range(6))
    assert answer["usage"]["prompt_tokens"] == sum(len(tokenizer.encode(text)) for text in "朝夜昼")
    assert answer["usage"]["completion_tokens"] == 24
    alone = complete(address, prompt="夜", max_tokens=4, seed=1)
    assert answer["choices"][2]["text"] == alone["choices"][0]["text"]


@pytest.mark.parametrize("opened", [False, True])
def test_ids_are_a_prompt_too(address: str, tokenizer: Tokenizer, opened: bool) -> None:
    ids = tokenizer.encode(PROMPT)
    of_ids = complete(address, prompt=[tokenizer.eos_id, *ids] if opened else ids, max_tokens=4, seed=1)
    of_text = complete(address, max_tokens=4, seed=1)
    assert of_ids["choices"] == of_text["choices"]
    assert of_ids["usage"] == of_text["usage"]
    assert complete(address, prompt=[ids, ids], max_tokens=4)["usage"]["prompt_tokens"] == 2 * len(ids)


def test_an_empty_prompt_is_the_beginning_of_a_text(address: str) -> None:
    assert complete(address, prompt="", max_tokens=3)["usage"]["prompt_tokens"] == 0


def test_a_stop_text_ends_it_and_is_not_shown(address: str) -> None:
    whole = complete(address, max_tokens=12, seed=3)["choices"][0]["text"]
    stop = whole[4:6]
    choice = complete(address, max_tokens=12, seed=3, stop=["決して", stop])["choices"][0]
    assert choice["text"] == whole[: whole.index(stop)]
    assert choice["finish_reason"] == "stop"


def test_log_probabilities_stand_beside_every_token(address: str) -> None:
    choice = complete(address, max_tokens=5, seed=2, logprobs=2)["choices"][0]
    told = choice["logprobs"]
    assert "".join(told["tokens"]) == choice["text"]
    assert told["token_logprobs"] == [-1.0] * 5
    assert all(len(top) in (2, 3) and max(top.values()) == -1.0 for top in told["top_logprobs"])
    places = [len("".join(told["tokens"][:k])) for k in range(5)]
    assert told["text_offset"] == places
    assert (
        complete(address, max_tokens=5, seed=2, logprobs=0)["choices"][0]["logprobs"]["top_logprobs"] is None
    )


def test_the_prompt_is_told_with_echo(address: str, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(PROMPT)
    choice = complete(address, max_tokens=4, seed=2, echo=True)["choices"][0]
    assert choice["text"] == PROMPT + complete(address, max_tokens=4, seed=2)["choices"][0]["text"]
    told = complete(address, max_tokens=4, seed=2, echo=True, logprobs=1)["choices"][0]
    assert told["text"] == choice["text"]
    assert len(told["logprobs"]["tokens"]) == len(ids) + 4
    assert told["logprobs"]["text_offset"][len(ids)] == len(PROMPT)
    opened = complete(address, prompt=[0, *ids], max_tokens=4, seed=2, echo=True, logprobs=1)["choices"][0]
    assert opened["logprobs"]["tokens"][0] == "<|endoftext|>"
    assert opened["logprobs"]["token_logprobs"][0] is None
    assert opened["logprobs"]["top_logprobs"][0] is None
    assert opened["logprobs"]["tokens"][1:] == told["logprobs"]["tokens"]


def test_a_prompt_alone_can_be_scored(address: str, tokenizer: Tokenizer) -> None:
    choice = complete(address, max_tokens=0, echo=True, logprobs=1)["choices"][0]
    assert choice["text"] == PROMPT
    assert len(choice["logprobs"]["token_logprobs"]) == len(tokenizer.encode(PROMPT))


def test_the_closing_piece_has_its_place_among_tokens(address: str) -> None:
    choice = complete(address, model="plain", logprobs=1)["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["logprobs"]["tokens"][-1] == "<|endoftext|>"
    assert len(choice["logprobs"]["tokens"]) == 4


def test_the_best_are_chosen(address: str) -> None:
    answer = complete(address, max_tokens=3, seed=1, n=1, best_of=3)
    assert len(answer["choices"]) == 1
    assert answer["choices"][0]["logprobs"] is None
    assert answer["usage"]["completion_tokens"] == 9


@pytest.mark.parametrize("asked", [{}, {"n": 3}, {"logprobs": 1}, {"echo": True}, {"prompt": ["朝", "夜"]}])
def test_a_stream_brings_the_same(address: str, asked: dict[str, Any]) -> None:
    asked = {"model": "slow", "prompt": PROMPT, "max_tokens": 6, "seed": 4, **asked}
    whole = ask(address, "/v1/completions", asked)[2]
    streamed = {**asked, "stream": True, "stream_options": {"include_usage": True}}
    status, headers, content = ask(address, "/v1/completions", streamed)
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    *parts, usage, end = events(content)
    assert end == "[DONE]"
    assert usage["choices"] == []
    assert usage["usage"] == whole["usage"]
    for choice in whole["choices"]:
        own = [part["choices"][0] for part in parts if part["choices"][0]["index"] == choice["index"]]
        assert len(own) > 1
        assert "".join(part["text"] for part in own) == choice["text"]
        assert [part["finish_reason"] for part in own] == [None] * (len(own) - 1) + [choice["finish_reason"]]
        if choice["logprobs"]:
            tokens = [token for part in own for token in part["logprobs"]["tokens"]]
            assert tokens == choice["logprobs"]["tokens"]
    assert {part["id"] for part in parts} == {usage["id"]}
    assert parts[-1]["timings"]["predicted_n"] == whole["usage"]["completion_tokens"]


def test_a_stream_without_usage_has_none(address: str) -> None:
    content = ask(address, "/v1/completions", {"model": "kana", "prompt": "", "stream": True})[2]
    *parts, _ = events(content)
    assert all(part["choices"] and "usage" not in part for part in parts)


@pytest.mark.parametrize(
    ("asked", "param", "word"),
    [
        ({"prompt": "", "suffix": "。"}, "suffix", "forward"),
        ({"prompt": "", "presence_penalty": 0.5}, "presence_penalty", "repetition_penalty"),
        ({"prompt": "", "frequency_penalty": -1}, "frequency_penalty", "repetition_penalty"),
        ({"prompt": "", "store": True}, "store", "stores"),
        ({"prompt": "", "tempreture": 1}, "tempreture", "no parameter"),
        ({"prompt": "", "temperature": 3}, "temperature", "less than or equal to 2"),
        ({"prompt": "", "temperature": "1"}, "temperature", "number"),
        ({"prompt": "", "max_tokens": 0}, "max_tokens", "echo"),
        ({"prompt": "", "max_tokens": 1001}, "max_tokens", "1,000"),
        ({"prompt": "", "n": 9}, "n", "8"),
        ({"prompt": [], "n": 1}, "prompt", "empty"),
        ({"prompt": ["a"] * 9}, "n", "8"),
        ({"prompt": "", "best_of": 2, "n": 3}, "best_of", "less than n"),
        ({"prompt": "", "best_of": 2, "stream": True}, "best_of", "stream"),
        ({"prompt": "", "logprobs": 21}, "logprobs", "20"),
        ({"prompt": "", "logit_bias": {"512": 1}}, "logit_bias", "511"),
        ({"prompt": "", "logit_bias": {"１": 1}}, "logit_bias", "no id"),
        ({"prompt": "", "logit_bias": {"1": 101}}, "logit_bias", "100"),
        ({"prompt": "", "stop": ["a"] * 17}, "stop", "16"),
        ({"prompt": "", "stop": ""}, "stop", "1 character"),
        ({"prompt": {"text": "a"}}, "prompt", "string"),
        ({"prompt": "", "min_tokens": 9, "max_tokens": 3}, "min_tokens", "min_tokens (9) is more than 3"),
        ({"prompt": [512]}, None, "511"),
        ({"prompt": "ある山" * 400}, None, "256"),
        ({"prompt": [5] * 255}, None, "254"),
    ],
)
def test_what_can_not_be_done_is_refused(
    address: str, asked: dict[str, Any], param: str | None, word: str
) -> None:
    error = refused(address, **asked)
    assert error["param"] == param
    assert word in error["message"]
    assert "Value error" not in error["message"]
    assert error["type"] == "invalid_request_error"


def test_penalties_of_nothing_are_allowed(address: str) -> None:
    complete(
        address,
        presence_penalty=0,
        frequency_penalty=0.0,
        suffix=None,
        user="u",
        metadata={"a": "b"},
        stop=None,
    )


def test_a_model_that_is_not_there(address: str) -> None:
    status, _, answer = ask(address, "/v1/completions", {"model": "kama", "prompt": ""})
    assert status == 404
    assert answer["error"]["code"] == "model_not_found"
    assert "did you mean 'kana'" in answer["error"]["message"]
