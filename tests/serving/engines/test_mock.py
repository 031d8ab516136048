"""The engine without a model writes the same, however many attempts it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.engines.base import TokenRequest
from tsuzuri.serving.engines.mock import MockEngine


@pytest.mark.parametrize("tokens", [None, 5])
@pytest.mark.parametrize("speed", [None, 2000.0])
def test_an_answer_that_another_process_began_goes_on_as_if_it_had_not(
    tokens: int | None, speed: float | None
) -> None:
    engine = MockEngine(tokens=tokens, tokens_per_s=speed)
    asked = TokenRequest((1, 2, 3), SamplingConfig(max_new_tokens=7, seed=4))
    expected = engine.expected(asked)
    for cut in range(len(expected)):
        rest = replace(asked, written=tuple(expected[:cut]))
        events = list(engine.submit(rest))
        assert [token.id for event in events for token in event.tokens] == expected[cut:]
        assert events[-1].finish == ("length" if tokens is None else "stop")
        assert engine.expected(rest) == expected[cut:]
    engine.close()
