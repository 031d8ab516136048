"""What tests of the gateway share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from houses import House


@pytest.fixture
def house(prefix: str) -> Iterator[House]:
    """A house without workers yet."""
    found = House(prefix)
    yield found
    found.close()
