"""Profiles decide as their originals do, and a recipe may change their thresholds one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from _plain_quality import swallow_keeps
from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import RecipeError
from tsuzuri.corpus.config import LiteratureFilters, TechnicalFilters
from tsuzuri.corpus.filters.rules import REASONS, reject_reason
from tsuzuri.corpus.quality.config import QualityConfig
from tsuzuri.corpus.quality.judge import Judge
from tsuzuri.corpus.quality.metrics import METRICS, SPLITTERS
from tsuzuri.corpus.quality.profiles import profiles

SENTENCE = "吾輩は猫であるが、名前はまだ{}匹目の猫にはないと{}が言った。"
GOOD = "".join(
    SENTENCE.format(first, second)
    for first, second in zip("一二三四五六七八九十百千万億兆", "父母兄姉弟妹祖孫友隣敵師客主夫", strict=True)
)
OURS = ("min_characters", "max_characters", "min_japanese_ratio", "min_kana_ratio")


@pytest.mark.parametrize("name", profiles())
def test_rules_have_names_of_their_own_and_ask_for_metrics_that_exist(name: str) -> None:
    profile = profiles()[name]
    assert profile.name == name
    assert len({rule.name for rule in profile.rules}) == len(profile.rules)
    assert {rule.metric for rule in profile.rules} <= set(METRICS)
    assert profile.words in SPLITTERS
    assert not {rule.source for rule in profile.rules} & {""}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([*GOOD.split("。"), "アイウエオ！", "abc", "漢字漢字漢字", "はい…", "\n"]),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from(["", "。", "。\n"]),
)
def test_swallows_decisions(parts: list[str], joint: str) -> None:
    text = joint.join(parts)
    assert (Judge(QualityConfig(profile="swallow-v1")).reject(text) is None) == swallow_keeps(text)


REJECTED = {
    "num_letters": "短い。",
    "duplicate_paragraph_fraction": "\n".join([GOOD[:60]] * 10),
    "japanese_fraction": " ".join(f"word{number * 7919}" for number in range(200)),
    "max_sentence_length": GOOD.replace("。", "、", 7) + GOOD[::-1],
    "ellipsis_fraction": GOOD.replace("。", "…\n"),
}


@pytest.mark.parametrize("reason", REJECTED)
def test_the_first_rule_broken_is_the_reason(reason: str) -> None:
    only = profiles()["swallow-v1"]
    loose = {rule.name: 0.0 if rule.comparison == "<" else 1e9 for rule in only.rules if rule.name != reason}
    rejection = Judge(QualityConfig(profile="swallow-v1", thresholds=loose)).reject(REJECTED[reason])
    assert rejection is not None
    assert rejection.reason == reason
    assert rejection.bound == next(rule.bound for rule in only.rules if rule.name == reason)
    assert reason in str(rejection)


@pytest.mark.parametrize(
    ("profile", "filters"), [("literature", LiteratureFilters()), ("technical", TechnicalFilters())]
)
@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="あア漢々字、。aＺ9 \n…ゝ", max_size=400))
def test_our_profiles_are_the_filters_of_before(
    profile: str, filters: LiteratureFilters | TechnicalFilters, text: str
) -> None:
    names = (*OURS, "max_repeated_line_ratio", "max_repeated_ngram_ratio")
    shortest = {"min_characters": filters.min_characters}  # the present one of manuals is their source's
    rejection = Judge(QualityConfig(profile=profile, thresholds=shortest)).reject(text)
    found = "" if rejection is None else REASONS[names.index(rejection.reason)]
    assert found == reject_reason(text, filters)


def test_a_recipe_changes_a_threshold_beside_the_profile() -> None:
    config = parse_config(
        QualityConfig, {"profile": "swallow-v1", "max_sentence_length": 400}, where="quality"
    )
    assert config.thresholds == {"max_sentence_length": 400}
    text = GOOD.replace("。", "、", 7) + GOOD[::-1]
    strict, loose = (Judge(item).reject(text) for item in (QualityConfig(), config))
    assert (strict is not None, strict and strict.reason) == (True, "max_sentence_length")
    assert loose is None or loose.reason != "max_sentence_length"


def test_a_name_alone_is_a_profile() -> None:
    assert QualityConfig.model_validate("literature").profile == "literature"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"profile": "swalow-v1"}, "did you mean 'swallow-v1'"),
        ({"profile": "swallow-v1", "max_sentence_lenght": 400}, "did you mean 'max_sentence_length'"),
        ({"profile": "literature", "max_sentence_length": 400}, "no rule 'max_sentence_length'"),
        ({"profile": "swallow-v1", "max_sentence_length": "long"}, "max_sentence_length"),
        ({"language": {"keep": []}}, "keep"),
    ],
)
def test_what_a_recipe_may_not_say(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_config(QualityConfig, values, where="quality")


def test_what_was_resolved_reads_back() -> None:
    values = {"profile": "fineweb2-ja-chars", "num_stop_words": 3, "ng_words": {"file": "words.txt"}}
    config = parse_config(QualityConfig, values, where="quality")
    assert config.ng_words[0].max_rate == 0.05
    assert parse_config(QualityConfig, config.as_mapping(), where="quality") == config


def test_infinite_thresholds_are_refused() -> None:
    with pytest.raises(ValidationError):
        QualityConfig(thresholds={"max_sentence_length": float("inf")})
