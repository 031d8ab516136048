"""The LICENSE file of a release."""

from __future__ import annotations

from importlib.resources import files

APACHE = "Apache-2.0"


def license_url(spdx: str) -> str:
    """Where SPDX keeps the text of a license."""
    return f"https://spdx.org/licenses/{spdx}.html"


def license_text(spdx: str) -> str:
    """The text of LICENSE: Apache-2.0 in full; of any other license its identifier and where to read it."""
    if spdx == APACHE:
        return files("tsuzuri.release").joinpath("apache-2.0.txt").read_text(encoding="utf-8")
    return f"SPDX-License-Identifier: {spdx}\n\nThe text of this license: {license_url(spdx)}\n"
