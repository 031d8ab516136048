"""Policies by level, and what no configuration may say."""

from __future__ import annotations

import pytest

from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import RecipeError
from tsuzuri.corpus.anonymize.config import THRESHOLDS, TOKENS, AnonymizeConfig, Kind, Policy


@pytest.mark.parametrize(
    ("kind", "standard", "strict"),
    [
        ("my_number", "mask", "mask"),
        ("bank_account", "context", "mask"),
        ("postal_code", "context", "mask"),
        ("person_name", "context", "mask"),
        ("handle", "keep", "mask"),
        ("corporate_number", "keep", "keep"),
        ("service_phone", "keep", "keep"),
    ],
)
def test_a_level_is_a_policy_for_each_kind(kind: Kind, standard: Policy, strict: Policy) -> None:
    assert AnonymizeConfig().policy(kind) == standard
    assert AnonymizeConfig(level="strict").policy(kind) == strict
    assert AnonymizeConfig(level="off").policy(kind) == "keep"
    assert AnonymizeConfig(policies={kind: "mask"}).policy(kind) == "mask"


def test_tokens_are_written_in_brackets_and_a_kept_kind_is_never_masked() -> None:
    assert all(token.startswith("<") and token.endswith(">") for token in TOKENS.values())
    assert THRESHOLDS["keep"] > 1 >= THRESHOLDS["context"] > THRESHOLDS["mask"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"levle": "strict"}, "did you mean 'level'"),
        ({"level": "hard"}, "standard"),
        ({"policies": {"phone": "mask"}}, "landline"),
        ({"mode": "surrogate"}, "key_file"),
    ],
)
def test_a_wrong_value_is_an_error_that_says_what_is_allowed(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_config(AnonymizeConfig, values, where="anonymize")
