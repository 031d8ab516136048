from __future__ import annotations

from pathlib import Path

import pytest

import runs


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokens box and its tokenizer; tests only read it."""
    return runs.write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def finished(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps that was never stopped; tests only read it."""
    box = tmp_path_factory.mktemp("run") / "run"
    runs.run(inputs, box)
    return box
