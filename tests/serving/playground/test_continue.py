"""The page that goes on from a text, in a real Chromium, over an API whose prose is known."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI

import prose_api
from chromium import Tab

pytestmark = pytest.mark.slow

Open = Callable[..., Tab]
OPENING = "朝、窓を開けると、庭には一面に雪が積もっていた。"
WATCH = """
window.seen = [];
new MutationObserver(() => seen.push(document.querySelector('.answer .text').textContent))
  .observe(document.querySelector('.answers'), {childList: true, subtree: true});
"""


def draft_text(draft: Any) -> str:
    """What stands on a draft's sheet."""
    text: str = draft.locator(".text").evaluate("node => node.textContent")
    return text


def test_a_text_goes_on_in_whole_characters_and_the_request_is_what_was_set(
    open_tab: Open, prose: tuple[str, FastAPI]
) -> None:
    tab = open_tab()
    tab.page.locator("#model option").nth(1).wait_for(state="attached")
    assert tab.page.locator("#text").input_value() == OPENING
    assert tab.page.locator("output").nth(1).inner_text() == "0.8"  # as the release prefers
    tab.set_range("temperature", 1.1)
    tab.set_range("top_p", 0.9)
    tab.set_range("max_tokens", 96)
    tab.set_range("repetition_penalty", 1.2)
    tab.page.get_by_label("種（seed）").fill("3")
    tab.page.get_by_label("終わりの言葉").fill("終わり\n\n」と")
    tab.page.get_by_label("モデル").select_option("tsuzuri-350m")
    tab.page.evaluate(WATCH)
    tab.write()
    (draft,) = tab.drafts(1)
    assert draft_text(draft) == prose_api.TEXTS[0]
    seen = set(tab.page.evaluate("seen"))
    assert len(seen) > 10
    assert all(prose_api.TEXTS[0].startswith(part) for part in seen)
    assert prose[1].state.asked[-1] == {
        "prompt": OPENING,
        "model": "tsuzuri-350m",
        "max_tokens": 96,
        "temperature": 1.1,
        "min_p": 0.03,
        "top_p": 0.9,
        "repetition_penalty": 1.2,
        "n": 1,
        "seed": 3,
        "stop": ["終わり", "」と"],
        "logprobs": 5,
        "stream": True,
    }
    assert "書き終えた · 101 字 · 62 トークン/秒 · 伏せた箇所 1" in draft.inner_text()


def test_what_a_screen_reader_hears_is_sentences(open_tab: Open) -> None:
    tab = open_tab()
    tab.page.get_by_label("種（seed）").fill("0")
    tab.write()
    tab.drafts(1)
    heard: list[str] = tab.page.evaluate("heard")
    said = [text for text in heard if text]
    assert said[0] == "書いています。"
    assert said[-1].endswith("書き終えました。101 字。")
    assert len(said) < 10
    assert all(text[-1] in "。！？」\n" for text in said)
    assert "".join(said[1:]).replace(" 書き終えました。101 字。", "") == prose_api.TEXTS[0]
    assert tab.page.locator(".answer .text").get_attribute("aria-busy") == "false"


@pytest.mark.parametrize("by", ["button", "Escape"])
def test_stopping_keeps_what_was_written_and_ends_it_on_the_server(
    open_tab: Open, prose: tuple[str, FastAPI], by: str
) -> None:
    tab = open_tab()
    left = prose[1].state.left
    tab.page.locator("#text").fill("いつまでも続く雪")
    tab.write()
    tab.page.locator(".answer .text", has_text=re.compile("[庭雪弟]")).wait_for()
    assert tab.page.locator("#go").inner_text() == "止める"
    if by == "button":
        tab.page.locator("#go").click()
    else:
        tab.page.keyboard.press("Escape")
    (draft,) = tab.drafts(1)
    assert "止めた" in draft.locator(".note").inner_text()
    assert draft_text(draft)
    assert tab.page.locator("#go").inner_text() == "もう一案書く"
    until = time.monotonic() + 90
    while prose[1].state.left == left and time.monotonic() < until:
        time.sleep(0.02)
    assert prose[1].state.left == left + 1


def test_drafts_stand_side_by_side_and_the_one_that_is_bound_goes_on(
    open_tab: Open, prose: tuple[str, FastAPI]
) -> None:
    tab = open_tab(width=1440)
    tab.set_range("n", 2)
    tab.page.get_by_label("種（seed）").fill("0")
    tab.page.locator("#text").press("Control+Enter")
    first, second = tab.drafts(2)
    assert [draft_text(first), draft_text(second)] == list(prose_api.TEXTS[:2])
    one, other = first.bounding_box(), second.bounding_box()
    assert one["y"] == other["y"]
    assert one["x"] + one["width"] <= other["x"]
    assert "種 0" in first.inner_text()
    assert "種 1" in second.inner_text()

    tab.page.get_by_label("種（seed）").fill("2")
    tab.set_range("n", 1)
    assert tab.page.locator("#go").inner_text() == "もう一案書く"
    tab.write()
    assert tab.drafts(3)[0].get_attribute("aria-label") == "第三稿"
    tab.button("綴じる", tab.draft("第二稿")).click()
    assert tab.page.locator("#text").input_value() == OPENING + prose_api.TEXTS[1]
    assert tab.page.evaluate("document.activeElement.id") == "text"
    tab.write()
    tab.drafts(4)
    assert prose[1].state.asked[-1]["prompt"] == OPENING + prose_api.TEXTS[1]
    tab.page.locator("#undo").click()
    assert tab.page.locator("#text").input_value() == OPENING
    tab.button("この案を片づける", tab.draft("第三稿")).click()
    assert tab.page.locator(".answer").count() == 3


def test_tokens_show_how_likely_they_were_and_lead_elsewhere(
    open_tab: Open, prose: tuple[str, FastAPI]
) -> None:
    tab = open_tab()
    tab.page.get_by_label("種（seed）").fill("0")
    tab.write()
    (draft,) = tab.drafts(1)
    tab.button("確率を見る", draft).click()
    tokens = draft.locator(".token")
    text = prose_api.TEXTS[0]
    assert "".join(tokens.all_inner_texts()).replace("\n", "") == text.replace("\n", "")
    assert draft_text(draft) == text
    for letter in "鱈鷺":  # three tokens each
        assert tokens.get_by_text(letter, exact=True).count() == 1

    tab.button("文章に戻す", draft).focus()
    tab.page.keyboard.press("Shift+Tab")
    tab.page.keyboard.press("Shift+Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == text[:1]
    assert draft.locator(".peek").inner_text().startswith("白 93 %")
    tab.page.keyboard.press("ArrowRight")
    assert draft.locator(".peek").inner_text().startswith("い庭 41 %")
    assert draft.locator(".token[tabindex='0']").count() == 1
    tab.page.keyboard.press("ArrowLeft")
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Tab")
    rival = tab.page.evaluate("document.activeElement.textContent")
    assert rival in prose_api.RIVALS
    tab.page.keyboard.press("Enter")
    tab.drafts(2)
    assert prose[1].state.asked[-1]["prompt"] == OPENING + text[:1] + rival

    first = tab.draft("第一稿")
    first.locator(".token", has_text="鱈").hover()
    assert "3 トークンで一つの字" in first.locator(".peek").inner_text()


def test_what_goes_wrong_is_said_in_words(open_tab: Open) -> None:
    tab = open_tab(key="")
    alarm = tab.page.locator(".continue > .desk .manuscript .alarm")
    alarm.wait_for()
    assert "API キーを入れてください。" in alarm.inner_text()
    assert tab.page.locator("#go").is_disabled()
    tab.button("キーを入れる", alarm).click()
    tab.page.get_by_label("あなたのキー").fill(prose_api.KEY)
    tab.page.keyboard.press("Enter")
    tab.page.locator("#model option").first.wait_for(state="attached")
    assert alarm.is_hidden()
    tab.page.locator("#text").fill("混雑")
    tab.write()
    alarm.get_by_text("7 秒後にもう一度どうぞ。").wait_for()
    assert tab.page.locator(".answer").count() == 0
    tab.page.locator("#text").fill("途中で")
    tab.write()
    (draft,) = tab.drafts(1)
    assert draft_text(draft)
    assert "途中まで" in draft.locator(".note").inner_text()
    assert tab.faults() == []


def test_the_key_stays_within_the_tab(open_tab: Open) -> None:
    tab = open_tab()
    tab.page.locator("#model option").first.wait_for(state="attached")
    kept = tab.page.evaluate("JSON.stringify({...localStorage}) + document.cookie + location.href")
    assert prose_api.KEY not in kept
    assert tab.page.evaluate("sessionStorage.getItem('tsuzuri.key')") == prose_api.KEY
    tab.page.locator("#key").click()
    tab.button("外す").click()
    tab.page.locator(".manuscript .alarm").wait_for()
    assert tab.page.evaluate("sessionStorage.getItem('tsuzuri.key')") is None
    tab.page.reload()
    tab.page.locator(".manuscript .alarm").wait_for()


def test_language_theme_and_direction_are_the_readers_choice(open_tab: Open) -> None:
    tab = open_tab(locale="en-GB", theme="dark")
    tab.page.locator("#model option").first.wait_for(state="attached")
    assert tab.page.locator("#go").inner_text() == "Continue the text"
    assert tab.page.locator("#text").get_attribute("lang") == "ja"
    assert not re.search(r"[぀-ヿ一-鿿]", tab.page.locator(".side").inner_text())
    dark = tab.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    tab.page.locator("#theme").select_option("light")
    assert tab.page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != dark
    tab.page.locator("#language").click()
    assert tab.page.locator("#go").inner_text() == "続きを書く"
    assert tab.page.evaluate("document.documentElement.lang") == "ja"
    tab.page.locator("#vertical").click()
    modes = "getComputedStyle(document.getElementById('text')).writingMode"
    assert tab.page.evaluate(modes) == "vertical-rl"
    tab.page.reload()
    tab.page.locator("#model option").first.wait_for(state="attached")
    assert tab.page.evaluate(modes) == "vertical-rl"
    assert tab.page.locator("#go").inner_text() == "続きを書く"
    assert tab.page.evaluate("document.documentElement.dataset.theme") == "light"


def test_a_link_opens_the_text_with_its_settings_and_tells_the_server_nothing(
    open_tab: Open, prose: tuple[str, FastAPI]
) -> None:
    settings = {"temperature": 0.9, "min_p": 0.02, "seed": 8, "n": 3, "stop": ["。"]}
    tab = open_tab("/#/continue?text=雪の%20夜%26&with=" + json.dumps(settings))
    assert tab.page.locator("#text").input_value() == "雪の 夜&"
    tab.write()
    tab.drafts(3)
    asked = prose[1].state.asked[-1]
    assert {name: asked[name] for name in settings} == settings  # not what the release prefers
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.button("リンク").click()
    tab.button("コピーしました").wait_for()
    link = urlsplit(tab.page.evaluate("navigator.clipboard.readText()"))
    assert link.query == ""
    assert parse_qs(link.fragment.partition("?")[2])["text"] == ["雪の 夜&"]
    draft = tab.draft("第一稿")
    tab.button("コピー", draft).click()
    tab.button("コピーしました", draft).wait_for()
    assert tab.page.evaluate("navigator.clipboard.readText()") == "雪の 夜&" + prose_api.TEXTS[2]


@pytest.mark.parametrize(
    ("width", "locale", "theme"),
    [(320, "en-US", "light"), (390, "ja-JP", "dark"), (820, "en-US", "dark"), (1440, "ja-JP", "light")],
)
def test_the_page_is_right_for_every_window_and_eye(
    open_tab: Open, width: int, locale: str, theme: str
) -> None:
    tab = open_tab(theme=theme, width=width, height=844, locale=locale)
    tab.page.locator("#model option").first.wait_for(state="attached")
    if tab.page.locator(".side").get_attribute("open") is None:
        tab.page.locator(".side summary").click()
    tab.set_range("n", 2)
    tab.write()
    draft = tab.drafts(2)[0]
    draft.get_by_role("button", name=re.compile("確率を見る|Show prob")).click()
    draft.locator(".token").nth(6).click()
    assert tab.faults() == []
    tab.page.locator("#vertical").click()
    tab.page.locator("#vertical").hover()
    assert tab.faults() == []


def test_the_tab_key_goes_through_the_page_in_its_order(open_tab: Open) -> None:
    tab = open_tab()
    tab.page.locator("#model option").first.wait_for(state="attached")
    order = []
    for _ in range(30):
        tab.page.keyboard.press("Tab")
        order.append(
            tab.page.evaluate(
                "(e => e.id || e.closest('[role=group]')?.className || e.getAttribute('href') || e.tagName)"
                "(document.activeElement)"
            )
        )
    steps = list(dict.fromkeys(order))
    expected = [
        "#main",
        "#/continue",
        "#/apply",
        "#/usage",
        "#/admin",
        "language",
        "theme",
        "key",
        "openings",
    ]
    assert steps[: len(expected)] == expected
    assert (
        steps.index("text") < steps.index("go") < steps.index("model") < steps.index("sampling-temperature")
    )
    tab.page.locator("#main").focus()
    tab.page.locator(".skip").focus()
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate("document.activeElement.id") == "main"
