"""Every mode answers with one whole stream; what it costs is what it says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tsuzuri.core.errors import InputError, RecipeError, ResourceError
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.serving.models import Prompt, TextDelta, TextRequest, Usage
from tsuzuri.specialists.config import read_specialists
from tsuzuri.specialists.judging import judgement, repetition
from tsuzuri.specialists.messages import Descriptor, Scored
from tsuzuri.specialists.modes import MODES, Answer, Asking, ModeConfig
from tsuzuri.specialists.routing.base import Choice
from tsuzuri.specialists.worker.naming import revision_of

PROMPT = "昔々、"


class Speaking:
    """Shows the characters of a text one by one; stops within one when it is cancelled."""

    def __init__(self, text: str, error: BaseException | None = None) -> None:
        self.usage, self.filtered = Usage(prompt_tokens=3), {}
        self.is_cancelled = False
        self._text, self._error, self._is_over = text, error, False

    def cancel(self) -> None:
        self.is_cancelled = True

    def __aiter__(self) -> AsyncIterator[TextDelta]:
        return self

    async def __anext__(self) -> TextDelta:
        await asyncio.sleep(0)
        if self._is_over:
            raise StopAsyncIteration
        if self._error is not None:
            raise self._error
        if self.is_cancelled or not self._text:
            self._is_over = True
            return TextDelta(finish="cancelled" if self.is_cancelled else "stop")
        self.usage.completion_tokens += 1
        shown, self._text = self._text[0], self._text[1:]
        return TextDelta(shown)


class Pool:
    """Specialists that say what they are told to, and a router that finds them as probable."""

    def __init__(
        self,
        texts: Mapping[str, str | BaseException],
        posterior: Mapping[str, float],
        nats: Mapping[str, Mapping[str, float] | BaseException] | None = None,
    ) -> None:
        self.texts, self.posterior, self.nats = texts, posterior, nats or {}
        self.asked: dict[str, Speaking] = {}
        self.scored: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
        self.fields: list[str] = []
        self.likes: list[TextRequest | None] = []

    def up(self) -> Collection[str]:
        return list(self.texts)

    def ask(self, specialist: str, request: TextRequest) -> Speaking:
        text = self.texts[specialist]
        begun = Speaking("", text) if isinstance(text, BaseException) else Speaking(text)
        self.asked[specialist] = begun
        return begun

    async def score(
        self,
        specialist: str,
        texts: Sequence[str],
        befores: Sequence[str] = (),
        *,
        like: TextRequest | None = None,
    ) -> Scored:
        self.likes.append(like)
        self.scored.append((specialist, tuple(texts), tuple(befores)))
        nats = self.nats.get(specialist, {})
        if isinstance(nats, BaseException):
            raise nats
        return Scored(nats=tuple(nats.get(text, 1.0 * len(text)) for text in texts))

    async def choose(self, text: str, among: Collection[str], *, field: str = "") -> Choice:
        self.fields.append(field)
        shares = {name: self.posterior.get(name, 0.0) for name in among}
        return Choice(max(shares, key=lambda name: shares[name]), shares, "so it is", "test")


def asking(pool: Pool, **fields: Any) -> Asking:
    request = TextRequest(
        Prompt((), PROMPT),
        SamplingConfig(),
        deadline=fields.pop("deadline", None),
        echo=fields.pop("echo", False),
    )
    return Asking(request, pool, pool, **fields)


async def whole(answer: Answer) -> tuple[str, str | None]:
    deltas = [delta async for delta in answer]
    assert [delta.finish for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    return "".join(delta.text for delta in deltas), deltas[-1].finish


def answered(mode: str, pool: Pool, **fields: Any) -> tuple[str, str | None, Answer]:
    answer = MODES[mode].answer(asking(pool, **fields))
    return *asyncio.run(whole(answer)), answer


TWO = {"news": "会見を開いた。", "literature": "あるところに。", "generalist": "はい。"}
SHARES = {"news": 0.6, "literature": 0.3, "generalist": 0.1}


def test_route_shows_the_first_choices_stream() -> None:
    pool = Pool(TWO, SHARES)
    text, finish, answer = answered("route", pool, field="ニュース")
    assert (text, finish) == (TWO["news"], "stop")
    assert list(pool.asked) == ["news"]
    assert pool.fields == ["ニュース"]
    assert answer.choice is not None
    assert answer.choice.specialist == "news"
    assert answer.usage.completion_tokens == len(text)
    assert MODES["route"].cost(4).models_per_token == 1


def test_rerank_shows_what_all_find_likeliest() -> None:
    nats = {
        "news": {TWO["news"]: 20.0, TWO["literature"]: 10.0},
        "literature": {TWO["news"]: 30.0, TWO["literature"]: 8.0},
    }
    pool = Pool(TWO, SHARES, nats)
    text, finish, answer = answered("rerank", pool)
    assert (text, finish) == (TWO["literature"], "stop")
    assert answer.choice is not None
    assert answer.choice.specialist == "literature"
    assert answer.usage.completion_tokens == len(text)
    assert sorted(pool.asked) == ["literature", "news"]
    both = (TWO["news"], TWO["literature"])
    assert pool.scored == [(name, both, (PROMPT, PROMPT)) for name in ("news", "literature")]
    cost = MODES["rerank"].cost(2)
    assert (cost.models_per_token, cost.answer_reads) == (len(pool.asked), len(pool.scored) * len(both))


def test_rerank_goes_on_without_those_that_fail() -> None:
    gone = ResourceError("gone")
    for texts, nats, wanted in (
        ({**TWO, "news": gone}, {}, "literature"),
        (TWO, {"news": gone, "literature": InputError("no judge")}, "news"),
        (TWO, {"news": gone, "literature": {TWO["news"]: 90.0}}, "literature"),
        ({**TWO, "news": "", "literature": ""}, {}, "news"),
    ):
        text, _, answer = answered("rerank", Pool(texts, SHARES, nats))
        assert answer.choice is not None
        assert (answer.choice.specialist, text) == (wanted, texts[wanted])
    with pytest.raises(ResourceError, match="gone"):
        answered("rerank", Pool({"news": gone, "literature": gone}, SHARES))
    with pytest.raises(ZeroDivisionError):
        answered("rerank", Pool({**TWO, "news": ZeroDivisionError()}, SHARES))


def test_rerank_asks_nobody_who_has_hardly_a_share() -> None:
    pool = Pool(TWO, {"news": 0.97, "literature": 0.015, "generalist": 0.015})
    text, _, answer = answered("rerank", pool)
    assert (text, list(pool.asked), pool.scored) == (TWO["news"], ["news"], [])
    assert answer.choice is not None
    assert answer.choice.best(3) == {"news": 1.0}


def test_rerank_does_not_judge_what_is_too_late_nor_the_prompt() -> None:
    pool = Pool(TWO, SHARES)
    assert answered("rerank", pool, deadline=time.monotonic() - 1)[0] == TWO["news"]
    assert not pool.scored
    pool = Pool({name: PROMPT + text for name, text in TWO.items()}, SHARES)
    answered("rerank", pool, echo=True)
    assert pool.scored[0][1] == (TWO["news"], TWO["literature"])


class Slow(Pool):
    """One of whom judges nothing until it is told that nobody wants it."""

    is_judging = False

    async def score(self, specialist: str, *of: Any, **others: Any) -> Scored:
        if specialist == "literature":
            self.is_judging = True
            try:
                await asyncio.sleep(3600)
            finally:
                self.is_judging = False
        return await super().score(specialist, *of, **others)


def test_rerank_leaves_out_who_has_not_judged_by_the_deadline() -> None:
    pool = Slow(TWO, SHARES, {"news": {TWO["news"]: 90.0, TWO["literature"]: 1.0}})
    text, _, answer = answered("rerank", pool, deadline=time.monotonic() + 0.5)
    assert text == TWO["literature"]
    assert not pool.is_judging
    assert pool.likes == [answer.asking.request]


def test_rerank_that_is_cancelled_stops_who_judges() -> None:
    pool = Slow(TWO, SHARES)

    async def cancelled() -> str | None:
        answer = MODES["rerank"].answer(asking(pool))
        task = asyncio.ensure_future(whole(answer))
        while not pool.is_judging:
            await asyncio.sleep(0)
        answer.cancel()
        return (await task)[1]

    asyncio.run(cancelled())
    assert not pool.is_judging


def test_who_repeats_loses() -> None:
    loop = "はい。はい。" * 10
    assert repetition(loop) > 0.9
    assert repetition("いろはにほへとちりぬるを") == repetition("") == 0
    texts, nats = [loop, "昨日、街で火事があった。"], {"a": [10.0, 30.0], "b": [10.0, 30.0]}
    free = judgement(texts, nats, {"a": 0.5, "b": 0.5}, repetition_weight=0, repetition_free=0.1)
    held = judgement(texts, nats, {"a": 0.5, "b": 0.5}, repetition_weight=1, repetition_free=0.1)
    assert free[0] > free[1]
    assert held[0] < held[1] == free[1]


def test_mix_is_answered_by_the_mixture() -> None:
    pool = Pool({**TWO, "mixture": "ふむ。"}, SHARES)
    text, _, answer = answered("mix", pool)
    assert (text, list(pool.asked)) == ("ふむ。", ["mixture"])
    assert answer.choice == Choice("mixture", {"mixture": 1.0}, "the mode is mix", "mix")
    with pytest.raises(InputError, match="no specialist 'mixture' is up"):
        answered("mix", Pool(TWO, SHARES))


def test_mix_needs_a_mixture_and_names_two_tokenizers() -> None:
    def descriptor(name: str, tokenizer: str) -> Descriptor:
        return Descriptor(specialist=name, revision="1", state="ready", tokenizer_sha256=tokenizer)

    pair = [descriptor("news", "a" * 64), descriptor("literature", "b" * 64)]
    with pytest.raises(InputError, match=r"news and literature .* aaaaaaaaaaaa and bbbbbbbbbbbb"):
        MODES["mix"].check(pair, ModeConfig())
    with pytest.raises(InputError, match="'mixture', which is not there"):
        MODES["mix"].check(pair[:1], ModeConfig())
    MODES["mix"].check([*pair, descriptor("mixture", "a" * 64)], ModeConfig())
    MODES["rerank"].check(pair, ModeConfig())


@pytest.mark.parametrize("mode", ["route", "rerank", "mix"])
def test_a_cancelled_answer_ends_and_stops_everybody(mode: str) -> None:
    async def cancel_after(looks: int) -> None:
        pool = Pool(dict.fromkeys(("news", "literature", "mixture"), "あ" * 1000), SHARES)
        answer = MODES[mode].answer(asking(pool))
        reading = asyncio.create_task(whole(answer))
        for _ in range(looks):
            await asyncio.sleep(0)
        answer.cancel()
        text, finish = await asyncio.wait_for(reading, 60)
        assert finish == "cancelled"
        assert len(text) < 100
        assert all(begun.is_cancelled for begun in pool.asked.values())
        assert not pool.scored

    for looks in (0, 1, 5, 20):
        asyncio.run(cancel_after(looks))


def test_a_mode_that_is_none_or_has_no_mixture_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "specialists.yaml"
    pool = "specialists: [{name: generalist, release: general}"
    for text, message in (
        (f"mode: rerang\n{pool}]", "no mode 'rerang' .did you mean 'rerank'"),
        (f"mode: mix\n{pool}]", "answered by 'mixture', which is no specialist"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(RecipeError, match=message):
            read_specialists(file)
    mixture = "{name: mixture, release: general, engine: {kind: mixture, members: [{path: news, share: 2}]}}"
    file.write_text(f"mode: mix\n{pool}, {mixture}]", encoding="utf-8")
    found = read_specialists(file).specialists[1].engine["members"]
    assert found == [{"path": str(tmp_path / "news"), "share": 2}]


def test_a_mixture_is_named_by_its_members(tmp_path: Path) -> None:
    for name in ("general", "news"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(f'{{"name": "{name}"}}', encoding="utf-8")

    def revision(*members: str) -> str:
        paths = [{"path": str(tmp_path / member)} for member in members]
        return revision_of(tmp_path / "general", {"kind": "mixture", "members": paths})

    assert revision("general", "news") == revision("general", "news") != revision("general", "general")
    with pytest.raises(RecipeError, match="members"):
        revision()
