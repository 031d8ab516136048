"""What `tsuzuri serve` reads, and what it says of what it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsuzuri.core.errors import RecipeError
from tsuzuri.core.files import write_text
from tsuzuri.specialists.gateway.command import serve


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(RecipeError, match="'nonsense' is no host:port"):
        serve(kafka="nonsense")


def test_a_key_that_is_none_is_told_with_its_section(tmp_path: Path) -> None:
    write_text(tmp_path / "serve.yaml", "specialists: {aliass: kana}\n")
    with pytest.raises(RecipeError, match="alias"):
        serve(config=tmp_path / "serve.yaml")


def test_a_specialists_yaml_is_read_as_one_and_its_server_s_keys_too(tmp_path: Path) -> None:
    write_text(tmp_path / "s.yaml", "alias: kana\nspecialists: []\nserver: {prot: 1}\n")
    with pytest.raises(RecipeError, match="port"):
        serve(config=tmp_path / "s.yaml")
    write_text(tmp_path / "s.yaml", "alis: kana\nspecialists: []\nserver: {port: 0}\n")
    with pytest.raises(RecipeError, match="alias"):
        serve(config=tmp_path / "s.yaml")


def test_nothing_to_serve_is_told() -> None:
    with pytest.raises(RecipeError, match="nothing to serve"):
        serve()
