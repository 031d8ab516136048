"""Every line of `docs/serving.md` that asks the server for something is answered."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from servers import ask

PAGE = Path(__file__).parents[3] / "docs" / "serving.md"
LINES = re.findall(r"^    curl (.*)$", PAGE.read_text(encoding="utf-8"), re.M) if PAGE.exists() else []
NEEDS_KEY = ("/account/", "/admin/")


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_answered(address: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    path = next(word.removeprefix("HOST") for word in words if word.startswith("HOST"))
    body = words[words.index("-d") + 1].encode() if "-d" in words else None
    method = words[words.index("-X") + 1] if "-X" in words else None
    status, _, answer = ask(address, path, body, method=method)
    if path.startswith(NEEDS_KEY):
        assert status in (403, 404), answer  # without accounts there is nobody who may
    else:
        assert status == 200, answer


def test_there_are_such_lines() -> None:
    if not PAGE.exists():
        pytest.skip("the documents come with the source tree")
    assert len(LINES) > 10
