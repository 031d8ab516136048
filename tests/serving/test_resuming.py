"""An answer cut anywhere and gone on with elsewhere is the answer that was never cut."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.generation.conftest import ByteTokenizer, random_model

from tsuzuri.generation.config import SamplingConfig
from tsuzuri.generation.rules import TokenRules, token_rules
from tsuzuri.serving.config import FilterConfig, NgWordsFilter
from tsuzuri.serving.engines.base import EngineFailed, Generation, Token, TokenEvent, TokenRequest
from tsuzuri.serving.engines.mock import MockEngine
from tsuzuri.serving.engines.ours.cpu import CpuDecoder
from tsuzuri.serving.engines.ours.engine import OurEngine
from tsuzuri.serving.filters import Filters
from tsuzuri.serving.models import ModelFacts, Prompt, Resume, TextDelta, TextRequest, Usage
from tsuzuri.serving.served import ServedModel


class Tokenizer(ByteTokenizer):
    """A byte a piece, so that every kanji is three of them."""

    def encode(self, text: str) -> list[int]:
        return self.encode_batch([text])[0]

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self.pieces[index] for index in ids).decode(errors="replace")


TOKENIZER = Tokenizer()
RULES = token_rules(TOKENIZER, 260)


class Stepped(Generation):
    """Brings a token an event, and none once it is cancelled."""

    def __init__(self, ids: Sequence[int], finish: Literal["stop", "length"]) -> None:
        super().__init__()
        self._left, self._finish, self._has_ended = list(ids), finish, False

    async def __anext__(self) -> TokenEvent:
        if self._has_ended:
            raise StopAsyncIteration
        if self.is_cancelled or not self._left:
            self._has_ended = True
            return TokenEvent(finish="cancelled" if self.is_cancelled else self._finish)
        return TokenEvent((Token(self._left.pop(0), -0.5),))


class Scripted(MockEngine):
    """Writes the bytes of one text whatever it is asked."""

    def __init__(self, data: bytes) -> None:
        super().__init__(vocab_size=260, context=4096)
        self._script = [byte + 3 for byte in data]
        self.asked: list[TokenRequest] = []

    def submit(self, request: TokenRequest) -> Generation:
        self.asked.append(request)
        most = request.sampling.max_new_tokens
        finish: Literal["stop", "length"] = "length" if most <= len(self._script) else "stop"
        return Stepped(self._script[len(request.written) : most], finish)


def served(engine: Any, *, filters: Filters | None = None, rules: TokenRules = RULES) -> ServedModel:
    facts = ModelFacts("bytes", "", 0, engine.context, 260, frozenset(), {})
    return ServedModel(facts, engine, TOKENIZER, rules, filters=filters)


def read(model: ServedModel, request: TextRequest) -> tuple[list[TextDelta], Usage]:
    async def whole() -> tuple[list[TextDelta], Usage]:
        writing = model.complete(request)
        return [delta async for delta in writing], writing.usage

    return asyncio.run(whole())


def text_of(deltas: Sequence[TextDelta]) -> str:
    return "".join(delta.text for delta in deltas)


def begun(deltas: Sequence[TextDelta], **fields: Any) -> Resume:
    """What somebody knows who got these deltas."""
    ids = tuple(index for delta in deltas for index in delta.ids)
    return Resume(text_of(deltas), ids, TOKENIZER.sha256, len(ids), **fields)


def told(deltas: Sequence[TextDelta]) -> list[Any]:
    return [token for delta in deltas for token in delta.tokens]


@pytest.fixture(scope="module")
def filters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Filters]:
    file = tmp_path_factory.mktemp("words") / "words.txt"
    file.write_text("悪人\n人語\n", encoding="utf-8")
    made = {
        action: Filters(FilterConfig(ng_words=NgWordsFilter(file=file, action=action), hold_characters=16))
        for action in ("mask", "stop")
    }
    return {"none": Filters(FilterConfig()), **made}


@given(
    text=st.text(alphabet="悪人語。a😀", max_size=40),
    torn=st.integers(0, 3),
    stop=st.lists(st.text(alphabet="語。a人", min_size=2, max_size=4), max_size=2),
    kind=st.sampled_from(["none", "mask", "stop"]),
    logprobs=st.sampled_from([None, 0]),
    echo=st.booleans(),
    most=st.sampled_from([25, 500]),
)
@settings(max_examples=80, deadline=None)
def test_cut_after_any_delta_the_whole_is_the_same(
    filters: dict[str, Filters],
    text: str,
    torn: int,
    stop: list[str],
    kind: str,
    logprobs: int | None,
    echo: bool,
    most: int,
) -> None:
    data = text.encode()
    model = served(Scripted(data[: len(data) - torn]), filters=filters[kind])
    sampling = SamplingConfig(stop=tuple(stop), max_new_tokens=most)
    prompt = Prompt(tuple(TOKENIZER.encode("悪")), "悪")

    def request(resume: Resume | None = None) -> TextRequest:
        return TextRequest(prompt, sampling, logprobs=logprobs, echo=echo, resume=resume)

    deltas, usage = read(model, request())
    for cut in range(1, len(deltas)):
        rest, usage_of_both = read(model, request(begun(deltas[:cut])))
        assert text_of(deltas[:cut]) + text_of(rest) == text_of(deltas)
        assert rest[-1].finish == deltas[-1].finish
        assert usage_of_both == usage
        assert told(deltas[:cut]) + told(rest) == told(deltas)
        again = begun(deltas[:cut]).ids + begun(rest).ids
        assert again == begun(deltas).ids


@given(text=st.text(alphabet="悪人語。a", max_size=30), kind=st.sampled_from(["none", "mask", "stop"]))
@settings(max_examples=40, deadline=None)
def test_ids_may_be_further_than_the_text_that_came(
    filters: dict[str, Filters], text: str, kind: str
) -> None:
    model = served(Scripted(text.encode()), filters=filters[kind])
    request = TextRequest(Prompt((), ""), SamplingConfig(stop=("語人",), max_new_tokens=500))
    deltas, usage = read(model, request)
    ids = begun(deltas).ids
    for cut in range(len(ids)):
        resume = Resume(deltas[0].text if cut and deltas[0].ids == ids[:cut] else "", ids[:cut], "of no file")
        rest, usage_of_both = read(model, TextRequest(request.prompt, request.sampling, resume=resume))
        assert resume.text + text_of(rest) == text_of(deltas)
        assert (usage_of_both, rest[-1].finish) == (usage, deltas[-1].finish)


def test_ids_of_another_tokenizer_are_not_read_but_what_they_said() -> None:
    engine = Scripted("語。".encode())
    model = served(engine)
    prompt = Prompt(tuple(TOKENIZER.encode("日本")), "日本")
    resume = Resume("日本の", (9, 9), "another", completion_tokens=2)
    sampling = SamplingConfig(max_new_tokens=10, min_new_tokens=9)
    deltas, usage = read(model, TextRequest(prompt, sampling, echo=True, logprobs=0, resume=resume))
    (asked,) = engine.asked
    assert TOKENIZER.decode(asked.prompt) == "日本の"
    assert (asked.written, asked.sampling.max_new_tokens, asked.sampling.min_new_tokens) == ((), 8, 7)
    assert text_of(deltas) == "語。"
    assert told(deltas)[0].offset == 3
    assert usage == Usage(prompt_tokens=6, completion_tokens=2 + 6)


@pytest.mark.parametrize("completion_tokens", [10, 11])
def test_what_was_written_to_its_end_is_ended(completion_tokens: int) -> None:
    engine = Scripted(b"abc")
    resume = Resume("x", completion_tokens=completion_tokens)
    request = TextRequest(Prompt((5,), "\x02"), SamplingConfig(max_new_tokens=10), resume=resume)
    deltas, usage = read(served(engine), request)
    assert (deltas[-1].finish, text_of(deltas), engine.asked) == ("length", "", [])
    assert usage.completion_tokens == completion_tokens


def test_ids_that_did_not_write_the_text_are_left_aside() -> None:
    engine = Scripted(b"abcdef")
    resume = Resume("zz", (3 + 97, 3 + 98), TOKENIZER.sha256, 2)
    request = TextRequest(Prompt((), ""), SamplingConfig(max_new_tokens=10), resume=resume)
    read(served(engine), request)
    assert engine.asked[0].prompt == tuple(TOKENIZER.encode("zz"))


def test_what_is_longer_than_the_context_is_read_from_its_middle() -> None:
    engine = Scripted(b"abc")
    engine.context = 64
    resume = Resume("語" * 100, completion_tokens=300)
    request = TextRequest(Prompt((), ""), SamplingConfig(max_new_tokens=500), resume=resume)
    read(served(engine), request)
    assert len(engine.asked[0].prompt) == 31


def test_what_goes_on_otherwise_than_it_was_shown_is_an_error() -> None:
    ids = tuple(TOKENIZER.encode("ab"))
    request = TextRequest(
        Prompt((), ""), SamplingConfig(max_new_tokens=9), resume=Resume("abX", ids, TOKENIZER.sha256, 2)
    )
    with pytest.raises(EngineFailed):
        read(served(Scripted(b"abcdef")), request)


@pytest.mark.parametrize("sampling", [{"temperature": 0.0}, {"seed": 5, "repetition_penalty": 1.3}])
def test_of_a_real_engine_the_whole_is_the_same(sampling: dict[str, Any]) -> None:
    decoder = CpuDecoder(random_model("llama"), precision="float32", slots=4)
    engine = OurEngine(lambda: decoder, RULES, slots=4)
    model = served(engine)
    wanted = SamplingConfig(
        max_new_tokens=90, min_new_tokens=80, stop=("\ufffd\ufffd\ufffd\ufffd",), **sampling
    )
    prompt = Prompt(tuple(TOKENIZER.encode("綴り")), "綴り")
    deltas, _ = read(model, TextRequest(prompt, wanted))
    for cut in range(1, len(deltas), 5):
        resume = begun(deltas[:cut])
        rest, _ = read(model, TextRequest(prompt, wanted, resume=resume))
        assert resume.text + text_of(rest) == text_of(deltas)
        assert rest[-1].finish == deltas[-1].finish
    engine.close()


def test_the_folder_says_what_a_descriptor_tells(tmp_path: Path) -> None:
    from servers import write_release
    from tsuzuri.serving.config import ModelConfig
    from tsuzuri.serving.loading import load
    from tsuzuri.tokenizer.codec import Tokenizer as Real

    folder = write_release(tmp_path)
    facts = load(ModelConfig(path=folder, engine={"kind": "mock"})).facts
    assert facts.tokenizer_sha256 == Real.load(folder).sha256
