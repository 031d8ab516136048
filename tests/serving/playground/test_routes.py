"""The files of the playground as a browser gets them."""

from __future__ import annotations

import posixpath
import re
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

from servers import ask
from tsuzuri.serving.playground.routes import LANGUAGES, TYPES, preferred_language

ROOT = Path(__file__).parents[3]
STATIC = Path(str(files("tsuzuri.serving.playground"))) / "static"
NAMES = sorted(str(path.relative_to(STATIC)) for path in STATIC.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def address(prose: tuple[str, object]) -> str:
    return prose[0]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "ja"),
        ("ja", "ja"),
        ("en-GB,en;q=0.9", "en"),
        ("en;q=0.5, ja;q=0.8", "ja"),
        ("de, en-US;q=0.7, ja;q=0.3", "en"),
        ("de-DE,fr;q=0.5", "ja"),
        ("*", "ja"),
        ("en;q=0, ja;q=0.1", "ja"),
        ("en;q=none", "ja"),
        (",;,", "ja"),
    ],
)
def test_the_page_comes_in_a_language_that_the_reader_asks_for(
    address: str, accepted: str, language: str
) -> None:
    assert preferred_language(accepted) == language
    status, headers, body = ask(address, "/", headers={"accept-language": accepted})
    assert (status, headers["content-language"]) == (200, language)
    assert f'<html lang="{language}" data-accounts="yes">'.encode() in body
    assert headers["vary"] == "accept-language"


def test_the_page_may_load_nothing_but_files_of_its_own(address: str) -> None:
    _, headers, body = ask(address, "/")
    rules = dict(rule.strip().partition(" ")[::2] for rule in headers["content-security-policy"].split(";"))
    assert rules["default-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
    page = body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\son\w+=", page)
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert len(loaded) >= 5
    for path in loaded:
        assert ask(address, f"/{path}")[0] == 200


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_served_and_names_no_other_place(address: str, name: str) -> None:
    text = (STATIC / name).read_text(encoding="utf-8")
    foreign = set(re.findall(r"(?:https?:)?//[\w-]+\.\w[^\s\"'`)]*", text)) - {"http://www.w3.org/2000/svg"}
    assert not foreign
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
    )
    for wanted in re.findall(r'(?:from|import)\s*\(?"(\.[^"]+)"', text):
        assert posixpath.normpath(posixpath.join(posixpath.dirname(name), wanted)) in NAMES
    if name == "index.html":
        return
    status, headers, body = ask(address, f"/playground/{name}")
    assert (status, body.decode()) == (200, text)
    assert headers["content-type"] == TYPES[Path(name).suffix]
    again = ask(address, f"/playground/{name}", headers={"if-none-match": headers["etag"]})
    assert (again[0], again[2]) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "index.html",
        "none.js",
        "../routes.py",
        "..%2froutes.py",
        "%2e%2e/routes.py",
        "pages",
        "pages/",
        "",
        "//",
    ],
)
def test_nothing_else_is_served(address: str, path: str) -> None:
    assert ask(address, f"/playground/{path}")[0] == 404


def test_every_text_stands_in_both_languages() -> None:
    for name in NAMES:
        if name.endswith(".js"):
            text = (STATIC / name).read_text(encoding="utf-8")
            for call in re.findall(r'\bwords\(\s*"([^"]*)",\s*"([^"]*)"\s*,?\s*\)', text):
                assert all(call), f"{name}: {call}"
                assert not re.search(r"[぀-ヿ一-鿿]", call[1]) or call[1] == "日本語"
    assert LANGUAGES == ("ja", "en")


def test_the_wheel_carries_every_file(tmp_path: Path) -> None:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("the source tree is absent")
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    build = (
        "import sys; from hatchling.builders.wheel import WheelBuilder; "
        "print(*WheelBuilder(sys.argv[1]).build(directory=sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", build, str(ROOT), str(tmp_path)], check=True, capture_output=True, text=True
    )
    held = set(zipfile.ZipFile(done.stdout.split()[-1]).namelist())
    assert {f"tsuzuri/serving/playground/static/{name}" for name in NAMES} <= held
