"""From tokens to text: whole characters, stop texts and filters, however the tokens come in parts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.config import FilterConfig
from tsuzuri.serving.engines.base import Generation, Token, TokenEvent
from tsuzuri.serving.filters import Filters
from tsuzuri.serving.models import Prompt, TextDelta, TextRequest
from tsuzuri.serving.writing import TOGETHER_S, Pieces, Writing

PIECES = [b"", *(bytes([byte]) for byte in range(256)), "日本".encode(), "語。".encode()]
TEXTS = st.text(alphabet="日本語。aé😀", max_size=12)
CUTS = st.lists(st.integers(1, 5), max_size=30)


def ids_of(text: bytes) -> list[int]:
    return [byte + 1 for byte in text]


def written(
    ids: Sequence[int],
    *,
    cuts: Sequence[int] = (),
    stop: Sequence[str] = (),
    logprobs: int | None = None,
    echo: str = "",
    filters: Filters | None = None,
) -> tuple[list[TextDelta], Writing]:
    """What comes of ids that an engine writes in events of so many tokens."""
    generation = Generation()
    prompt = Prompt(tuple(ids_of(echo.encode())), echo)
    request = TextRequest(prompt, SamplingConfig(stop=tuple(stop)), logprobs=logprobs, echo=bool(echo))
    writing = Writing(request, Pieces(PIECES, {0: "<end>"}.get), filters or _NONE, 0)
    writing.begin(generation)
    steps, left = iter(cuts), list(ids)

    async def read() -> list[TextDelta]:
        deltas, first = [], True
        while True:
            count = next(steps, 1)
            part, left[:count] = left[:count], []
            tokens = tuple(Token(index, -0.5) for index in part)
            is_over = not left or generation.is_cancelled
            asked = (
                tuple(Token(index, -2.0) for index in prompt.ids) if first and logprobs is not None else ()
            )
            generation.push(TokenEvent(tokens, "length" if is_over else None, asked))
            first = False
            if is_over:
                return [*deltas, *[delta async for delta in writing]]

    return asyncio.run(read()), writing


_NONE = Filters(FilterConfig())


def text_of(deltas: Sequence[TextDelta]) -> str:
    return "".join(delta.text for delta in deltas)


@given(TEXTS, CUTS)
def test_characters_come_whole(text: str, cuts: list[int]) -> None:
    deltas, writing = written(ids_of(text.encode()), cuts=cuts)
    assert text_of(deltas) == text
    assert all("\ufffd" not in delta.text for delta in deltas)
    assert writing.usage.completion_tokens == len(text.encode())
    assert [delta.finish for delta in deltas] == [None] * (len(deltas) - 1) + ["length"]


@given(st.binary(max_size=12), CUTS)
def test_bytes_that_are_no_text_come_as_python_decodes_them(data: bytes, cuts: list[int]) -> None:
    deltas, _ = written(ids_of(data), cuts=cuts)
    whole = data.decode(errors="replace")
    assert whole.startswith(text_of(deltas))
    assert len(whole) - len(text_of(deltas)) <= 3  # a character that is cut off at the end


@given(TEXTS, st.lists(st.text(alphabet="日本語。a", min_size=1, max_size=3), max_size=3), CUTS)
def test_nothing_of_a_stop_text_is_shown(text: str, stop: list[str], cuts: list[int]) -> None:
    deltas, _ = written(ids_of(text.encode()), cuts=cuts, stop=stop)
    ends = [place + len(word) for word in stop if (place := text.find(word)) >= 0]
    shown = text_of(deltas)
    if not ends:
        assert (shown, deltas[-1].finish) == (text, "length")
    else:
        first = min((text.find(word) + len(word), text.find(word)) for word in stop if word in text)[1]
        assert (shown, deltas[-1].finish) == (text[:first], "stop")


@given(TEXTS, st.lists(st.text(alphabet="日本語。a", min_size=1, max_size=3), max_size=3), CUTS)
@settings(max_examples=60)
def test_tokens_leave_with_their_text(text: str, stop: list[str], cuts: list[int]) -> None:
    deltas, _ = written(ids_of(text.encode()), cuts=cuts, stop=stop, logprobs=0, echo="a語")
    shown, tokens = text_of(deltas), [token for delta in deltas for token in delta.tokens]
    assert shown.startswith("a語")
    told = b"".join(token.piece for token in tokens)
    assert told == shown.encode()
    for place, token in enumerate(tokens):
        before = b"".join(other.piece for other in tokens[:place])
        assert token.offset == len(before.decode(errors="ignore"))
    assert [token.logprob for token in tokens[:4]] == [-2.0] * 4


def test_a_token_is_shown_by_its_text_its_bytes_or_its_name() -> None:
    deltas, _ = written([257, 0xE3 + 1, 0, 400], logprobs=0)
    assert [token.text for delta in deltas for token in delta.tokens] == [
        "日本",
        "bytes:\\xe3",
        "<end>",
        "<400>",
    ]


def test_after_a_stop_text_the_engine_is_told_and_what_it_still_writes_is_counted() -> None:
    deltas, writing = written(ids_of(b"abcdef"), cuts=[3, 3], stop=["b"])
    assert text_of(deltas) == "a"
    assert writing.usage.completion_tokens == 6


def test_only_where_a_stop_text_may_end_it_is_every_token_looked_at_as_it_comes() -> None:
    for stop in ((), ("。",)):
        generation = Generation()
        request = TextRequest(Prompt((), ""), SamplingConfig(stop=stop))
        Writing(request, Pieces(PIECES, {0: "<end>"}.get), _NONE, 0).begin(generation)
        assert generation.together_s == (0.0 if stop else TOGETHER_S)
