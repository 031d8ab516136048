"""Escape sequences of roff, one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.sources.roff_escapes import plain, without_comment


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"\fBls\fP \fI\,file\/\fR \f(CWx\fP \f[CB]y\f[]", "ls file x y"),
        (r"\-l \e \\", "-l \\ \\"),
        (r"\&. \|\^\%a\:b", ". ab"),
        (r"a\ b\~c\0d", "a b c d"),
        (r"\(bu \(em \[rs] \[u732B] \[u0061_0301]", "・ — \\ 猫 a\u0301"),
        (r"\*(lqx\*(rq \*R \*[unknown]", "“x” ® "),
        (r"\s-1SMALL\s0 \s+2big\s-2 \s'12'z", "SMALL big z"),
        (r"\h'2n'a\h'-1'b\v'.5m'\w'xx'", " ab"),
        (r"\o'ab' \N'65' \C'aq'", "ab A '"),
        (r"\n(.x \n[reg]y", " y"),
        (r"\['e]t\[:u]", "e\u0301tu\u0308"),
        ("plain 日本語", "plain 日本語"),
    ],
)
def test_escapes(source: str, text: str) -> None:
    assert plain(source) == text


def test_comments() -> None:
    assert without_comment(r"a \" b") == "a "
    assert without_comment(r"a \\\"b") == r"a \\"
    assert without_comment('a "b"') == 'a "b"'


def test_a_string_that_names_itself_ends() -> None:
    assert plain(r"\*x", {"x": r"a\*x"}).startswith("a")


@given(st.text(alphabet="\\abf([])'*snhC1 猫-+\""))
def test_nothing_raises(source: str) -> None:
    assert isinstance(plain(source), str)
