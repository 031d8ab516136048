"""What set-up installs is pinned, down to the last package, so that a fresh machine gets what was tested."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
CHOSEN_BY_THE_USER = "torch"
"""By `make TORCH=…`, and what it brings with it."""


def plain(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(requirements: Iterable[str], extras: Iterable[str], found: set[str]) -> None:
    """Add to `found` what is installed for these requirements, and for theirs."""
    for requirement in map(Requirement, requirements):
        name, marker = plain(requirement.name), requirement.marker
        if name in (CHOSEN_BY_THE_USER, "tsuzuri") or name in found:
            continue
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        try:
            inner = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        needed(inner, requirement.extras, found)


def test_everything_that_set_up_installs_is_pinned() -> None:
    if not (ROOT / "constraints.txt").exists():
        pytest.skip("the source tree is absent")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    own = [f"tsuzuri[{name}]" for name in ("web", "anonymize", "segment", "serve", "kafka")]
    assert set(own) <= set(extras["dev"])
    groups = ("train", "dev", "web", "anonymize", "segment", "serve", "kafka")
    wanted = [*project["dependencies"], *(item for group in groups for item in extras[group])]
    found: set[str] = set()
    needed(wanted, (), found)
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {plain(line.partition("==")[0]) for line in lines}
    assert len(found) > 50
    assert found - pinned == set()
