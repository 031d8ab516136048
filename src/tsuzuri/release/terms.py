"""Whether the licenses of a corpus let a model of it be given away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tsuzuri.core.errors import InputError
from tsuzuri.core.licenses import terms_of


def check_terms(sources: Mapping[str, Mapping[str, Any]], allowed: tuple[str, ...]) -> None:
    """InputError names the sources, not `allowed`, whose licenses forbid commercial use or edited copies."""
    found = {
        name: sorted(license_ for license_ in item.get("licenses", {}) if terms_of(license_).is_restricted)
        for name, item in sources.items()
    }
    refused = [
        f"{name} ({', '.join(licenses)})"
        for name, licenses in found.items()
        if licenses and name not in allowed
    ]
    if refused:
        raise InputError(
            f"the licenses of these sources forbid commercial use or edited copies: {'; '.join(refused)}",
            hint="leave them out of corpus.source; or, if you may use them: release.allow_restricted",
        )
