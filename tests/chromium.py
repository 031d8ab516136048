"""A tab of a real Chromium on the playground, and what is looked for in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")
LISTEN = """
addEventListener('DOMContentLoaded', () => {
  window.heard = [];
  const status = document.getElementById('status');
  const keep = () => window.heard.push(status.textContent);
  if (status) new MutationObserver(keep).observe(status, {childList: true});
});
"""
HOLD_KEY = """
if (!sessionStorage.getItem('given')) {
  sessionStorage.setItem('given', 'yes');
  sessionStorage.setItem('tsuzuri.key', '%s');
}
"""
"""Once: a page that drops the key does not find it again."""


class Tab:
    """A visitor of its own. Errors, warnings and requests to anywhere else are kept."""

    def __init__(
        self,
        browser: Any,
        address: str,
        path: str = "/",
        *,
        key: str = "",
        locale: str = "ja-JP",
        width: int = 1280,
        height: int = 900,
        theme: str = "light",
    ) -> None:
        viewport = {"width": width, "height": height}
        self.context = browser.new_context(
            viewport=viewport, color_scheme=theme, locale=locale, timezone_id="Asia/Tokyo"
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(90_000)  # of a machine that does other things
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", lambda asked: self._look(asked.url, address))
        self.page.add_init_script(LISTEN)
        if key:
            self.page.add_init_script(HOLD_KEY % key)
        self.page.goto(address + path)

    def button(self, name: str, within: Any = None) -> Any:
        """The button of that name."""
        return (within or self.page).get_by_role("button", name=name, exact=True)

    def drafts(self, count: int) -> list[Any]:
        """The answers, once so many are written."""
        self.page.locator(".answer:not(.writing)").nth(count - 1).wait_for()
        return list(self.page.locator(".answer").all())

    def draft(self, name: str) -> Any:
        """The answer of that name, wherever it stands."""
        return self.page.get_by_role("article", name=name)

    def write(self) -> None:
        """Press the button that writes, once the models are known."""
        self.page.locator("#model option").first.wait_for(state="attached")
        self.page.locator("#go").click()

    def set_range(self, name: str, value: float) -> None:
        """Move a slider."""
        self.page.locator(f"#sampling-{name}").evaluate(
            "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value
        )

    def faults(self) -> list[str]:
        """What is wrong with the page once it is drawn, for those with little sight, keyboards or phones."""
        self.page.locator("h1").first.wait_for(state="attached")
        found: list[str] = self.page.evaluate(AUDIT)
        return found

    def close(self) -> None:
        """Close it; AssertionError where the page complained or asked anybody else for anything."""
        self.context.close()
        assert not self.complaints, self.complaints
        assert not self.elsewhere, self.elsewhere

    def _hear(self, message: Any) -> None:
        refused = re.match(
            r"Failed to load resource: the server responded with a status of 4\d\d", message.text
        )
        if message.type in ("error", "warning") and not refused:
            self.complaints.append(message.text)

    def _look(self, url: str, address: str) -> None:
        if not url.startswith((address, "blob:")):
            self.elsewhere.append(url)
