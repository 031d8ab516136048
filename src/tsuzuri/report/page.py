"""The parts that a report is set from. What comes from data passes `safe`, so that it is only ever text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from tsuzuri.report.markup import Markup, safe
from tsuzuri.report.svg import COLOURS

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
RELOAD = '<meta http-equiv="refresh" content="60">\n'
"""Seconds after which a live page loads itself anew."""


def page(title: str, head: str, sections: Iterable[str], *, live: bool = False) -> str:
    """The whole document, its style inside it; it may load nothing from anywhere."""
    body = "\n".join(section for section in sections if section)
    return f"""<!doctype html>
<html lang="ja">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
{RELOAD if live else ""}<title>{safe(title)}</title>
<style>
{files("tsuzuri.report").joinpath("page.css").read_text(encoding="utf-8")}</style>
</head>
<body>
{head}
<main>
{body}
</main>
<footer><p>綴り <span lang="en">Tsuzuri</span></p></footer>
</body>
</html>
"""


def section(japanese: str, english: str, parts: Iterable[str]) -> Markup:
    """A titled section, numbered by the style sheet; empty when all of its parts are."""
    body = "\n".join(part for part in parts if part)
    if not body:
        return Markup("")
    heading = f'<h2>{safe(japanese)}<span lang="en">{safe(english)}</span></h2>'
    return Markup(f'<section>\n{heading}\n<div class="content">\n{body}\n</div>\n</section>')


def heading(japanese: str, english: str) -> Markup:
    """The heading of a part of a section."""
    return Markup(f'<h3>{safe(japanese)} <span lang="en">{safe(english)}</span></h3>')


def figure(japanese: str, english: str, picture: str, alternative: str = "", legend: str = "") -> Markup:
    """A picture under its caption, its numbers as a table one click away; empty without a picture."""
    if not picture:
        return Markup("")
    caption = f'<figcaption>{safe(japanese)} <span lang="en">{safe(english)}</span></figcaption>'
    return Markup(f"<figure>{caption}{picture}{legend}{alternative}</figure>")


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """Names of lines in their colours, each with its last value; nothing for a single line."""
    if len(entries) < 2:
        return Markup("")
    items = (
        f'<li><i class="swatch c{index % COLOURS}"></i>{safe(name)} <b>{safe(value)}</b></li>'
        for index, (name, value) in enumerate(entries)
    )
    return Markup(f'<ul class="legend">{"".join(items)}</ul>')


def side_by_side(figures: Sequence[str]) -> Markup:
    """Figures in as many columns as the window has room for."""
    shown = "\n".join(item for item in figures if item)
    return Markup(f'<div class="figures">\n{shown}\n</div>' if shown else "")


def table(
    header: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str = "", words: int = 1
) -> Markup:
    """A table whose first `words` columns are words and the others figures; empty without rows.

    A header of two words, `文書 Documents`, is set in two lines.
    """
    body = "\n".join(
        "<tr>" + "".join(_cell(value, index, words) for index, value in enumerate(row)) + "</tr>"
        for row in rows
    )
    if not body:
        return Markup("")
    names = "".join(
        f'<th scope="col"{"" if index < words else _FIGURE}>{_two_lines(name)}</th>'
        for index, name in enumerate(header)
    )
    title = f"<caption>{safe(caption)}</caption>" if caption else ""
    head = f"{title}<thead><tr>{names}</tr></thead>"
    return Markup(f'<div class="scroll" tabindex="0"><table>{head}<tbody>\n{body}\n</tbody></table></div>')


def unfolding(summary: str, content: str) -> Markup:
    """Content that unfolds under its summary; empty without content."""
    return Markup(f"<details><summary>{safe(summary)}</summary>{content}</details>" if content else "")


def bilingual(japanese: str, english: str) -> Markup:
    """A label in both languages, the English one small."""
    return Markup(f'{safe(japanese)} <span lang="en">{safe(english)}</span>')


def definitions(items: Iterable[tuple[str, Any]], *, kind: str = "") -> Markup:
    """A list of names with their values; empty without items."""
    pairs = "\n".join(f"<div><dt>{safe(name)}</dt><dd>{safe(value)}</dd></div>" for name, value in items)
    return Markup(f'<dl class="{kind}">\n{pairs}\n</dl>' if pairs else "")


def _two_lines(name: str) -> Markup:
    japanese, space, english = name.partition(" ")
    return Markup(f'{safe(japanese)}<br><span lang="en">{safe(english)}</span>') if space else safe(name)


_FIGURE = ' class="figure"'


def _cell(value: Any, index: int, words: int) -> str:
    if index == 0:
        return f'<th scope="row">{safe(value)}</th>'
    return f"<td{'' if index < words or isinstance(value, Markup) else _FIGURE}>{safe(value)}</td>"
