"""Makes the picture of the page of specialists in the documents: stand-ins for workers, a real gateway and
router, and of one specialist a second revision with a quarter of its requests.

PYTHONPATH=src:tests python tests/serving/playground/specialists_picture.py docs
"""

from __future__ import annotations

import io
import random
import sys
import tempfile
import threading
from pathlib import Path

import msgspec
from PIL import Image
from playwright.sync_api import sync_playwright

from buses import until
from chromium import FLAGS, Tab
from fake_workers import admit
from houses import ALIAS, House
from servers import ask, running
from tsuzuri.serving.config import ServeConfig
from tsuzuri.specialists.bus.config import BusConfig
from tsuzuri.specialists.config import SpecialistsConfig
from tsuzuri.specialists.gateway.server import Specialists
from tsuzuri.specialists.registry.registry import CONTROLLER
from tsuzuri.specialists.routing.base import RouterConfig
from tsuzuri.specialists.routing.trained import train_router

TITLES = {"literature": "文学", "news": "報道", "generalist": "よろず"}
WORDS = {
    "literature": "むかし 山 おじいさん 柴刈り 川 洗濯 桃 鬼 舟 月 秋 風 しずかに 歩いた であった 私は",
    "news": "首相 会見 発表 事故 調べ 午前 逮捕 容疑 地震 震度 気象庁 によると 自治体 警報 市内 株価",
}
SHARES = {name: {"1.0-3f2a9c": 1.0} for name in TITLES} | {
    "literature": {"1.0-3f2a9c": 0.75, "1.1-b81c04": 0.25}
}
STEP_S = 0.02
CLIENTS = 4
LOAD_S = 62
COLOURS = 96


def text_of(domain: str, words: int, source: random.Random) -> str:
    """A text of a domain's words."""
    return "、".join(source.choices(WORDS[domain].split(), k=words)) + "。"


def router_at(folder: Path) -> RouterConfig:
    """A router that has learnt the domains."""
    source = random.Random(0)
    texts = {name: [text_of(name, 30, source) for _ in range(120)] for name in WORDS}
    train_router(
        folder,
        {name: lambda name=name: texts[name][:80] for name in texts},  # type: ignore[misc]
        {name: texts[name][80:] for name in texts},
    )
    return RouterConfig(path=folder, generalist="generalist")


def load(address: str, is_over: threading.Event, number: int) -> None:
    """Requests one after another."""
    source = random.Random(number)
    while not is_over.wait(source.random()):
        domain = source.choice([*WORDS, "literature", "code"])
        prompt = "for (int i = 0; i < n; ++i) {" if domain == "code" else text_of(domain, 8, source)
        body = {"model": ALIAS, "prompt": prompt, "max_tokens": source.choice((16, 24, 40))}
        ask(address, "/v1/completions", body | {"stream": True})


def main() -> None:
    folder = Path(sys.argv[1])
    house = House("picture")
    admit(house.registry, ALIAS, SHARES, generalist="generalist", note="literature/1.1-b81c04 gets 25%")
    until(lambda: len(house.registry.descriptors) == sum(map(len, SHARES.values())))
    for (name, revision), found in house.registry.descriptors.items():
        figures = {} if name == "generalist" else {"domain_bpb": 1.62, "generalist_bpb": 1.74}
        house.registry.put_descriptor(msgspec.structs.replace(found, title=TITLES[name], **figures))
        house.worker(name, revision, step_s=STEP_S)
    held = house.registry.lease(CONTROLLER, "up-2b7d41")
    with tempfile.TemporaryDirectory() as learnt:
        config = SpecialistsConfig(
            alias=ALIAS, router=router_at(Path(learnt) / "router"), bus=BusConfig(prefix="picture")
        )
        guest = Specialists(config, bus=house.open_bus())
        with running(ServeConfig(port=0, drain_s=1.0), [guest]) as (address, _):
            until(lambda: len(guest.gateway.living.live) == sum(map(len, SHARES.values())))
            is_over = threading.Event()
            clients = [threading.Thread(target=load, args=(address, is_over, one)) for one in range(CLIENTS)]
            for client in clients:
                client.start()
            is_over.wait(LOAD_S)
            shoot(address, folder / "specialists.png")
            is_over.set()
            for client in clients:
                client.join()
    held.close()
    house.close()


def shoot(address: str, path: Path) -> None:
    """The page as it stands."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        tab = Tab(browser, address, "/#/specialists", width=1320, height=1010)
        tab.page.locator(".routings li").nth(3).wait_for()
        tab.page.wait_for_timeout(4000)
        tab.page.mouse.move(0, 0)
        picture = Image.open(io.BytesIO(tab.page.screenshot()))
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        tab.close()
        browser.close()


if __name__ == "__main__":
    main()
