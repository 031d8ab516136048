"""HTML that was made here, and the one gate by which anything else enters it."""

from __future__ import annotations

import re
from html import escape
from typing import Any

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]|[\ud800-\udfff]")


class Markup(str):
    """HTML that was made here and is not to be escaped again."""


def safe(value: Any) -> Markup:
    """`value` as HTML text: escaped, unless it is Markup; what no page may hold becomes U+FFFD."""
    return value if isinstance(value, Markup) else Markup(escape(UNPRINTABLE.sub("\ufffd", str(value))))
