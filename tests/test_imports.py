"""Imports go one way, and what is to start light imports no torch.

Nobody is allowed `chain` or `commands`: they know the other rooms, and only `cli.py` knows them.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tsuzuri

PACKAGE = Path(tsuzuri.__file__).parent

ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "corpus": {"core"},
    "tokenizer": {"core"},
    "model": {"core"},
    "data": {"core", "tokenizer"},
    "generation": {"core", "model", "tokenizer"},
    "evaluate": {"core", "data", "generation", "model"},
    "training": {"core", "data", "model"},
    "lab": {"core", "model", "training"},
    "release": {"core", "corpus", "generation", "model", "report", "tokenizer"},
    "report": {"core"},
    "serving": {"core", "corpus", "generation", "model", "tokenizer"},
    "specialists": {"core", "generation", "serving"},
    "chain": {"core", "corpus", "data", "evaluate", "generation", "lab", "model", "release", "report"}
    | {"specialists", "tokenizer", "training"},
    "commands": {"core", "release", "serving"},
}
LIGHT = (
    "tsuzuri",
    "tsuzuri.cli",
    "tsuzuri.recipe",
    "tsuzuri.chain.build",
    "tsuzuri.chain.planning",
    "tsuzuri.chain.stages",
    "tsuzuri.chain.specialize",
    "tsuzuri.lab.project",
    "tsuzuri.core.lineage",
    "tsuzuri.corpus.build",
    "tsuzuri.serving.engines.base",
    "tsuzuri.serving.engines.mock",
    "tsuzuri.serving.server",
    "tsuzuri.serving.accounts.routes",
    "tsuzuri.specialists.bus.config",
    "tsuzuri.specialists.messages",
    "tsuzuri.specialists.topics",
    "tsuzuri.commands.support",
)


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a file imports from."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{item.name}" for item in node.names}
        elif isinstance(node, ast.Import):
            names |= {item.name for item in node.names}
    parts = (name.split(".") for name in names)
    return {
        part[1] for part in parts if part[0] == "tsuzuri" and len(part) > 1 and (PACKAGE / part[1]).is_dir()
    }


@pytest.mark.parametrize(
    "room", sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())
)
def test_a_room_imports_what_it_may_and_nothing_else(room: str) -> None:
    used: set[str] = set()
    for path in sorted((PACKAGE / room).rglob("*.py")):
        rooms = imported_rooms(path) - {room}
        beyond = rooms - ALLOWED[room]
        assert not beyond, f"{path.relative_to(PACKAGE)} imports {sorted(beyond)}"
        used |= rooms
    assert used == ALLOWED[room], "a room that it does not import any more need not be allowed"


@pytest.mark.parametrize("module", LIGHT)
def test_what_starts_light_imports_no_torch(module: str) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
