"""What licenses ask and forbid, read off their SPDX expressions.

Only what the name of a license says is concluded, however it is written (`core.spdx`): the elements of
Creative Commons licenses (BY, SA, NC, ND), the families of other licenses by their SPDX prefix, and public
domain. A name that is not in these tables is unclear: a person must read it; where it speaks of
non-commercial use or of no derivatives, that is believed. Of `A OR B` the freer one counts, of `A AND B`
both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tsuzuri.core.spdx import spdx_of, words_of

SHARE_ALIKE = (
    *("GPL-", "LGPL-", "AGPL-", "GFDL-", "MPL-", "EPL-", "EUPL-", "OSL-"),
    "Linux-man-pages-copyleft",
)
ATTRIBUTION = ("MIT", "ISC", "BSD-", "Apache-", "Zlib", "OFL-", "Artistic-", "Linux-man-pages-")
PUBLIC_DOMAIN = ("CC0-", "CC-PDDC", "CC-PDM", "PDDL-", "LicenseRef-PD", "LicenseRef-public-domain")


@dataclass(frozen=True)
class Terms:
    """What a license expression says."""

    attribution: bool = False
    """Whoever passes the text on must name its authors."""
    share_alike: bool = False
    """What is made from the text must carry the same license."""
    copyleft: bool = False
    """The same, and no license that people give weights under is that one: GPL, GFDL, MPL and their like."""
    noncommercial: bool = False
    """Commercial use is forbidden."""
    no_derivatives: bool = False
    """Edited copies are forbidden."""
    unclear: bool = False
    """The name of the license does not say."""

    @property
    def is_restricted(self) -> bool:
        """Whether a use that most people make of a released model is forbidden."""
        return self.noncommercial or self.no_derivatives

    def in_words(self) -> str:
        """The terms in Japanese and English."""
        words = {
            "商用禁止 no commercial use": self.noncommercial,
            "改変禁止 no edited copies": self.no_derivatives,
            "表示 attribution": self.attribution,
            "継承 share-alike": self.share_alike,
            "コピーレフト copyleft": self.copyleft,
            "要確認 unclear, read it": self.unclear,
        }
        return "、".join(word for word, applies in words.items() if applies) or "–"


def terms_of(expression: str) -> Terms:
    """The terms of an SPDX expression, or of what can be read as one; unclear where it cannot."""
    tokens = re.findall(r"[()]|[^\s()]+", spdx_of(expression))
    terms = _alternatives(tokens) if tokens else None
    return terms if terms and not tokens else _unclear(expression)


def _alternatives(tokens: list[str]) -> Terms | None:
    """`A OR B …`, taken off the front of `tokens`: the freest; None where they are no expression."""
    found = [_conjunction(tokens)]
    while tokens and tokens[0].upper() == "OR":
        tokens.pop(0)
        found.append(_conjunction(tokens))
    known = [terms for terms in found if terms]
    return min(known, key=_strictness) if len(known) == len(found) else None


def _conjunction(tokens: list[str]) -> Terms | None:
    """`A AND B …`, taken off the front of `tokens`: everything that any of them says."""
    found = [_operand(tokens)]
    while tokens and tokens[0].upper() == "AND":
        tokens.pop(0)
        found.append(_operand(tokens))
    known = [terms for terms in found if terms]
    if len(known) < len(found):
        return None
    return Terms(
        **{name: any(getattr(terms, name) for terms in known) for name in Terms.__dataclass_fields__}
    )


def _operand(tokens: list[str]) -> Terms | None:
    """One license, with its exception, or an expression in parentheses, taken off the front of `tokens`."""
    if not tokens or tokens[0].upper() in ("AND", "OR", "WITH", ")"):
        return None
    token = tokens.pop(0)
    if token == "(":
        terms = _alternatives(tokens)
        return terms if tokens and tokens.pop(0) == ")" else None
    if tokens and tokens[0].upper() == "WITH":
        del tokens[:2]
    return _license(token)


def _license(identifier: str) -> Terms:
    if identifier.startswith(PUBLIC_DOMAIN):
        return Terms()
    parts = identifier.removeprefix("LicenseRef-").split("-")
    if parts[0] == "CC" and not {"BY", "SA", "NC", "ND"}.isdisjoint(parts):
        return Terms("BY" in parts, "SA" in parts, noncommercial="NC" in parts, no_derivatives="ND" in parts)
    if identifier.startswith(SHARE_ALIKE):
        return Terms(attribution=True, share_alike=True, copyleft=True)
    if identifier.startswith(ATTRIBUTION):
        return Terms(attribution=True)
    return _unclear(identifier)


def _unclear(name: str) -> Terms:
    words = words_of(name)
    return Terms(noncommercial="nc" in words, no_derivatives="nd" in words, unclear=True)


def _strictness(terms: Terms) -> tuple[int, bool, bool, bool, bool]:
    restrictions = terms.noncommercial + terms.no_derivatives
    return restrictions, terms.unclear, terms.copyleft, terms.share_alike, terms.attribution
