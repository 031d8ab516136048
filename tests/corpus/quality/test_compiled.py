"""Compiled code uses nothing of another file.

numba's cache is renewed when a function's own file changes, and only then: with a constant or function of
another file in it, old machine code would go on after an upgrade, and may write out of bounds.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tsuzuri.corpus import quality

FILES = sorted(Path(quality.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_compiled_functions_use_their_own_file_only(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        item.asname or item.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tsuzuri")
        for item in node.names
    }
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and any(
            isinstance(mark, ast.Name) and mark.id == "compiled" for mark in function.decorator_list
        ):
            used = {
                node.id for step in function.body for node in ast.walk(step) if isinstance(node, ast.Name)
            }
            assert not used & imported, f"{function.name} uses {sorted(used & imported)}"
