"""A mixture is the formula of its members; a mixture of one is that one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.generation.conftest import random_model, write_release
from tests.serving.engines.conftest import SLOTS
from tests.serving.engines.test_ours import REQUESTS, ids, prompt_of, request, whole

from tsuzuri.core.errors import InputError, RecipeError
from tsuzuri.generation.rules import TokenRules
from tsuzuri.model.gpt import GPT
from tsuzuri.serving.config import ModelConfig
from tsuzuri.serving.engines.mixture import MixtureDecoder, MixtureEngine
from tsuzuri.serving.engines.ours.accelerator import AcceleratorDecoder
from tsuzuri.serving.engines.ours.batching import Decoder
from tsuzuri.serving.engines.ours.cpu import CpuDecoder
from tsuzuri.serving.engines.ours.engine import OurEngine
from tsuzuri.serving.loading import load
from tsuzuri.tokenizer.config import Form

Array = npt.NDArray[np.float64]
PAIR = (random_model("qwen3", seed=1), random_model("gpt2", seed=2))
"""Architectures need not be one; the vocabulary is."""
SHARES = (0.7, 0.3)


def decoder_of(model: GPT) -> CpuDecoder:
    return CpuDecoder(model, precision="float32", slots=SLOTS)


@contextmanager
def opened(engine: OurEngine) -> Iterator[OurEngine]:
    try:
        yield engine
    finally:
        engine.close()


def mixture_of(
    members: Sequence[Decoder],
    shares: Sequence[float],
    rules: TokenRules,
    *,
    temperature: float = 1.0,
    top: int = 0,
) -> MixtureEngine:
    return MixtureEngine(
        lambda: MixtureDecoder(members, shares, slots=SLOTS, temperature=temperature, top=top),
        rules,
        slots=SLOTS,
        queue=16,
        chunk_tokens=16,
    )


def logs(logits: npt.NDArray[np.float32]) -> Array:
    values = logits.astype(np.float64)
    shifted: Array = values - np.log(np.exp(values - values.max(-1, keepdims=True)).sum(-1, keepdims=True))
    return shifted - values.max(-1, keepdims=True)


def expected(
    engines: Sequence[OurEngine], text: list[int], *, temperature: float = 1.0, top: int = 0
) -> tuple[Array, Array]:
    """(places, V): log p after each beginning of a text by the formula; (places, K): its weights."""
    told = np.stack([logs(engine.logits([text[:end] for end in range(len(text) + 1)])) for engine in engines])
    gains = np.zeros((len(text) + 1, len(engines)))
    for place, token in enumerate(text):
        gains[place + 1] = told[:, place, token]
    weights = (np.log(SHARES) + gains.cumsum(0)) / temperature
    if top:
        weights[weights < np.sort(weights, axis=1)[:, -top][:, None]] = -np.inf
    weights = np.exp(weights - weights.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    return np.log(np.einsum("pk,kpv->pv", weights, np.exp(told))), weights


@pytest.mark.parametrize("kind", ["qwen3", "gpt2"])
def test_a_mixture_of_one_writes_what_that_one_writes(kind: str, rules: TokenRules) -> None:
    model = random_model(kind)
    alone = OurEngine(lambda: decoder_of(model), rules, slots=SLOTS, queue=16, chunk_tokens=16)
    with opened(alone), opened(mixture_of([decoder_of(model)], [1.0], rules)) as mixture:
        for asked in REQUESTS:
            wanted, found = whole(alone.submit(asked)), whole(mixture.submit(asked))
            assert (ids(found), found.finish) == (ids(wanted), wanted.finish)
        prompts = [prompt_of(length) for length in (0, 1, 30, 63, 200)]
        assert np.allclose(mixture.logits(prompts), alone.logits(prompts), atol=1e-4)


@pytest.mark.parametrize(("temperature", "top"), [(1.0, 0), (3.0, 0), (1.0, 1)])
def test_a_mixture_of_two_is_the_formula(temperature: float, top: int, rules: TokenRules) -> None:
    members = [OurEngine(lambda m=m: decoder_of(m), rules, slots=SLOTS, chunk_tokens=16) for m in PAIR]
    text = prompt_of(40)
    with opened(members[0]), opened(members[1]):
        values, _ = expected(members, text, temperature=temperature, top=top)
    decoders: list[Decoder] = [decoder_of(PAIR[0]), AcceleratorDecoder(PAIR[1], slots=SLOTS)]
    with opened(mixture_of(decoders, SHARES, rules, temperature=temperature, top=top)) as mixture:
        # every beginning from what another has read, backwards and forwards, and read anew
        for ends in (range(41), range(40, -1, -2)):
            found = logs(mixture.logits([text[:end] for end in ends]))
            assert np.abs(found - values[list(ends)]).max() < 1e-4
            assert np.abs(np.exp(found) - np.exp(values[list(ends)])).max() < 1e-5
        event = whole(
            mixture.submit(
                request(text, max_new_tokens=1, logprobs=True, prompt_logprobs=True, top_logprobs=3)
            )
        )
        told = [token.logprob for token in event.prompt[1 - len(rules.opening) :]]
        wanted = [values[place, token] for place, token in enumerate(text)]
        assert np.allclose(np.array(told, float), wanted[1 - len(rules.opening) :], atol=1e-4)
        assert event.prompt[9].top[0][0] == values[9].argmax()
        assert event.tokens[0].logprob == pytest.approx(values[40, event.tokens[0].id], abs=1e-4)


def test_each_of_many_draws_from_its_own_mixture(rules: TokenRules) -> None:
    with opened(mixture_of([decoder_of(model) for model in PAIR], SHARES, rules)) as mixture:
        alone = [ids(whole(mixture.submit(asked))) for asked in REQUESTS]
    with opened(mixture_of([decoder_of(model) for model in PAIR], SHARES, rules)) as mixture:
        together = [ids(whole(generation)) for generation in map(mixture.submit, REQUESTS)]
    assert together == alone


@pytest.mark.parametrize("writer", [0, 1])
def test_after_a_text_of_one_members_domain_that_member_writes(writer: int, rules: TokenRules) -> None:
    with opened(OurEngine(lambda: decoder_of(PAIR[writer]), rules, slots=SLOTS, chunk_tokens=16)) as alone:
        plain = {"temperature": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "min_new_tokens": 50}
        text = ids(whole(alone.submit(request([], max_new_tokens=50, seed=3, **plain))))
    decoder = MixtureDecoder([decoder_of(model) for model in PAIR], SHARES, slots=SLOTS)
    tokens = np.array([rules.start, *text], np.int32)
    states = decoder.states(tokens, np.zeros(len(tokens), np.int32), np.arange(len(tokens), dtype=np.int32))
    weights = states[:, -4:-2].exp().numpy()
    assert np.allclose(weights[0], SHARES, atol=1e-6)
    assert weights[-1, writer] > 0.999
    assert np.allclose(weights.sum(1), 1, atol=1e-5)


def test_models_of_two_tokenizers_are_refused_by_name(tmp_path: Path) -> None:
    one, other = write_release(tmp_path / "one", Form.BYTE), write_release(tmp_path / "other", Form.CHARACTER)
    members = [{"path": str(one), "name": "literature"}, {"path": str(other), "name": "news"}]
    with pytest.raises(
        InputError, match=r"and news can't be mixed token by token: their tokenizers are \w{12}"
    ):
        load(ModelConfig(path=one, engine={"kind": "mixture", "members": members}))


def test_a_mixture_is_loaded_from_its_members_folders(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "one", Form.BYTE)
    members = [{"path": str(folder), "name": "literature"}, {"path": str(folder), "share": 3}]
    engine = {"kind": "mixture", "members": members, "precision": "float32", "slots": 2}
    model = load(ModelConfig(path=folder, engine=engine))
    asyncio.run(model.close())
    assert model.facts.capabilities == {"logprobs", "prompt_logprobs", "logits"}
    assert model.facts.revision == f"mixture-{model.facts.model_sha256[:12]}"
    for wrong, message in (
        ({"kind": "mixture", "members": []}, "members"),
        ({"kind": "mixture", "member": members}, "did you mean 'members'"),
    ):
        with pytest.raises(RecipeError, match=message):
            load(ModelConfig(path=folder, engine=wrong))
