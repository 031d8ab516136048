"""The main text of web pages among menus, boxes and footers, by our rules and by trafilatura."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html
from tests.corpus.warcs import PROSE

from tsuzuri.corpus.extraction import main_text, tree, with_trafilatura
from tsuzuri.corpus.extraction.page import Page

MENU = (
    "<ul>" + "".join(f'<li><a href="/{n}">記事その{n}についてのお知らせ</a></li>' for n in range(9)) + "</ul>"
)
ARTICLE = "".join(f"<p>{sentence}</p>" for sentence in PROSE)
TEXT = "\n".join(PROSE)


def fast(body: str) -> str:
    root = tree.parse(f"<html><body>{body}</body></html>")
    assert root is not None
    return main_text.main_text(root).text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"{MENU}<h1>本屋</h1>{ARTICLE}{MENU}", f"本屋\n{TEXT}"),
        (f"<table><tr><td>{MENU}</td><td>{ARTICLE}</td></tr></table>", TEXT),
        (f'<div class="sidebar"><p>{PROSE[0]}{PROSE[1]}</p></div>{ARTICLE}', TEXT),
        (f'<div id="layout-sidebar-right">{ARTICLE}</div>', TEXT),
        (
            f"{ARTICLE}<ul><li>営業時間 十時から</li><li>定休日 月曜</li></ul>{MENU}",
            f"{TEXT}\n営業時間 十時から\n定休日 月曜",
        ),
        (f"{ARTICLE}{MENU}<p>{PROSE[0]}</p>", f"{TEXT}\n{PROSE[0]}"),
        (f"<p>{PROSE[0]}</p><pre>code = 1</pre><p>{PROSE[1]}</p>", f"{PROSE[0]}\ncode = 1\n{PROSE[1]}"),
        (f"{ARTICLE}<p>© 2026 本屋。無断転載を禁じます。</p>", TEXT),
        (f'<a name="top">{ARTICLE}', TEXT),
        (MENU, ""),
        ("", ""),
    ],
)
def test_prose_stays_and_furniture_goes(body: str, text: str) -> None:
    assert fast(body) == text


@pytest.mark.parametrize("engine", [main_text.main_text, with_trafilatura.main_text])
def test_both_engines_are_safe_for_japanese(engine: Callable[[html.HtmlElement], Page]) -> None:
    if engine is with_trafilatura.main_text:
        pytest.importorskip("trafilatura")
    sentences = [
        "<ruby>薔薇<rt>ばら</rt></ruby>の花が東<wbr>京の庭に咲いていて、それを見に来る人が絶えない。",
        "とても長い一行なので途中で折り返して書いてあるのだが<br>続きがあるので、つないで読む必要がある。",
        "日本語の文の途中に\n   ソースの改行があっても、空白は入らないはずである。",
    ]
    body = "".join(f"<p>{sentence}</p>" for sentence in [*sentences, *PROSE])
    root = tree.parse(f"<html><head><title>題</title></head><body><article>{body}</article></body></html>")
    assert root is not None
    page = engine(root)
    assert page.title == "題"
    for expected in (
        "薔薇の花が東京の庭に咲いていて、",
        "折り返して書いてあるのだが続きがある",
        "日本語の文の途中にソースの改行が",
    ):
        assert expected in page.text


@pytest.mark.parametrize(
    ("body", "share"),
    [
        (ARTICLE, 0.0),
        (f"<p>{PROSE[2]}</p><p>猫の本は<a href=x>本屋</a>にある。</p>", 2 / (len(PROSE[2]) + 10)),
        (f"{MENU}{ARTICLE}<ul><li>店主は<a>名</a>だ</li></ul>{MENU}", 0.0),  # no text: no link
        ("", 0.0),
    ],
)
def test_the_share_of_links_is_that_of_the_text_that_stays(body: str, share: float) -> None:
    root = tree.parse(f"<html><body>{body}</body></html>")
    assert root is not None
    assert main_text.main_text(root).link_share == pytest.approx(share, abs=1e-12)


TAGS = "p /p table td /td ul li a /a pre /pre br ruby rt /ruby h2 /h2 nav /nav div /div !--"
MARKUP = st.lists(
    st.one_of(
        st.sampled_from(TAGS.split(" ")).map(lambda tag: f"<{tag} href=x>" if tag == "a" else f"<{tag}>"),
        st.sampled_from(["\n", "猫", PROSE[0], PROSE[1]]),
    ),
    max_size=40,
)


@given(MARKUP)
def test_no_page_raises_and_nothing_is_made_up(parts: list[str]) -> None:
    source = "".join(parts)
    text = fast(source)
    letters = {letter for letter in "".join(parts) if letter.strip()}
    assert set("".join(text.split())) <= letters
