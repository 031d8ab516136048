"""Wikitext to plain text: what is inside sentences stays, what is around them goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsuzuri.corpus.sources.wikitext import plain_text
from tsuzuri.corpus.sources.wikitext_templates import era_year

ARTICLE = """{{Infobox 塔
|名称 = 見本塔
|高さ = {{convert|333|m|ft}}
|画像 = [[ファイル:Tower.jpg|250px]]
}}
{{Otheruses|塔|駅|見本塔駅}}
'''見本塔'''（みほんとう、{{lang-en-short|Sample Tower}}）は、[[東京都]][[港区 (東京都)|港区]]にある高さ\
{{convert|333|m|ft|abbr=on}}の塔である<ref name="a">{{Cite web|url=http://example.jp/|title=塔}}</ref>。\
{{和暦|1958}}に完成し、{{formatnum:150000000}}人が訪れた{{要出典|date=2010年5月}}。
[[ファイル:Tower at night.jpg|thumb|200px|夜の[[塔]]。]]
[[File:Map.svg|thumb|地図]]
<!-- 編集者へ: ここを
直すこと -->
== 歴史 ==
{{Main|見本塔の歴史}}
設計は{{仮リンク|ヤン・ファン・ベーク|en|Jan van Beek}}による。\
{{要出典範囲|費用は約28億円だった|date=2011年}}。
* 1957年 - 起工
** {{ruby|基礎|きそ}}工事
# 完成<ref group="注" name="b"/>
{| class="wikitable" style="text-align:right"
|+ 入場者
! 年 !! 人数
|-
| 1958年 || style="color:red" | 100万人
|-
| 1959年
| [[平均|約]]513万人<br />（最多）
|}
=== 塗装 ===
色は「[[インターナショナルオレンジ]]」と白で、{{lang|la|turris}}と刻まれている（{{refnest|注}}）。
体積は<math>V = \\frac{1}{3}Sh</math>で、<nowiki>[[これ]]</nowiki>はリンクではない。
[http://example.jp/ 公式の頁]&nbsp;&amp; [http://example.jp/bare]__NOTOC__
== 脚注 ==
{{脚注ヘルプ}}
<references />
=== 注釈 ===
注の文。
== 関連項目 ==
* [[電波塔]]
== 逸話 ==
猫が登ったことがある。
{{DEFAULTSORT:みほんとう}}
[[Category:東京都の塔|みほんとう]]
[[カテゴリ:1958年竣工の建築物]]
[[en:Sample Tower]]
"""
TEXT = """見本塔（みほんとう、英: Sample Tower）は、東京都港区にある高さ333 mの塔である。\
昭和33年に完成し、150,000,000人が訪れた。
夜の塔。

歴史
設計はヤン・ファン・ベークによる。費用は約28億円だった。
1957年 - 起工
基礎工事
完成
入場者
年\t人数
1958年\t100万人
1959年\t約513万人 （最多）

塗装
色は「インターナショナルオレンジ」と白で、turrisと刻まれている。
体積はV = \\frac{1}{3}Shで、[[これ]]はリンクではない。
公式の頁\u00a0&

逸話
猫が登ったことがある。"""


def test_a_whole_article() -> None:
    article = plain_text(ARTICLE, title="見本塔")
    assert article.text == TEXT
    assert article.categories == ["東京都の塔", "1958年竣工の建築物"]
    assert article.dropped_templates == 7


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{仮リンク|甲|en|A|label=乙}}は", "乙は"),
        ("{{読み仮名|薔薇|ばら}}の花", "薔薇（ばら）の花"),
        ("{{val|6.02|0.01|e=23|u=mol}}個", "6.02±0.01×10^23 mol個"),
        ("{{convert|10|to|20|km2}}", "10–20 km²"),
        ("{{生年月日と年齢|1990|1|2}}生", "1990年1月2日生"),
        ("{{死亡年月日と没年齢|1900|1|2|1950|3|4}}没", "1950年3月4日没"),
        ("{{frac|1|2}}と{{sfrac|3|4}}と{{frac|1|1|2}}", "1/2と3/4と1 1/2"),
        ("{{lang-fr|Tour}}、{{Lang|en|tower}}", "フランス語: Tour、tower"),
        ("{{lang|en|1=E=mc}}", ""),  # the second argument was not given
        ("{{CP932フォント|髙}}島", "髙島"),
        ("{{JPN}}代表", "日本代表"),
        ("{{Quotation|文が{{lang|en|a}}ある。|出典}}", "文がaある。"),
        ("{{PAGENAME}}とは", "題とは"),
        ("{{知らない雛形|甲|乙}}文", "文"),
        ("[[:Category:塔]]と[[猫#歴史|]]と[[#節]]", "Category:塔と猫と節"),
        ("[[Re:ゼロから|リゼロ]]と[[Re:ゼロ]]", "リゼロとRe:ゼロ"),
        ("[[ファイル:a.jpg|thumb|[[甲]]と{{lang|en|b}}。]]後", "甲とb。\n後"),
        ("{{甲|{{乙|[[丙|丁]]}}|戊}}己", "己"),
        ("開いた{{雛形|のまま", "開いた{{雛形|のまま"),
        ("閉じた}}ままと]]", "閉じた}}ままと]]"),
        ("<ref>閉じない注。本文", "閉じない注。本文"),
        ("甲<!-- 閉じない", "甲"),
        ("甲（）乙（、）丙（、丁）", "甲乙丙（丁）"),
        ("{|\n| a || b\n{|\n| c\n|}\n|}\n後", "a\tb\nc\n後"),
        ("----\n文", "文"),
        ("== 注釈==\n消\n=== 小 ===\n消\n== 次 ==\n残", "次\n残"),
        ("甲<br>乙", "甲\n乙"),
        ("5 &lt; 6 &amp;amp;", "5 < 6 &amp;"),
    ],
)
def test_marks(source: str, text: str) -> None:
    assert plain_text(source, title="題").text == text


def test_ruby_keeps_its_reading_if_asked() -> None:
    assert plain_text("{{ruby|薔薇|ばら}}", ruby="both").text == "薔薇（ばら）"


@pytest.mark.parametrize(
    ("source", "base", "both"),
    [
        ("<ruby>漢<rt>かん</rt></ruby>字", "漢字", "漢（かん）字"),
        ("<ruby>漢<rp>（</rp><rt>[[かん]]</rt><rp>）</rp></ruby>字", "漢字", "漢（かん）字"),
        ("<ruby><rb>漢</rb><rt>かん<rb>字</rb><rt>じ</ruby>だ", "漢字だ", "漢（かん）字（じ）だ"),
        ("<ruby>漢<rt>かん<rp>）</ruby>字", "漢字", "漢（かん）字"),
        ("<nowiki><ruby>漢<rt>かん</rt></ruby></nowiki>", *["<ruby>漢<rt>かん</rt></ruby>"] * 2),
        ("漢<rt>かん", "漢かん", "漢かん"),
    ],
)
def test_ruby_in_tags_is_ruby_too(source: str, base: str, both: str) -> None:
    assert plain_text(source).text == base
    assert plain_text(source, ruby="both").text == both


@pytest.mark.parametrize(
    "mark",
    ["{{", "[[", "}}", "{{a|", "[[a|", "<ref>", "<!--", "<nowiki>", "{|\n", "''", "{{[[", "<rt>", "<rp>"],
)
def test_marks_without_end_cost_no_more_than_their_length(mark: str) -> None:
    article = plain_text(mark * 50_000 + "\n文")
    assert ("文" in article.text) == (mark != "<!--")


@given(st.text(alphabet="甲乙|{}[]<>=!-*#:'/\n refnowikirtp", max_size=200))
def test_no_text_raises_and_plain_text_stays(source: str) -> None:
    plain_text(source)


@given(st.text(alphabet="甲乙丙、。「」0123abc", min_size=1, max_size=50))
def test_plain_text_is_not_changed(source: str) -> None:
    assert plain_text(source).text == source.strip("\n")


@pytest.mark.parametrize(
    ("year", "text"),
    [
        (2019, "令和元年"),
        (2020, "令和2年"),
        (1989, "平成元年"),
        (1945, "昭和20年"),
        (1868, "明治元年"),
        (1867, ""),
    ],
)
def test_years_of_an_era(year: int, text: str) -> None:
    assert era_year(year) == text
