"""The page of specialists, in a real Chromium over a real gateway, with workers that do as they are told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest

from buses import Deaf, until
from chromium import Tab
from fake_workers import failing
from houses import ALIAS, House
from servers import ask, running
from tsuzuri.serving.config import ServeConfig
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.gateway.server import Specialists
from tsuzuri.specialists.routing.base import RouterConfig, RuleConfig

pytestmark = pytest.mark.slow

Open = Callable[..., Tab]
SECRET = "民法の秘密"
PATH = "/#/specialists"


class Served:
    """A house behind a gateway, whose broker may fall silent."""

    def __init__(self, house: House, guest: Specialists, deaf: Deaf, address: str) -> None:
        self.house, self.guest, self.deaf, self.address = house, guest, deaf, address

    def ask(self, prompt: str = SECRET) -> int:
        """The status of one request."""
        body = {"model": ALIAS, "prompt": prompt, "max_tokens": 8}
        return ask(self.address, "/v1/completions", body)[0]

    def joins(self, specialist: str, title: str, **settings: Any) -> None:
        """A specialist more."""
        worker = self.house.worker(specialist, **settings)
        found = self.house.registry.descriptors[specialist, "r1"]
        self.house.registry.put_descriptor(msgspec.structs.replace(found, title=title))
        living = self.guest.gateway.living
        until(lambda: any(worker.instance in of for of in living.live.values()))


@pytest.fixture
def served() -> Iterator[Served]:
    rules = (RuleConfig(specialist="law", keywords=("民法",)),)
    config = SpecialistsConfig(
        alias=ALIAS,
        router=RouterConfig(method="table", generalist="general", rules=rules),
        bus=BusConfig(prefix="page"),
    )
    house = House("page")
    with ExitStack() as stack:
        stack.callback(house.close)
        deaf = Deaf(house.open_bus())
        guest = Specialists(config, bus=deaf)
        address, _ = stack.enter_context(running(ServeConfig(port=0, drain_s=1.0), [guest]))
        yield Served(house, guest, deaf, address)


def card(tab: Tab, specialist: str) -> Any:
    """The sheet of a revision, once it is there."""
    found = tab.page.get_by_role("article", name=f"{specialist}/r1")
    found.wait_for()
    return found


def told(tab: Tab, specialist: str, name: str) -> Any:
    """What stands beside a name on a revision's sheet."""
    return card(tab, specialist).locator("dt", has_text=name).locator("+ dd")


def test_from_an_empty_house_to_answers_and_errors(served: Served, open_tab: Open) -> None:
    tab = open_tab(PATH, address=served.address, key="")
    links = tab.page.get_by_role("navigation").get_by_role("link")
    assert links.all_inner_texts() == ["続きを書く", "スペシャリスト"]
    tab.page.get_by_role("heading", name="まだ誰もいません").wait_for()
    assert tab.faults() == []

    served.house.admit("general", "law")
    tab.page.get_by_text("general、law のワーカーがいません。").wait_for()
    served.joins("general", "")
    served.joins("law", "法令")
    card(tab, "law").get_by_role("heading", name="法令").wait_for()
    tab.page.get_by_text("のワーカーがいません。").wait_for(state="hidden")
    assert "応答中" in card(tab, "law").inner_text()
    assert [served.ask() for _ in range(3)] == [200] * 3
    assert served.ask("むかし") == 200
    tab.page.locator(".routings li").nth(3).wait_for()
    assert "どの規則にも合わない" in tab.page.locator(".routings li").first.inner_text()
    assert tab.page.locator(".routings li", has_text="規則 0 に合う").count() == 3
    until(lambda: tab.page.wait_for_timeout(100) or told(tab, "law", "終わりまで").inner_text() != "—")
    assert told(tab, "law", "割り当て").inner_text() == "100%"
    assert "秘密" not in tab.page.locator("body").inner_text()
    assert "秘密" not in json.dumps(ask(served.address, "/admin/specialists")[2], ensure_ascii=False)
    assert tab.faults() == []

    served.house.workers[1].stop_after, served.house.workers[1].at_stop = (
        2,
        failing("invalid", is_retryable=False),
    )
    assert served.ask() == 400
    until(lambda: tab.page.wait_for_timeout(100) or told(tab, "law", "失敗").inner_text() == "1")
    tab.page.locator(".routings .failed", has_text="invalid").wait_for()
    assert "1" in tab.page.locator(".sums .alarm b").first.inner_text()
    served.house.workers[1].die()
    tab.page.get_by_text("law のワーカーがいません。").wait_for()
    assert any("法令 がいなくなりました。" in heard for heard in tab.page.evaluate("window.heard"))
    assert tab.faults() == []


@pytest.mark.parametrize(
    ("locale", "theme", "width"), [("ja-JP", "dark", 390), ("en-US", "light", 390), ("en-US", "dark", 1280)]
)
def test_every_width_theme_and_language(
    served: Served, open_tab: Open, locale: str, theme: str, width: int
) -> None:
    served.house.admit("general", "law")
    served.joins("general", "")
    served.joins("law", "法令")
    served.ask()
    tab = open_tab(PATH, address=served.address, key="", locale=locale, theme=theme, width=width)
    card(tab, "law").locator("summary").click()
    tab.page.locator(".routings li").first.wait_for()
    assert tab.faults() == []
    if locale == "en-US":
        assert "rule 0 is met" in tab.page.locator(".routings").inner_text()
        tab.button("日本語").click()
        assert "規則 0 に合う" in tab.page.locator(".routings").inner_text()


def test_a_broker_that_is_away_is_told_and_what_was_known_stays(served: Served, open_tab: Open) -> None:
    served.house.admit("general")
    served.joins("general", "なんでも")
    tab = open_tab(PATH, address=served.address, key="")
    card(tab, "general")
    served.deaf.is_deaf = True
    tab.page.get_by_role("alert").get_by_text("ブローカーに届きません。").wait_for()
    assert "nobody answers" in tab.page.get_by_role("alert").inner_text()
    assert "なんでも" in card(tab, "general").inner_text()
    assert tab.faults() == []
    served.deaf.is_deaf = False
    tab.page.get_by_text("ブローカーに届きません。").wait_for(state="hidden")


def test_it_looks_only_while_somebody_looks_and_keeps_the_focus(served: Served, open_tab: Open) -> None:
    served.house.admit("general")
    served.joins("general", "")
    tab = open_tab(PATH, address=served.address, key="")
    looks: list[str] = []
    tab.page.on(
        "request", lambda asked: looks.append(asked.url) if "admin/specialists" in asked.url else None
    )
    summary = card(tab, "general").locator("summary")
    summary.focus()
    tab.page.keyboard.press("Enter")
    served.ask()  # what the sheet shows is new
    until(lambda: tab.page.wait_for_timeout(100) or told(tab, "general", "終わりまで").inner_text() != "—")
    assert summary.evaluate("node => node === document.activeElement && node.parentElement.open")
    tab.button("更新を止める").click()
    tab.page.wait_for_timeout(500)
    looks.clear()
    tab.page.wait_for_timeout(2600)
    assert looks == []
    tab.button("更新を続ける").click()
    until(lambda: tab.page.wait_for_timeout(100) or len(looks) > 1)
    tab.page.get_by_role("link", name="続きを書く").click()
    tab.page.wait_for_timeout(500)
    looks.clear()
    tab.page.wait_for_timeout(2600)
    assert looks == []


def test_who_may_not_look_is_asked_for_a_key(served: Served, open_tab: Open) -> None:
    tab = open_tab("/", address=served.address, key="")
    refused = {"error": {"code": "admin_key_required", "message": "this needs an administrator's key"}}
    tab.page.route(
        "**/admin/specialists",
        lambda route: route.fulfill(status=403, content_type="application/json", body=json.dumps(refused)),
    )
    tab.page.get_by_role("link", name="スペシャリスト").click()
    tab.page.get_by_text("管理者のキーが要ります。").wait_for()
    assert tab.page.locator(".sums").is_hidden()
    assert tab.faults() == []
