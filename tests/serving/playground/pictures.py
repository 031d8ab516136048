"""Makes the pictures of the playground in the README. What they show is what the release writes.

PYTHONPATH=src:tests python tests/serving/playground/pictures.py RELEASE docs
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import sync_playwright

from chromium import FLAGS, Tab
from servers import running
from tsuzuri.serving.config import ModelConfig, ServeConfig

SNOW = "朝、窓を開けると、庭には一面に雪が積もっていた。"
INN = "　その古い宿には、誰も泊まらない部屋が一つあった。ある晩、旅の僧が戸を叩いて、"
MANNER = {"max_tokens": 88, "temperature": 0.9, "min_p": 0.03, "repetition_penalty": 1.15}
COLOURS = 128


def main() -> None:
    release, folder = Path(sys.argv[1]), Path(sys.argv[2])
    with (
        running(ServeConfig(port=0, models=(ModelConfig(path=release),))) as (address, _),
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))

        def shoot(name: str, text: str, seed: int, samples: int, token: int | None, **settings: Any) -> None:
            asked = json.dumps({**MANNER, "seed": seed, "n": samples})
            tab = Tab(browser, address, f"/#/continue?text={quote(text)}&with={quote(asked)}", **settings)
            if name.endswith("dark"):
                tab.page.locator("#vertical").click()
            tab.write()
            tab.drafts(samples)
            if token is not None:
                draft = tab.page.locator(".answer").first
                draft.locator("[aria-pressed]").click()
                while not draft.locator(".peek li").count():  # a character of several tokens has no rivals
                    draft.locator(".token").nth(token).click()
                    token += 1
            tab.page.mouse.move(0, 0)
            top = ".answer" if settings["width"] < 500 else "body"
            tab.page.locator(top).first.evaluate("node => node.scrollIntoView({behavior: 'instant'})")
            picture = Image.open(io.BytesIO(tab.page.screenshot()))
            colours = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            colours.save(folder / f"{name}.png", optimize=True)
            tab.close()

        shoot("playground", SNOW, 15, 2, 10, width=1320, height=960)
        shoot("playground-dark", INN, 28, 1, None, width=1320, height=1230, theme="dark", locale="en-US")
        shoot("playground-phone", SNOW, 16, 1, 6, width=390, height=844)
        browser.close()


if __name__ == "__main__":
    main()
