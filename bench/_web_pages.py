"""Web pages made of real articles, so that their main text is known: six layouts of the Japanese web, each
with the furniture that it has there, some of it prose (comments, profiles, teasers, cookie notices)."""

from __future__ import annotations

import gzip
import html
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MIN_CHARACTERS, MAX_CHARACTERS = 400, 6_000
SITES_PER_LAYOUT = 4


@dataclass(frozen=True)
class Article:
    """A title and its paragraphs."""

    title: str
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class MadePage:
    """A page and the text that an extractor should find in it."""

    layout: str
    source: str
    truth: str


def read_articles(data: Path, count: int) -> list[Article]:
    """Articles of some paragraphs."""
    articles: list[Article] = []
    with gzip.open(data / "kyoto-wikipedia.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            lines = [part for part in record["text"].split("\n") if part and not part.startswith("=")]
            if len(lines) >= 4 and MIN_CHARACTERS <= sum(map(len, lines)) <= MAX_CHARACTERS:
                articles.append(Article(record["title"], lines))
            if len(articles) == count:
                break
    return articles


def make_pages(articles: Sequence[Article], seed: int) -> list[MadePage]:
    """One page an article, the layouts in turn; teasers and comments are of other articles."""
    generator = random.Random(seed)
    pages = []
    for number, article in enumerate(articles):
        others = generator.sample(articles, 12)
        layout = LAYOUTS[number % len(LAYOUTS)]
        body = layout(article, others, generator)
        head = f'<head><meta charset="utf-8"><title>{_text(article.title)} - 見本の里</title>{NOISE}</head>'
        source = f'<!DOCTYPE html>\n<html lang="ja">{head}<body>{body}</body></html>'
        truth = "\n".join([article.title, *article.paragraphs])
        pages.append(MadePage(layout.__name__.strip("_"), source, truth))
    return pages


def write_warc(pages: Sequence[MadePage], path: Path) -> None:
    """The pages in a WARC file, as Common Crawl publishes it: a gzip member for each."""
    with open(path, "wb") as file:
        for number, page in enumerate(pages):
            payload = (
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page.source.encode()
            )
            head = (
                "WARC/1.0\r\nWARC-Type: response\r\nWARC-Date: 2026-05-01T02:03:04Z\r\n"
                f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{number:012}>\r\n"
                f"WARC-Target-URI: {url_of(page, number)}\r\n"
                "WARC-Identified-Payload-Type: text/html\r\n"
                "Content-Type: application/http; msgtype=response\r\n"
                f"Content-Length: {len(payload)}\r\n\r\n"
            )
            file.write(gzip.compress(head.encode() + payload + b"\r\n\r\n", mtime=0))


def url_of(page: MadePage, number: int) -> str:
    """Where a page stands: one layout after the other, and some sites of each in turns."""
    return f"https://{page.layout}-{number // len(LAYOUTS) % SITES_PER_LAYOUT}.example.jp/{number}.html"


NOISE = (
    "<style>" + ".box{margin:0 auto;padding:4px}" * 60 + "</style><script>" + "var a=1;" * 300 + "</script>"
)
WORDS = (
    "ホーム",
    "会社概要",
    "お問い合わせ",
    "よくある質問",
    "新着情報",
    "採用情報",
    "アクセス",
    "サイトマップ",
)


def _text(text: str) -> str:
    return html.escape(text)


def _links(words: Sequence[str]) -> str:
    return "".join(f'<li><a href="/{number}">{_text(word)}</a></li>' for number, word in enumerate(words))


def _paragraphs(article: Article) -> str:
    return "\n".join(f"<p>{_text(line)}</p>" for line in article.paragraphs)


def _teasers(others: Sequence[Article]) -> str:
    return "".join(
        f'<li><a href="/t{number}"><b>{_text(other.title)}</b>'
        f"<span>{_text(other.paragraphs[0][:60])}…</span></a></li>"
        for number, other in enumerate(others)
    )


def _news(article: Article, others: Sequence[Article], generator: random.Random) -> str:
    return (
        '<header><div class="logo"><a href="/">見本新聞</a></div>'
        f"<nav><ul>{_links(WORDS)}</ul></nav></header>"
        '<div class="breadcrumb"><a href="/">トップ</a> &gt; <a href="/c">社会</a></div>'
        f'<main><article><h1>{_text(article.title)}</h1><div class="meta">2026年5月'
        f'{generator.randint(1, 31)}日 12時00分</div><ul class="sns"><li>'
        f'<a href="#">シェアする</a></li></ul>{_paragraphs(article)}'
        '</article></main><section class="related"><h2>関連記事</h2>'
        f"<ul>{_teasers(others[:6])}</ul></section>"
        f"<aside><h2>アクセスランキング</h2><ol>{_teasers(others[6:])}</ol></aside>"
        "<footer><p>掲載の記事・写真の無断転載を禁じます。 Copyright 2026 見本新聞社</p></footer>"
    )


def _blog(article: Article, others: Sequence[Article], generator: random.Random) -> str:
    comments = "".join(
        f'<li class="comment"><p>{_text(other.paragraphs[0][:80])}</p><a href="#">返信</a></li>'
        for other in others[:4]
    )
    return (
        '<div id="header"><h2><a href="/">日々の覚え書き</a></h2>'
        f'<ul class="menu">{_links(WORDS[:5])}</ul></div>'
        f'<div id="content"><div class="entry"><h1 class="entry-title">{_text(article.title)}</h1>'
        f'<div class="entry-content">{_paragraphs(article)}</div><div class="entry-footer">カテゴリー: '
        '<a href="/c">雑記</a> | <a href="#c">コメント (4)</a></div></div>'
        '<div id="comments"><h3>コメント</h3><ol>'
        f'{comments}</ol></div></div><div id="sidebar"><div class="widget profile"><h3>プロフィール</h3>'
        "<p>東京の片すみで暮らす会社員です。休みの日には、カメラを持って散歩に出かけています。</p></div>"
        '<div class="widget"><h3>最近の投稿</h3>'
        f"<ul>{_links([other.title for other in others])}</ul></div></div>"
        '<div id="footer">Powered by Mihon</div>'
    )


def _tables(article: Article, others: Sequence[Article], generator: random.Random) -> str:
    body = "<br><br>\n".join(_text(line) for line in article.paragraphs)
    menu = "<br>".join(
        f'<a href="{number}.html">{_text(other.title)}</a>' for number, other in enumerate(others)
    )
    return (
        '<table width="800"><tr><td colspan="2"><a href="index.html">見本のページへようこそ</a></td></tr><tr>'
        f'<td width="160" valign="top"><font size="2">{menu}</font></td><td valign="top">'
        f'<h1><font color="navy">{_text(article.title)}</font></h1>{body}<br><br>'
        '<a href="index.html">トップページへ戻る</a></td></tr></table><hr><center>あなたは'
        f"{generator.randint(1000, 99999)}人目のお客様です</center>"
    )


def _nameless(article: Article, others: Sequence[Article], generator: random.Random) -> str:
    body = "".join(
        f'<div class="x{generator.randint(1, 9)}">{_text(line)}</div>' for line in article.paragraphs
    )
    return (
        f'<div class="a1"><div class="a2"><ul>{_links(WORDS)}</ul></div><div class="a3"><div>'
        f"<h1>{_text(article.title)}</h1></div>{body}</div>"
        f'<div class="a4"><ul>{_teasers(others[:5])}</ul></div>'
        '<div class="a5">当サイトでは、利便性の向上のためにクッキーを使用しています。'
        '<a href="/p">詳細</a></div></div>'
    )


def _manual(article: Article, others: Sequence[Article], generator: random.Random) -> str:
    return (
        f'<div class="sphinxsidebar"><ul>{_links([other.title for other in others])}</ul></div>'
        '<div class="document">'
        f'<div class="body" role="main"><h1>{_text(article.title)}<a class="headerlink" href="#a">¶</a></h1>'
        f'{_paragraphs(article)}</div></div><div class="footer">© Copyright 2026, 見本.</div>'
    )


def _answers(article: Article, others: Sequence[Article], generator: random.Random) -> str:
    posts = "".join(
        f'<div class="post"><div class="post-body"><p>{_text(line)}</p></div>'
        f'<div class="user"><a href="/u{number}">'
        f"user{generator.randint(1, 999)}</a> 2026/05/{number % 28 + 1:02}</div></div>"
        for number, line in enumerate(article.paragraphs)
    )
    return (
        f'<nav><ul>{_links(WORDS)}</ul></nav><div class="login"><a href="/login">ログイン</a></div>'
        f'<div id="thread"><h1>{_text(article.title)}</h1>{posts}</div>'
        '<div class="recommend"><h3>おすすめの質問</h3>'
        f"<ul>{_teasers(others)}</ul></div><footer><ul>{_links(WORDS)}</ul></footer>"
    )


LAYOUTS: tuple[Callable[[Article, Sequence[Article], random.Random], str], ...] = (
    _news,
    _blog,
    _tables,
    _nameless,
    _manual,
    _answers,
)
