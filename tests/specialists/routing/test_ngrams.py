"""A domain's model is a distribution over characters, and knows its own texts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tests.specialists.routing.test_router import texts_of

from tsuzuri.core.errors import InputError
from tsuzuri.specialists.routing.grams import OPENING, prepared
from tsuzuri.specialists.routing.ngrams import UNSEEN, NGramModel, numbers_of, train_ngrams


def nats(model: NGramModel, text: str) -> float:
    return model.nats(numbers_of(prepared(text, 10_000)))


def test_what_follows_sums_to_one() -> None:
    texts = ["いろはにほへと", "いろいろ", "はな", "はなはなはなは"]
    model = train_ngrams(texts)
    characters = sorted(set("".join(texts)))
    for before in ("", "い", "いろ", "はなはな", "ぬ"):
        known = nats(model, before)
        total = sum(math.exp(known - nats(model, before + character)) for character in characters)
        unseen = math.exp(known - nats(model, before + "鬱"))
        assert total + unseen * (1 / UNSEEN - len(characters)) == pytest.approx(1, abs=1e-4)


def test_its_own_texts_are_likelier(tmp_path: Path) -> None:
    models = {name: train_ngrams(texts_of(name, 60, 1)) for name in ("news", "manual")}
    text = texts_of("news", 1, 2)[0]
    assert nats(models["news"], text) < 0.5 * nats(models["manual"], text)
    models["news"].save(tmp_path / "news.npz")
    assert nats(NGramModel.load(tmp_path / "news.npz"), text) == nats(models["news"], text)


def test_no_more_is_read_than_allowed() -> None:
    texts = texts_of("news", 5, 1)
    one = train_ngrams([texts[0]])
    same = train_ngrams((text for text in texts), most_characters=len(texts[0]))
    assert nats(one, texts[1]) == nats(same, texts[1])
    for nothing in ([], ["", ""]):
        with pytest.raises(InputError, match="no texts"):
            train_ngrams(nothing)


def test_widths_and_digits_are_folded() -> None:
    assert prepared("ｶﾞ２０２６年", 100).tolist() == [OPENING, *map(ord, "ガ0000年")]
    assert len(prepared("ﷺ" * 1000, 100)) == 101
