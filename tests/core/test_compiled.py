"""Functions are compiled, with a cache or without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
from tsuzuri.core.compiled import compiled

@compiled
def added(one: int, other: int) -> int:
    return one + other

print(added(1, 2), len(added.signatures))
"""


@pytest.mark.parametrize("places", ["", "_IPythonCacheLocator"])  # numba's own, or none that is there
def test_a_function_is_compiled_where_no_cache_can_be_written(places: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(SOURCE)
    environment = {**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": places}
    done = subprocess.run(
        [sys.executable, tmp_path / "module.py"], env=environment, check=False, capture_output=True, text=True
    )
    assert done.stdout == "3 1\n", done.stderr
    assert bool(list(tmp_path.rglob("*.nbi"))) is not bool(places)
