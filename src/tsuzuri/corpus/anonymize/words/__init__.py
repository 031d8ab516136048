"""Word lists of the rules: one file a list, words apart by white space, read once a process."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

Name = Literal["country_domains", "generic_domains", "no_handles", "no_names", "surnames"]


@cache
def words(name: Name) -> frozenset[str]:
    """The words of a list."""
    return frozenset((files(__name__) / f"{name}.txt").read_text(encoding="utf-8").split())
