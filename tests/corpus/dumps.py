"""MediaWiki dumps made on the spot, in the form in which dumps.wikimedia.org publishes them."""

from __future__ import annotations

import bz2
from collections.abc import Sequence
from html import escape

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="0.11" xml:lang="ja">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <dbname>jawiki</dbname>
    <base>https://ja.wikipedia.org/wiki/%E3%83%A1%E3%82%A4%E3%83%B3%E3%83%9A%E3%83%BC%E3%82%B8</base>
    <generator>MediaWiki 1.45.0</generator>
    <case>first-letter</case>
    <namespaces>
      <namespace key="0" case="first-letter" />
      <namespace key="10" case="first-letter">Template</namespace>
    </namespaces>
  </siteinfo>
"""
TAIL = "</mediawiki>\n"


def page(number: int, title: str, text: str, *, namespace: int = 0, redirect: str = "") -> str:
    """One `<page>` as a dump has it."""
    to = f'    <redirect title="{escape(redirect)}" />\n' if redirect else ""
    return f"""  <page>
    <title>{escape(title)}</title>
    <ns>{namespace}</ns>
    <id>{number}</id>
{to}    <revision>
      <id>{number + 1000}</id>
      <parentid>{number + 900}</parentid>
      <timestamp>2026-10-01T12:34:56Z</timestamp>
      <contributor><username>甲</username><id>7</id></contributor>
      <comment>/* 概要 */ 修正</comment>
      <model>wikitext</model>
      <format>text/x-wiki</format>
      <text bytes="{len(text.encode())}" sha1="x" xml:space="preserve">{escape(text)}</text>
      <sha1>x</sha1>
    </revision>
  </page>
"""


def plain_dump(pages: Sequence[str]) -> bytes:
    """The XML of a dump."""
    return (HEAD + "".join(pages) + TAIL).encode()


def multistream(pages: Sequence[str], pages_per_stream: int) -> bytes:
    """A dump as many bzip2 streams: its head, pages some at a time, its end."""
    streams = [
        "".join(pages[first : first + pages_per_stream]) for first in range(0, len(pages), pages_per_stream)
    ]
    return b"".join(bz2.compress(text.encode()) for text in (HEAD, *streams, TAIL))


def cut_streams(pages: Sequence[str], bytes_per_stream: int) -> bytes:
    """A dump as bzip2 streams that end in the middle of pages, as pbzip2 writes them."""
    data = plain_dump(pages)
    return b"".join(
        bz2.compress(data[place : place + bytes_per_stream])
        for place in range(0, len(data), bytes_per_stream)
    )
