"""Each rule rejects what it is for and keeps good text."""

from __future__ import annotations

import pytest

from tsuzuri.corpus.config import FilterConfig, LiteratureFilters, TechnicalFilters
from tsuzuri.corpus.filters.rules import REASONS, reject_reason

GOOD = (
    "吾輩は猫である。名前はまだ無い。どこで生れたか頓と見当がつかぬ。"
    "何でも薄暗いじめじめした所で泣いていた事だけは記憶している。"
)
BAD = {
    "too_short": "短い。",
    "too_long": GOOD,
    "not_japanese": "This page has not been translated from English yet, sorry. " + GOOD[:10],
    "few_kana": "中國哲學書電子化計劃線上開放電子圖書館為中外學者提供中國歷代傳世文"
    "獻力圖超越印刷媒體限制通過電子科技探索新方式與古代文獻進行溝通",
    "repeated_lines": "\n".join(["同じ行がまた来る。"] * 8 + [GOOD]),
    "repeated_ngrams": "そして彼は扉を開けて中を見た。" * 3 + GOOD,
}


@pytest.mark.parametrize("reason", REASONS)
def test_each_rule_gives_its_reason(reason: str) -> None:
    config = FilterConfig(max_characters=len(GOOD) - 1) if reason == "too_long" else FilterConfig()
    assert reject_reason(BAD[reason], config) == reason


@pytest.mark.parametrize("config", [FilterConfig(), LiteratureFilters(), TechnicalFilters(min_characters=50)])
def test_good_text_stays(config: FilterConfig) -> None:
    assert reject_reason(GOOD, config) == ""


def test_profiles_differ_where_their_texts_do() -> None:
    refrain = "夜が明ける、夜が明ける。"
    verse = "\n".join([refrain, "鳥が鳴く。", refrain, "海が光る。", refrain, GOOD])
    assert reject_reason(verse, FilterConfig()) == "repeated_lines"
    assert reject_reason(verse, LiteratureFilters()) == ""
    manual = (
        "オプション -l を付けると long format で表示します。" * 1
        + "ls -l /usr/share/doc/packages/readme.txt "
        + GOOD[:40]
    )
    assert reject_reason(manual, FilterConfig(min_japanese_ratio=0.6)) == "not_japanese"
    assert reject_reason(manual, TechnicalFilters(min_characters=50)) == ""
