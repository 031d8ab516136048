"""HTML to text, safe for Japanese."""

from __future__ import annotations

import pytest

from tsuzuri.corpus.extraction.page import html_to_text


def text_of(body: str) -> str:
    page = html_to_text(f"<html><head><title>題</title></head><body>{body}</body></html>")
    assert page is not None
    assert page.title == "題"
    return page.text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<ruby>猫<rt>ねこ</rt></ruby>である", "猫である"),
        (
            "<ruby>漢<rp>（</rp><rt>かん</rt><rp>）</rp>字<rp>（</rp><rt>じ</rt><rp>）</rp></ruby>を読む",
            "漢字を読む",
        ),
        ("<ruby><rb>東京</rb><rtc><rt>とう</rt></rtc></ruby>駅", "東京駅"),
        ("東<wbr>京<wbr/>都", "東京都"),
        ("日本語の\n    文です", "日本語の文です"),
        ("see the\n  manual", "see the manual"),
        ("<p>一</p><p>二</p>", "一\n二"),
        ("<p>とても長い一行なので途中で折り返して書いてあるのだが<br>続きがある</p>", None),
        ("<p>東京都<br>千代田区</p>", "東京都\n千代田区"),
        ("<p>これは終わった文で、二十文字よりも長いけれど続かない。<br>次の文</p>", None),
        ("<h1>章</h1><p>文</p><h2>節</h2><p>文</p>", "章\n文\n\n節\n文"),
        (
            "<table><tr><th>名</th><th>値</th></tr><tr><td><p>甲</p></td><td>1</td></tr></table>",
            "名\t値\n甲\t1",
        ),
        ("<pre>一\n  二\n</pre>後", "一\n  二\n後"),
        ("<ul><li>甲</li><li>乙</li></ul>", "甲\n乙"),
        ("<nav>移動</nav><p>本文</p><footer>足</footer><script>x</script><style>y</style>", "本文"),
        (
            '<div class="toc">目次</div><p>本文<a class="headerlink">¶</a></p><div id="footer">足</div>',
            "本文",
        ),
        ("<p>前<!-- 注 -->後</p>", "前後"),
        ("<p hidden>隠</p><p>見</p>", "見"),
        ("<div>外</div><main><p>中</p></main>", "中"),
        ("<header>社名</header><header><h1>題名</h1></header><p>文</p>", "題名\n文"),
        ("", ""),
    ],
)
def test_a_reader_sees(body: str, text: str | None) -> None:
    if text is None:
        lines = text_of(body).split("\n")
        assert len(lines) == (1 if "続きがある" in body else 2)
    else:
        assert text_of(body) == text


def test_depth_is_no_danger() -> None:
    shallow = html_to_text("<div>" * 1_500 + "深い" + "</div>" * 1_500 + "<p>後</p>")
    assert shallow is not None
    assert shallow.text == "深い\n後"
    assert html_to_text("<div>" * 100_000 + "深い" + "</div>" * 100_000) is None


@pytest.mark.parametrize("source", ["", "   ", "<!-- -->", "\x00", "<?xml version='1.0' encoding='x'?>"])
def test_nothing_gives_nothing(source: str) -> None:
    page = html_to_text(source)
    assert page is not None
    assert page.text == ""


def test_an_encoding_declared_in_text_is_not_believed_again() -> None:
    page = html_to_text(
        '<?xml version="1.0" encoding="Shift_JIS"?><html><meta charset="euc-jp"><p>猫</p></html>'
    )
    assert page is not None
    assert page.text == "猫"
