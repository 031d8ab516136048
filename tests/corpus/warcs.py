"""WARC and WET files made on the spot, in the form in which Common Crawl publishes them."""

from __future__ import annotations

import gzip
from collections.abc import Iterable

PROSE = (
    "駅前の商店街に、小さな本屋が今も残っている。",
    "店主は毎朝、届いたばかりの新刊を丁寧に並べる。",
    "子どものころから通っているという客も多く、店先ではいつも話し声がする。",
    "来月には、地元の作家を招いて朗読の会を開くそうだ。",
)


def web_page(name: str, *, head: str = "", prose: Iterable[str] = PROSE) -> str:
    """A page of a site: its text between menus."""
    menu = "".join(f'<li><a href="/{word}">{word}</a></li>' for word in ("ホーム", "新着", "地図", "問合せ"))
    body = "".join(f"<p>{sentence}</p>" for sentence in prose)
    return (
        f'<!DOCTYPE html><html lang="ja"><head><title>{name}</title>{head}</head><body>'
        f'<ul class="gnav">{menu}'
        f'</ul><div id="main"><h1>{name}</h1>{body}</div><div class="side">{menu}</div>'
        "<p>Copyright 2026 見本</p></body></html>"
    )


def record(
    number: int,
    payload: bytes,
    *,
    url: str = "https://www.example.jp/page",
    kind: str = "response",
    status: str = "200 OK",
    content_type: str = "text/html; charset=utf-8",
    headers: str = "",
    length: int | None = None,
) -> bytes:
    """One record, not compressed; `length` may lie."""
    if kind == "response":
        http = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{headers}\r\n"
        block, block_type = http.encode() + payload, "application/http; msgtype=response"
    else:
        block, block_type = payload, "text/plain"
    return (
        (
            f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Date: 2026-05-01T02:03:04Z\r\n"
            f"WARC-Record-ID: <urn:uuid:{number}>\r\nWARC-Target-URI: {url}\r\n"
            f"Content-Type: {block_type}\r\nContent-Length: {length or len(block)}\r\n\r\n"
        ).encode()
        + block
        + b"\r\n\r\n"
    )


def archive(records: Iterable[bytes]) -> bytes:
    """Records as a .warc.gz, each a gzip member of its own."""
    return b"".join(gzip.compress(data, mtime=0) for data in records)
