"""Manual pages to text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.sources.roff import man_to_text

MAN = r""".\" Copyright: nobody
.TH LS 1 "2021年5月" "GNU coreutils"
.SH 名前
ls \- ディレクトリの内容を
表示する
.SH 書式
.B ls
[\fIオプション\fR]... [\fIファイル\fR]...
.SH 説明
現在の
.I ディレクトリ
を表示する。
See
.BR ls (1)
for it.
.PP
次の段落。
.TP
\fB\-a\fR, \fB\-\-all\fR
隠しファイルも表示する。
.IP \(bu 2
点の項目。
.IP "\-l" 4
長い形式。
.nf
  int x;   /* そのまま */
.fi
.de XX
捨てる
..
.ie n 端末。
.el 印刷。
.if t 印刷だけ。
.ig
無視
..
.TS
tab(@);
l l
l l.
名@値
T{
長い
説明
T}@2
.TE
.SH この文書について
この文書は…の一部である。
.SH 関連項目
.BR cp (1)
"""
TEXT = """名前
ls - ディレクトリの内容を表示する

書式
ls [オプション]... [ファイル]...

説明
現在のディレクトリを表示する。 See ls(1) for it.
次の段落。
-a, --all
隠しファイルも表示する。
・点の項目。
-l 長い形式。
  int x;   /* そのまま */
端末。
名\t値
長い 説明\t2

関連項目
cp(1)"""
MDOC = r""".Dd 2020
.Dt RLOGIND 8
.Os
.Sh 名前
.Nm rlogind
.Nd リモートログインサーバ
.Sh 書式
.Nm
.Op Fl ahl
.Sh 説明
.Nm
は
.Xr rlogin 1
のサーバである。
.Bl -tag
.It Fl a
検証する。
.El
"""


def test_a_man_page() -> None:
    page = man_to_text(MAN)
    assert page.text == TEXT
    assert page.name == "ls(1)"
    assert page.summary == "ディレクトリの内容を表示する"


def test_an_mdoc_page() -> None:
    page = man_to_text(MDOC)
    assert page.name == "rlogind(8)"
    assert page.summary == "リモートログインサーバ"
    assert "rlogind [-ahl]" in page.text
    assert page.text.endswith("rlogind は rlogin(1) のサーバである。\n-a 検証する。")


def test_a_page_that_only_points_elsewhere() -> None:
    assert man_to_text(".so man3/printf.3\n").alias_of == "man3/printf.3"


@pytest.mark.parametrize("source", ["", ".", ".TS", ".if n \\{", ".TP", ".SH", ".de x", "'", ".IP", ".ds"])
def test_torn_pages_are_read_to_their_end(source: str) -> None:
    man_to_text(source)


@given(
    st.lists(
        st.sampled_from(
            [*MAN.split("\n"), *MDOC.split("\n"), ".if n \\{", "\\}", ".TS", ".TE", ".el", "..", ".nf"]
        )
    )
)
def test_no_order_of_lines_raises(lines: list[str]) -> None:
    assert isinstance(man_to_text("\n".join(lines)).text, str)
