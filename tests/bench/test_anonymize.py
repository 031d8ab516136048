"""The made-up sentences are what they claim to be, and the rules meet their bar on a seed of their own."""

from __future__ import annotations

import pytest

from _personal_data import KINDS, examples
from anonymize import covers, one_telephone, our_side, plain_side, quality


def test_sentences_hang_on_their_seed_and_mark_their_datum() -> None:
    made = list(examples(seed=1, count=20))
    assert made == list(examples(seed=1, count=20))
    assert made != list(examples(seed=2, count=20))
    assert {example.kind for example in made} == KINDS.keys()
    assert sum(example.end > 0 for example in made) == len(made) / 2
    assert all(example.text[example.start : example.end].strip() for example in made if example.end)


def test_recall_and_precision_meet_the_bar_on_a_seed_of_their_own() -> None:
    for kind, rates in quality(our_side(), examples(seed=41, count=60)).items():
        assert min(rates.values()) >= 0.98, (kind, rates)


def test_a_side_that_finds_nothing_or_everything_is_measured_so() -> None:
    made = list(examples(seed=3, count=5))
    nothing = quality(lambda text: [], made)
    assert {rate for rates in nothing.values() for rate in rates.values()} == {0.0}
    everything = quality(lambda text: [("email", 0, len(text))], made)
    assert everything["email"]["recall"] == 1
    assert everything["email"]["precision"] == pytest.approx(5 / len(made), abs=1e-4)


def test_plain_expressions_miss_and_over_match() -> None:
    rates = quality(plain_side(), examples(seed=4, count=20), one_telephone)["telephone"]
    assert 0 < rates["precision"] < 0.9
    assert 0 < rates["recall"] < 1


def test_brackets_need_not_be_covered() -> None:
    example = next(
        item for item in examples(0, 50) if item.end and item.text[item.start : item.end].startswith("(")
    )
    assert covers(example, example.start + 1, example.end)
    assert not covers(example, example.start + 2, example.end)
