from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import runs


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small are slowed down by more threads than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokens box and its tokenizer; tests only read it."""
    return runs.write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs that hold a document unlike the others; tests only read them."""
    return runs.write_inputs(tmp_path_factory.mktemp("odd"), odd=runs.ODD)


@pytest.fixture(scope="session")
def finished(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps that was never stopped; tests only read it."""
    box = tmp_path_factory.mktemp("run") / "run"
    runs.run(inputs, box)
    return box
