"""What the licenses of a corpus ask of a model that is given away, and the license that suits them.

Whether a model is an edited copy of its documents is not settled anywhere (Japan's Copyright Act lets one
train, article 30-4, and says nothing of this). So the careful reading counts here, and a publisher who reads
them otherwise says so by name (`release.allow_restricted`), which the card repeats. This is no legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from tsuzuri.core.errors import InputError
from tsuzuri.core.licenses import Terms, terms_of
from tsuzuri.core.spdx import spdx_of

Sources: TypeAlias = Mapping[str, Mapping[str, Any]]
"""source → what the documents count for it."""

NO_DERIVATIVES = "forbids edited copies"
NO_COMMERCE = "forbids commercial use"
ASKS = {
    "GFDL": "asks that what is made from it carry the same license with its notices and invariant sections",
    "GPL": "asks that what is made from it carry the same license and come with its source",
    "": "asks that what is made from it carry the same license",
}
"""The first word of a copyleft license (AGPL and LGPL ask like GPL) → what it asks."""


def chosen_license(sources: Sources) -> str:
    """The SPDX identifier for weights that fits what the documents' licenses forbid and ask.

    Creative Commons' own terms are passed on in its newest version, which every version of share-alike
    allows. Public domain and licenses that ask for names alone leave Apache-2.0. What copyleft licenses and
    ND ask cannot be met by a choice: see `conflicts`.
    """
    every = [terms_of(name) for item in sources.values() for name in item.get("licenses", {})]
    noncommercial = any(terms.noncommercial for terms in every)
    if any(terms.share_alike and not terms.copyleft for terms in every):
        return "CC-BY-NC-SA-4.0" if noncommercial else "CC-BY-SA-4.0"
    return "CC-BY-NC-4.0" if noncommercial else "Apache-2.0"


def conflicts(sources: Sources, license_: str | None) -> dict[str, list[str]]:
    """source → a line for each of its licenses that a release under `license_` does not go together with.

    Without a license the one that will be chosen is meant: to use NC sources must be the publisher's wish.
    """
    given = terms_of(license_) if license_ else Terms()
    found = {
        source: [
            f"{name} ({count:,} documents) {'; '.join(reasons)}"
            for name, count in sorted(item.get("licenses", {}).items(), key=lambda pair: (-pair[1], pair[0]))
            if (reasons := _reasons(name, license_, given))
        ]
        for source, item in sources.items()
    }
    return {source: lines for source, lines in found.items() if lines}


def check_terms(sources: Sources, allowed: tuple[str, ...], license_: str | None = None) -> None:
    """InputError names each source, not `allowed`, whose licenses forbid the release or ask what it does not
    give."""
    refused = {name: lines for name, lines in conflicts(sources, license_).items() if name not in allowed}
    if refused:
        said = "; ".join(f"{name}: {', '.join(lines)}" for name, lines in refused.items())
        raise InputError(
            f"the licenses of these sources stand against a release: {said}",
            hint="leave them out (--no-nc, --no-nd, --licenses, or corpus.source); or, if you may give the "
            f"model away all the same: release.allow_restricted=[{', '.join(refused)}], which the card says",
        )


def _reasons(name: str, license_: str | None, given: Terms) -> list[str]:
    terms = terms_of(name)
    reasons = []
    if terms.no_derivatives:
        reasons.append(NO_DERIVATIVES)
    if terms.noncommercial and not given.noncommercial:
        reasons.append(NO_COMMERCE)
    families = _families(name)
    if terms.copyleft and (license_ is None or not families & _families(license_)):
        reasons += [ASKS[key] for key in ASKS if key in families or (not key and not families & ASKS.keys())]
    return reasons


def _families(expression: str) -> set[str]:
    """The families of the licenses in an expression that are copyleft alone: GPL, GFDL, MPL, …"""
    names = [name for name in re.findall(r"[^\s()]+", spdx_of(expression)) if terms_of(name).copyleft]
    return {re.sub("^[AL]GPL$", "GPL", name.split("-")[0]) for name in names}
