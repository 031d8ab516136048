from __future__ import annotations

from pathlib import Path

import pytest

import releases


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds every box up to the evaluation; tests only read it."""
    return releases.make_release_inputs(tmp_path_factory.mktemp("build"))
