"""Functions are compiled, with a cache or without, and what they use of other files may change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OUTER = """
from inner import STEP, stepped
from tsuzuri.core.compiled import compiled

@compiled
def added(one: int, other: int) -> int:
    return stepped(one) + other * STEP

print(added(1, 2), "cached" if added.stats.cache_hits else "compiled")
"""
INNER = """
from tsuzuri.core.compiled import compiled

STEP = 1

@compiled
def stepped(number: int) -> int:
    return innermost(number)

@compiled
def innermost(number: int) -> int:
    return number + 0
"""


def run(folder: Path, places: str = "") -> str:
    """What the two modules print; `places` are where numba may look for a cache, if not where it does."""
    environment = {**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": places, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, folder / "outer.py"]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    (tmp_path / "outer.py").write_text(OUTER)
    (tmp_path / "inner.py").write_text(INNER)
    return tmp_path


def test_a_function_is_compiled_where_no_cache_can_be_written(modules: Path) -> None:
    assert run(modules, "_IPythonCacheLocator") == "3 compiled"  # a place that is not there
    assert not list(modules.rglob("*.nbc"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("STEP = 1", "STEP = 3", "7 compiled", id="a constant of another file"),
        pytest.param("number + 0", "number + 5", "8 compiled", id="a function that a called one calls"),
        pytest.param("number + 0", "number + 0  # more", "3 cached", id="what changes nothing"),
    ],
)
def test_machine_code_is_that_of_the_source(modules: Path, old: str, new: str, expected: str) -> None:
    assert run(modules) == "3 compiled"
    (modules / "inner.py").write_text(INNER.replace(old, new))
    assert run(modules) == expected
    assert run(modules) == expected.replace("compiled", "cached")
    assert len(list(modules.rglob("*added*.nbc"))) == 1


def test_machine_code_is_that_of_what_writes_it(modules: Path) -> None:
    """Of intrinsics: numba numbers them anew in each process."""
    inner = INNER.replace("return number + 0", "return raised(number)")
    inner += """
from numba.extending import intrinsic

@intrinsic
def raised(context, number):
    def generate(context, builder, signature, arguments):
        return builder.add(arguments[0], arguments[0].type(more()))
    return number(number), generate

def more():
    return 1
"""
    (modules / "inner.py").write_text(inner)
    assert [run(modules), run(modules)] == ["4 compiled", "4 cached"]
    (modules / "inner.py").write_text(inner.replace("return 1", "return 5"))
    assert run(modules) == "8 compiled"
