"""Our engine writes what `generation` writes, whoever else is being served."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.generation.conftest import random_model
from tests.generation.test_generate import plainly_written
from tests.serving.engines.conftest import SLOTS

from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.generation.embed import text_vectors
from tsuzuri.generation.rules import TokenRules
from tsuzuri.generation.score import token_log_probabilities
from tsuzuri.model.gpt import GPT
from tsuzuri.serving.engines.base import EngineFailed, Generation, Overloaded, TokenEvent, TokenRequest
from tsuzuri.serving.engines.ours import vnni
from tsuzuri.serving.engines.ours.batching import Decoder
from tsuzuri.serving.engines.ours.cpu import CpuDecoder
from tsuzuri.serving.engines.ours.engine import OurEngine


def request(prompt: list[int], /, **fields: Any) -> TokenRequest:
    """Of the fields, those of SamplingConfig become one."""
    sampling = {name: fields.pop(name) for name in list(fields) if name in SamplingConfig.model_fields}
    return TokenRequest(tuple(prompt), SamplingConfig(**sampling), **fields)


def whole(generation: Generation) -> TokenEvent:
    """Everything that a generation brings, as one event."""
    events = list(generation)
    return sum(events[1:], start=events[0])


def ids(event: TokenEvent) -> list[int]:
    return [token.id for token in event.tokens]


def prompt_of(length: int, start: int = 0) -> list[int]:
    return [3 + (start + 7 * place) % 250 for place in range(length)]


REQUESTS = [
    request(prompt_of(5), max_new_tokens=20, temperature=0, repetition_penalty=1.0),
    request(prompt_of(5), max_new_tokens=30, seed=4),
    request([], max_new_tokens=12, seed=5, top_k=20, top_p=0.9),
    request(prompt_of(63, 1), max_new_tokens=90, min_new_tokens=90, seed=6, no_repeat_ngram=3),
    request(prompt_of(64, 2), max_new_tokens=10, seed=7, min_p=0.1, temperature=0.7),
    request(prompt_of(200, 3), max_new_tokens=40, seed=8, top_p=0.8, min_p=0.0),
    request(prompt_of(40, 1), max_new_tokens=25, seed=9, temperature=1.3, repetition_penalty=1.4),
    request(prompt_of(5), max_new_tokens=130, min_new_tokens=120, seed=2**40),
]


def test_many_requests_together_each_write_what_the_plain_loop_writes(
    engine: OurEngine, model: GPT, rules: TokenRules
) -> None:
    generations = [engine.submit(each) for each in REQUESTS]
    for each, generation in zip(REQUESTS, generations, strict=True):
        expected = plainly_written(model, list(each.prompt), each.sampling, rules)
        event = whole(generation)
        closing = [] if event.finish == "length" else list(rules.ends)
        assert ids(event) + closing == expected
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.failure) == (0, 0, None)
    assert stats.prompt_tokens == sum(len(each.prompt) for each in REQUESTS)


LONGER = request(prompt_of(5), max_new_tokens=300, min_new_tokens=300, seed=3)
"""Longer than random numbers are drawn at once, and several times the context."""


def test_an_answer_that_another_process_began_goes_on_as_if_it_had_not(engine: OurEngine) -> None:
    for asked in [*REQUESTS, LONGER]:
        uninterrupted = whole(engine.submit(asked))
        written = ids(uninterrupted)
        cuts = [cut for cut in (1, len(written) // 2, 257, len(written) - 1) if cut < len(written)]
        begun = [engine.submit(replace(asked, written=tuple(written[:cut]))) for cut in cuts]
        for cut, event in zip(cuts, map(whole, begun), strict=True):
            assert (cut, ids(event), event.finish) == (cut, written[cut:], uninterrupted.finish)


def test_what_another_has_read_is_not_read_again(engine: OurEngine, model: GPT, rules: TokenRules) -> None:
    prompt = prompt_of(40)
    first = whole(engine.submit(request(prompt, max_new_tokens=3, seed=1)))
    assert first.cached_tokens == 0
    longer = prompt + ids(first)[:2] + prompt_of(3, 9)
    for wanted, cached in (
        (longer, 42),
        (prompt, 39),
        (prompt[:30] + prompt_of(5, 8), 30),
        (prompt_of(9, 5), 0),
    ):
        asked = request(wanted, max_new_tokens=6, seed=2)
        event = whole(engine.submit(asked))
        assert event.cached_tokens == cached
        assert ids(event) == plainly_written(model, wanted, asked.sampling, rules)
    assert engine.stats().cached_tokens == 39 + 42 + 30


def test_samples_of_one_prompt_read_it_once(engine: OurEngine) -> None:
    prompt = prompt_of(50, 4)
    events = [
        whole(generation)
        for generation in [
            engine.submit(request(prompt, max_new_tokens=4, seed=seed)) for seed in range(SLOTS)
        ]
    ]
    assert sorted(event.cached_tokens for event in events) == [0, *[49] * (SLOTS - 1)]


def test_log_probabilities_are_the_models_own(engine: OurEngine, model: GPT, rules: TokenRules) -> None:
    prompt = prompt_of(30)
    event = whole(
        engine.submit(
            request(
                prompt,
                max_new_tokens=8,
                min_new_tokens=8,
                temperature=0.5,
                top_logprobs=3,
                prompt_logprobs=True,
            )
        )
    )
    text = [rules.start, *prompt, *ids(event)]
    (expected,) = token_log_probabilities(model, [text], dtype=torch.float32)
    told = [*event.prompt, *event.tokens]
    assert [token.id for token in told] == text[1:]
    assert [token.logprob for token in told] == pytest.approx(expected, abs=1e-4)
    for token in told:
        values = [value for _, value in token.top]
        assert values == sorted(values, reverse=True)
        assert len(values) == 3
        assert token.logprob is not None
        assert token.logprob <= values[0] + 1e-5


def test_a_prompt_beyond_the_context_is_judged_where_it_is_read(engine: OurEngine) -> None:
    event = whole(engine.submit(request(prompt_of(100), max_new_tokens=1, prompt_logprobs=True)))
    assert [token.id for token in event.prompt] == prompt_of(100)
    assert [token.logprob is None for token in event.prompt] == [True] * 68 + [False] * 32


def test_a_bias_bans_and_forces(engine: OurEngine) -> None:
    asked = {"max_new_tokens": 5, "min_new_tokens": 5, "temperature": 0.0, "repetition_penalty": 1.0}
    free = ids(whole(engine.submit(request(prompt_of(5), **asked))))
    banned = ids(whole(engine.submit(request(prompt_of(5), logit_bias={free[0]: -100.0}, **asked))))
    assert free[0] not in banned
    assert ids(whole(engine.submit(request(prompt_of(5), logit_bias={77: 100.0}, **asked)))) == [77] * 5


def test_a_cancelled_request_ends_within_a_step_and_leaves_its_slot(engine: OurEngine) -> None:
    with engine.submit(request(prompt_of(5), max_new_tokens=100_000, min_new_tokens=100_000)) as generation:
        next(generation)
    steps = engine.stats().steps
    assert list(generation)[-1].finish == "cancelled"
    assert engine.stats().steps <= steps + 2
    assert engine.stats().running == 0


def test_a_deadline_ends_what_runs_and_what_waits(engine: OurEngine) -> None:
    asked = {"max_new_tokens": 100_000, "min_new_tokens": 100_000, "deadline": time.monotonic() + 0.05}
    generations = [engine.submit(request(prompt_of(5, n), **asked)) for n in range(SLOTS + 2)]
    events = [whole(generation) for generation in generations]
    assert {event.finish for event in events} == {"timeout"}
    assert not events[-1].tokens


def test_beyond_its_queue_the_engine_refuses(engine: OurEngine) -> None:
    asked = {"max_new_tokens": 100_000, "min_new_tokens": 100_000}
    generations = [engine.submit(request(prompt_of(5, n), **asked)) for n in range(SLOTS + 8)]
    with pytest.raises(Overloaded) as refusal:
        engine.submit(request([5]))
    assert refusal.value.retry_after_s >= 1
    engine.close()
    for generation in generations:
        with pytest.raises(EngineFailed, match="closed"):
            whole(generation)
    with pytest.raises(EngineFailed):
        engine.submit(request([5]))


def test_closing_may_wait_for_what_runs(engine: OurEngine) -> None:
    generation = engine.submit(request(prompt_of(5), max_new_tokens=30, min_new_tokens=30))
    engine.close(drain_s=60)
    assert len(whole(generation).tokens) == 30


def test_wrong_ids_are_refused(engine: OurEngine) -> None:
    for wrong in (
        request([260]),
        request([-1]),
        request([5], logit_bias={300: 1.0}),
        request([5], top_logprobs=-1),
    ):
        with pytest.raises(InputError):
            engine.submit(wrong)


def test_vectors_and_logits_are_those_of_the_plain_model(
    engine: OurEngine, model: GPT, rules: TokenRules
) -> None:
    texts = [prompt_of(10), [], prompt_of(150, 3), *[prompt_of(12, n) for n in range(6)]]
    expected = text_vectors(
        model, [[rules.start, *text] for text in texts], opening=1, layer=-1, pool="mean", dtype=torch.float32
    )
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(engine.embed(texts), expected, atol=1e-4)
    with torch.inference_mode():
        logits = model.logits(model(torch.tensor([[rules.start, *texts[0]]]))[:, -1])
    np.testing.assert_allclose(engine.logits([texts[0], texts[2]])[:1], logits.numpy(), atol=1e-3)


class Failing:
    """A decoder that fails so many times."""

    def __init__(self, decoder: Decoder, times: int) -> None:
        self.config, self.logits, self.copy = decoder.config, decoder.logits, decoder.copy
        self._decoder, self._times = decoder, times

    def states(self, *arguments: Any) -> torch.Tensor:
        """The decoder's, once it does not fail any more."""
        if self._times:
            self._times -= 1
            raise ValueError("a cosmic ray")
        return self._decoder.states(*arguments)


def test_a_failed_step_ends_its_requests_and_a_failing_engine_all(
    decoder: Decoder, rules: TokenRules
) -> None:
    engine = OurEngine(lambda: Failing(decoder, 2), rules, slots=SLOTS)
    for _ in range(2):
        with pytest.raises(EngineFailed, match="cosmic"):
            whole(engine.submit(request([5], max_new_tokens=2)))
    assert len(whole(engine.submit(request([5], max_new_tokens=2, min_new_tokens=2))).tokens) == 2
    engine.close()
    engine = OurEngine(lambda: Failing(decoder, 3), rules, slots=SLOTS)
    for _ in range(3):
        with pytest.raises(EngineFailed):
            whole(engine.submit(request([5], max_new_tokens=2)))
    engine.close()
    assert "cosmic ray" in (engine.stats().failure or "")
    with pytest.raises(EngineFailed, match="cosmic"):
        engine.submit(request([5]))


def test_damaged_weights_are_named(rules: TokenRules) -> None:
    model = random_model("llama")
    model.norm.weight.data[3] = torch.nan
    engine = OurEngine(lambda: CpuDecoder(model, precision="float32", slots=1), rules, slots=1)
    with pytest.raises(IntegrityError, match="finite"):
        whole(engine.submit(request([5], max_new_tokens=2)))
    engine.close()


def test_steps_of_every_size_take_the_same_memory() -> None:
    """A room for each number of rows grew by hundreds of megabytes in an hour."""
    decoder = CpuDecoder(random_model("llama"), precision="float32", slots=SLOTS)

    def place_of(rows: int) -> int:
        numbers = np.arange(rows, dtype=np.int32)
        return int(decoder.states(numbers, np.zeros(rows, np.int32), numbers).data_ptr())

    place_of(60)
    assert len({place_of(rows) for rows in range(1, 61)}) == 1


@pytest.mark.parametrize("has_vnni", [True, False], ids=["vnni", "portable"])
def test_int8_follows_float32_closely(
    has_vnni: bool, model: GPT, rules: TokenRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_vnni and not vnni.is_supported():
        pytest.skip("this processor has no AVX-512 VNNI")
    monkeypatch.setattr(vnni, "is_supported", lambda: has_vnni)
    decoder = CpuDecoder(model, precision="int8", slots=2)
    engine = OurEngine(lambda: decoder, rules, slots=2)
    prompt = prompt_of(60)
    event = whole(engine.submit(request(prompt, max_new_tokens=1, prompt_logprobs=True)))
    (expected,) = token_log_probabilities(model, [[rules.start, *prompt]], dtype=torch.float32)
    told = [token.logprob for token in event.prompt]
    assert np.mean(told) == pytest.approx(np.mean(expected), rel=0.02)  # type: ignore[arg-type]
    assert np.corrcoef(told, expected)[0, 1] > 0.99  # type: ignore[arg-type]
    engine.close()
