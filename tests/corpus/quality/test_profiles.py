"""Profiles decide as their originals do, and a recipe may change their thresholds one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from _plain_quality import swallow_keeps
from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import RecipeError
from tsuzuri.corpus.quality.config import QualityConfig, WebQuality
from tsuzuri.corpus.quality.judge import Judge
from tsuzuri.corpus.quality.metrics import METRICS, SPLITTERS
from tsuzuri.corpus.quality.profiles import OPTIONAL, profiles

SENTENCE = "吾輩は猫であるが、名前はまだ{}匹目の猫にはないと{}が言った。"
GOOD = "".join(
    SENTENCE.format(first, second)
    for first, second in zip("一二三四五六七八九十百千万億兆", "父母兄姉弟妹祖孫友隣敵師客主夫", strict=True)
)


@pytest.mark.parametrize("name", profiles())
def test_no_profile_has_an_optional_rule_of_its_own(name: str) -> None:
    with_all = profiles()[name].with_thresholds({rule.name: rule.bound for rule in OPTIONAL})
    assert with_all.rules == (*profiles()[name].rules, *OPTIONAL)
    assert {rule.metric for rule in OPTIONAL} <= set(METRICS)


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


CAT = (
    "吾輩は猫である。名前はまだ無い。どこで生れたか頓と見当がつかぬ。"
    "何でも薄暗いじめじめした所で泣いていた事だけは記憶している。"
)
KANBUN = (
    "中國哲學書電子化計劃線上開放電子圖書館為中外學者提供中國歷代傳世文"
    "獻力圖超越印刷媒體限制通過電子科技探索新方式與古代文獻進行溝通"
)
BREAKS_OURS = {
    "min_characters": "短い。",
    "max_characters": CAT,
    "min_japanese_ratio": "This page has not been translated from English yet, sorry. " + CAT[:10],
    "min_kana_ratio": KANBUN,
    "max_repeated_line_ratio": "\n".join(["同じ行がまた来る。"] * 8 + [CAT]),
    "max_repeated_ngram_ratio": "そして彼は扉を開けて中を見た。" * 3 + CAT,
}


@pytest.mark.parametrize("rule", BREAKS_OURS)
def test_each_rule_of_ours_gives_its_reason(rule: str) -> None:
    limit = {"max_characters": len(CAT) - 1} if rule == "max_characters" else {}
    rejection = Judge(QualityConfig(thresholds=limit)).reject(BREAKS_OURS[rule])
    assert rejection is not None
    assert rejection.reason == rule


def test_mc4_asks_for_three_long_lines() -> None:
    judge = Judge(QualityConfig(profile="mc4"))
    lines = ["春は曙。" * 50] * 3
    assert judge.reject("\n".join(lines)) is None
    lines[1] = lines[1][1:]
    rejection = judge.reject("\n".join(lines))
    assert rejection is not None
    assert (rejection.reason, rejection.value) == ("num_long_lines", 2)


@pytest.mark.parametrize("profile", ["general", "literature", "technical"])
def test_good_text_stays(profile: str) -> None:
    assert Judge(QualityConfig(profile=profile)).reject(CAT) is None


def test_profiles_differ_where_their_texts_do() -> None:
    refrain = "夜が明ける、夜が明ける。"
    verse = "\n".join([refrain, "鳥が鳴く。", refrain, "海が光る。", refrain, CAT])
    manual = "オプション -l を付けると long format で表示します。ls -l /usr/share/doc/packages/readme.txt "
    for text, suited in ((verse, "literature"), (manual + CAT[:20], "technical")):
        assert Judge(QualityConfig()).reject(text) is not None
        assert Judge(QualityConfig(profile=suited)).reject(text) is None


@pytest.mark.parametrize(
    ("rule", "text", "value"),
    [
        ("min_hiragana_ratio", CAT, 40 / 62),
        ("max_link_ratio", CAT, 0.25),
        ("max_symbol_ratio", CAT + "……", 2 / 46),
    ],
)
def test_a_recipe_adds_an_optional_rule(rule: str, text: str, value: float) -> None:
    slack = 1e-9 if rule.startswith("min") else -1e-9
    assert Judge(QualityConfig(thresholds={rule: value})).reject(text, link_share=0.25) is None
    judge = Judge(QualityConfig(thresholds={rule: value + slack}))
    rejection = judge.reject(text, link_share=0.25)
    assert rejection is not None
    assert (rejection.reason, rejection.value) == (rule, value)
    assert rule in judge.reasons
    assert rule not in Judge(QualityConfig()).reasons


def test_a_recipe_changes_a_threshold_beside_the_profile() -> None:
    config = parse_config(
        QualityConfig, {"profile": "swallow-v1", "max_sentence_length": 400}, where="quality"
    )
    assert config.thresholds == {"max_sentence_length": 400}
    text = GOOD.replace("。", "、", 7) + GOOD[::-1]
    strict, loose = (Judge(item).reject(text) for item in (WebQuality(), config))
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
