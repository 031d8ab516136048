"""Generations carry tokens between threads and event loops; the mock keeps the interface's promises."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import numpy as np
import pytest

from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.engines.base import (
    EngineFailed,
    Generation,
    Overloaded,
    Token,
    TokenEvent,
    TokenRequest,
)
from tsuzuri.serving.engines.mock import MockEngine


def request(*, tokens: int = 5, seed: int = 0, **more: Any) -> TokenRequest:
    return TokenRequest((1, 2), SamplingConfig(max_new_tokens=tokens, seed=seed), **more)


def ids(generation: Generation) -> list[int]:
    return [token.id for event in generation for token in event.tokens]


def test_what_came_since_the_last_look_comes_as_one_event_and_errors_come_last() -> None:
    generation = Generation()
    generation.push(TokenEvent((Token(1),), cached_tokens=3))
    generation.push(TokenEvent((Token(2),)))
    generation.fail(EngineFailed("gone"))
    generation.push(TokenEvent((Token(3),)))
    assert next(generation) == TokenEvent((Token(1), Token(2)), cached_tokens=3)
    with pytest.raises(EngineFailed):
        next(generation)
    assert list(generation) == []


def test_a_reader_on_an_event_loop_is_woken_by_another_thread() -> None:
    generation = Generation()

    def write() -> None:
        for token in range(100):
            generation.push(TokenEvent((Token(token),)))
            time.sleep(0.0001)
        generation.push(TokenEvent(finish="stop"))

    async def read() -> list[int]:
        threading.Thread(target=write).start()
        return [token.id async for event in generation for token in event.tokens]

    assert asyncio.run(read()) == list(range(100))


def test_what_comes_within_a_while_is_brought_together_and_the_end_at_once() -> None:
    generation = Generation()
    generation.together_s = 3600

    async def read() -> list[TokenEvent]:
        events = []
        for token in range(3):
            generation.push(TokenEvent((Token(token),)))
        events.append(await anext(generation))
        for _ in range(2):  # whoever asks again is told nothing yet, and loses nothing by going away
            coming = asyncio.ensure_future(anext(generation))
            generation.push(TokenEvent((Token(3),)))
            await asyncio.sleep(0.02)
            assert not coming.done()
            coming.cancel()
        coming = asyncio.ensure_future(anext(generation))
        await asyncio.sleep(0)
        threading.Thread(target=generation.push, args=[TokenEvent((Token(4),), "stop")]).start()
        events.append(await asyncio.wait_for(coming, 60))
        events += [event async for event in generation]
        return events

    together = [[token.id for token in event.tokens] for event in asyncio.run(read())]
    assert together == [[0, 1, 2], [3, 3, 4]]


def test_a_while_that_is_over_brings_what_came_and_an_error_ends_it() -> None:
    generation = Generation()
    generation.together_s = 0.01

    async def read() -> list[TokenEvent]:
        events = []
        for token in range(3):
            generation.push(TokenEvent((Token(token),)))
            events.append(await asyncio.wait_for(anext(generation), 60))
        generation.together_s = 3600
        generation.push(TokenEvent((Token(3),)))
        events.append(await asyncio.wait_for(anext(generation), 60))
        coming = asyncio.ensure_future(anext(generation))
        await asyncio.sleep(0)
        generation.fail(EngineFailed("gone"))
        with pytest.raises(EngineFailed):
            await asyncio.wait_for(coming, 60)
        return events

    assert [event.tokens[0].id for event in asyncio.run(read())] == [0, 1, 2, 3]


def test_a_closed_loop_does_not_hurt_the_engine() -> None:
    generation = Generation()

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(generation), 0.01)

    asyncio.run(leave())
    generation.push(TokenEvent((Token(1),), finish="stop"))
    assert ids(generation) == [1]


@pytest.mark.parametrize("tokens_per_s", [None, 2000.0])
def test_the_mock_writes_what_it_says(tokens_per_s: float | None) -> None:
    engine = MockEngine(tokens=5, tokens_per_s=tokens_per_s)
    wanted = [request(seed=seed, tokens=most) for seed in range(3) for most in (2, 9)]
    generations = [engine.submit(each) for each in wanted]
    for each, generation in zip(wanted, generations, strict=True):
        events = list(generation)
        written = [token.id for event in events for token in event.tokens]
        assert written == engine.expected(each)
        assert events[-1].finish == ("length" if len(written) == 2 else "stop")
    assert engine.expected(wanted[1]) != engine.expected(wanted[3])
    assert engine.stats().generated_tokens == 3 * (2 + 5)
    assert engine.stats().finished == {"length": 3, "stop": 3}
    engine.close()
    with pytest.raises(EngineFailed):
        engine.submit(request())


def test_the_mock_cancels_times_out_and_pushes_back() -> None:
    engine = MockEngine(tokens_per_s=1000, slots=2, queue=1)
    with engine.submit(request(tokens=100_000)) as first:
        next(first)
    late = engine.submit(request(tokens=100_000, deadline=time.monotonic() + 0.02))
    assert list(first)[-1].finish == "cancelled"
    assert list(late)[-1].finish == "timeout"
    running = [engine.submit(request(tokens=100_000)) for _ in range(3)]
    with pytest.raises(Overloaded) as refusal:
        engine.submit(request())
    assert refusal.value.retry_after_s > 0
    engine.close()
    for generation in running:
        with pytest.raises(EngineFailed):
            list(generation)


def test_the_mock_tells_log_probabilities_and_vectors() -> None:
    engine = MockEngine()
    asked = request(tokens=1, logprobs=True, top_logprobs=2, prompt_logprobs=True)
    (event,) = engine.submit(asked)
    assert [token.id for token in event.prompt] == [1, 2]
    assert len(event.tokens[0].top) == 2
    vectors = engine.embed([[1, 2], [3]])
    assert vectors.shape == (2, 8)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
