"""A server with OpenAI's API is a specialist like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from buses import OpenBus, until
from servers import ask, running
from tsuzuri.serving.config import ModelConfig, ServeConfig
from tsuzuri.serving.loading import load
from tsuzuri.specialists.messages import Failed, Resume, Score
from tsuzuri.specialists.topics import Topics
from workers import KEY, Gate, working


@pytest.mark.parametrize("broker_kind", ["memory"], indirect=True)
def test_an_upstream_answers_goes_on_and_says_what_it_cannot(
    release: Path, open_bus: OpenBus, topics: Topics, gate: Gate
) -> None:
    mock = ModelConfig(path=release, name="kana", engine={"kind": "mock"})
    with running(ServeConfig(port=0, models=(mock,), playground=False)) as (address, _):
        engine = {"kind": "openai", "base_url": f"{address}/v1", "model": "kana"}
        model = load(ModelConfig(path=release, engine=engine))
        with working(model, open_bus, topics, engine=engine, release=release):
            sampling = {"max_new_tokens": 12, "seed": 5, "repetition_penalty": 1.0}
            heard = gate.ask("むかし", sampling=sampling)
            scored = gate.send(Score(specialist=KEY[0], revision=KEY[1], texts=("a",)))
            gate.ended(heard, scored)
            assert not isinstance(heard.end, Failed), heard.end
            heard.check()
            body = {"prompt": "むかし", "max_tokens": 12, "seed": 5, "model": "kana"}
            _, _, answer = ask(address, "/v1/completions", body)
            assert heard.text == answer["choices"][0]["text"]
            assert heard.end.completion_tokens == 12
            assert (scored.end.code, scored.end.is_retryable) == ("unsupported", False)
            until(lambda: gate.registry.descriptors[KEY].source == f"{address}/v1")

            resume = Resume(
                text=heard.text,
                ids=heard.ids,
                tokenizer=model.facts.tokenizer_sha256,
                completion_tokens=12,
            )
            more = gate.ask("むかし", sampling={**sampling, "max_new_tokens": 20}, resume=resume)
            other = Resume(text=heard.text, ids=(1, 2, 3), tokenizer="another", completion_tokens=3)
            reread = gate.ask("むかし", sampling={**sampling, "max_new_tokens": 20}, resume=other)
            gate.ended(more, reread)
            for rest, written in ((more, 8), (reread, 17)):
                rest.check(before=heard.text)
                assert (rest.end.completion_tokens, len(rest.ids)) == (20, written)
                assert rest.end.prompt_tokens == heard.end.prompt_tokens
