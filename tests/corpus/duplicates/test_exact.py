"""Keys of folded text, and which documents come first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.duplicates.exact import KEY_BYTES, first_occurrences, halves, key


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("ＡＢＣ　ガ", "abc ｶﾞ", True),
        ("一行\n二行", "一行二行", True),
        ("パパがバス", "ハハかハス", False),
        ("①", "1", True),
        ("猫", "犬", False),
    ],
)
def test_the_key_folds_spelling_and_nothing_else(left: str, right: str, same: bool) -> None:
    assert (key(left) == key(right)) is same
    assert len(key(left)) == KEY_BYTES


@given(st.lists(st.integers(0, 20)))
def test_the_first_of_equals_stays(values: list[int]) -> None:
    keys = [key(str(value)) for value in values]
    expected = [value not in values[:index] for index, value in enumerate(values)]
    assert first_occurrences(halves(keys)).tolist() == expected


def test_keys_that_differ_in_one_half_differ() -> None:
    keys = [bytes(16), bytes(15) + b"\1", b"\1" + bytes(15), bytes(16)]
    assert np.array_equal(first_occurrences(halves(keys)), [True, True, True, False])
