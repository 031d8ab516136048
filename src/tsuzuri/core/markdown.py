"""The few pieces of Markdown that cards and datasheets are made of. Data can not break out of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; columns of numbers (every cell an int or float, or a string of digits) stand to the right."""
    cells = [[cell(value) for value in row] for row in rows]
    columns = list(zip(*cells, strict=True)) or [()] * len(header)
    rules = ["---:" if column and all(map(_is_figure, column)) else "---" for column in columns]
    lines = [header, rules, *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(value: Any) -> str:
    """`value` on one line, with what Markdown and HTML would read as their own escaped."""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}"
    text = " ".join(str(value).split())
    return re.sub(r"([\\|`*_\[\]])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")


def fenced(text: str, language: str = "text") -> str:
    """`text` as a block, in a fence longer than any that it holds."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _is_figure(text: str) -> bool:
    return bool(re.fullmatch(r"[−+-]?[\d,.]+( ?%)?|–|", text))
