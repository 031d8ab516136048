"""What an HTML page says of itself: its title, its language, and the license that it is under."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import html

from tsuzuri.core.spdx import creative_commons_of

_SPACES = re.compile("[ \t\n\r\f]+")


@dataclass(frozen=True, slots=True)
class License:
    """A license that a page names."""

    spdx: str
    """The SPDX expression; a jurisdiction's port as `LicenseRef-CC-…-JP`."""
    url: str
    evidence: str
    """rel (the page says that it is its license) or link (it only links there)."""


def title_of(root: html.HtmlElement) -> str:
    """The page's title in one line, or an empty string."""
    return _SPACES.sub(" ", root.findtext(".//title") or "").strip()


def license_of(root: html.HtmlElement) -> License | None:
    """The one Creative Commons license of a page: what `rel="license"` names, else what it links to.

    A page that names several licenses says nothing about its own text, and gives None.
    """
    named: dict[str, License] = {}
    linked: dict[str, License] = {}
    for element in root.iter("a", "link"):
        url = (element.get("href") or "").strip()
        spdx = creative_commons_of(url)
        if spdx:
            is_named = "license" in (element.get("rel") or "").lower().split()
            found = named if is_named else linked
            found.setdefault(spdx, License(spdx, url, "rel" if is_named else "link"))
    chosen = named or linked
    return next(iter(chosen.values())) if len(chosen) == 1 else None
