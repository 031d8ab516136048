"""Lines of mdoc as a reader sees them."""

from __future__ import annotations

import pytest

from tsuzuri.corpus.sources.mdoc import line
from tsuzuri.corpus.sources.roff_escapes import plain


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Nm", "rlogind"),
        ("Nm rsh ,", "rsh,"),
        ("Op Fl ahl", "[-ahl]"),
        ("Op Fl b Ar file Ns Oo , Ar x Oc", "[-b file[, x]]"),
        ("Ar", "file ..."),
        ("Xr ls 1 ,", "ls(1),"),
        ("Fn printf fmt args", "printf(fmt, args)"),
        ("Dq Pa .rhosts", "“.rhosts”"),
        ("Pq Xr ls 1", "(ls(1))"),
        ("Bx 4.3", "BSD 4.3"),
        ("Pf ( Nm )", "(rlogind)"),
    ],
)
def test_lines(source: str, text: str) -> None:
    macro, *arguments = source.split()
    assert line(macro, arguments, "rlogind", plain) == text
