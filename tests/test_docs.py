"""What the documents say is so: every path they name exists, every command they show can be given."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from tsuzuri.cli import parser
from tsuzuri.core.config import Config, parse_config
from tsuzuri.lab.config import ProjectConfig
from tsuzuri.recipe import Recipe, load_recipe
from tsuzuri.specialists.config import SpecialistsConfig

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CREATED = re.compile(r"out/|build/|texts\.txt|vectors\.npy|other/")  # what a reader's own work makes
IN_BOXES = {"run.yaml", "special_thanks.txt", "DATASHEET.md"}
NAMED_PATH = re.compile(
    r"(?:`|\]\()((?:src|docs|recipes|bench|tests|deploy)/[\w./-]*|[\w-]+\.(?:md|yaml|txt|toml))[`)]"
)
KINDS: dict[str, type[Config]] = {"# specialists.yaml": SpecialistsConfig, "# project.yaml": ProjectConfig}
"""What a block is whose first line says so; others are recipes."""

pytestmark = pytest.mark.skipif(not (ROOT / "src").is_dir(), reason="the documents come with the source tree")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_that_a_document_names_exists(document: Path) -> None:
    for name in NAMED_PATH.findall(document.read_text(encoding="utf-8")):
        if name not in IN_BOXES and not CREATED.match(name):
            places = (ROOT / name, document.parent / name, ROOT / "recipes" / name)
            assert any(place.exists() for place in places), f"{document.name} names {name}"


def shell_lines(document: Path) -> list[str]:
    """The lines of a document's sh blocks that begin with tsuzuri."""
    blocks = re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), flags=re.S)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("tsuzuri ")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_a_document_shows_can_be_given(document: Path) -> None:
    for line in shell_lines(document):
        values = vars(parser().parse_args(shlex.split(line)[1:]))
        recipe = values.get("recipe")
        if recipe is not None:
            assert (ROOT / recipe).exists(), line
            load_recipe(ROOT / recipe, values.get("overrides", ()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_recipe_that_a_document_shows_is_one(document: Path) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", document.read_text(encoding="utf-8"), flags=re.S):
        parse_config(KINDS.get(block.splitlines()[0], Recipe), yaml.safe_load(block), where=document.name)


def test_every_part_of_the_tree_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for room in sorted((ROOT / "src" / "tsuzuri").iterdir()):
        if (room / "__init__.py").exists():
            assert f"`src/tsuzuri/{room.name}/`" in readme
    for recipe in sorted((ROOT / "recipes").glob("*.yaml")):
        assert f"`{recipe.name}`" in readme


def test_the_reading_path_is_short() -> None:
    path = ("README.md", "recipes/quickstart.yaml", "src/tsuzuri/cli.py", "src/tsuzuri/model/gpt.py")
    files = [*path, "src/tsuzuri/training/loop.py"]
    assert sum(len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in files) < 1200
