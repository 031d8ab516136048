from __future__ import annotations

import pickle

import pytest

from tsuzuri.core import errors
from tsuzuri.core.errors import MissingExtraError, TsuzuriError, closest


def test_the_hint_follows_the_message() -> None:
    assert str(TsuzuriError("no model", hint="train one")) == "no model\n  → train one"
    assert str(TsuzuriError("no model")) == "no model"


def test_every_error_stands_in_the_drawn_tree() -> None:
    drawn = errors.__doc__ or ""
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TsuzuriError)
    ]
    assert len(kinds) > 5
    assert [kind.__name__ for kind in kinds if kind.__name__ not in drawn] == []


@pytest.mark.parametrize("error", [TsuzuriError("no", hint="try"), MissingExtraError("torch", "train")])
def test_errors_come_whole_out_of_another_process(error: TsuzuriError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)


def test_a_missing_extra_names_its_command() -> None:
    assert "pip install 'tsuzuri[train]'" in str(MissingExtraError("torch", "train"))


def test_closest_names_one_word_or_none() -> None:
    assert closest("steqs", ["steps", "length"]) == " (did you mean 'steps'?)"
    assert closest("xyzzy", ["steps", "length"]) == ""
