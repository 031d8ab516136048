"""The whole text of an HTML page that is known to be content: a manual, an article, a saved document."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import html

from tsuzuri.corpus.extraction import tree
from tsuzuri.corpus.extraction.facts import title_of
from tsuzuri.corpus.extraction.lines import is_furniture, lines_of, link_share_of
from tsuzuri.corpus.sources.config import Ruby


@dataclass(frozen=True, slots=True)
class Page:
    """What an HTML file says: its title and its text."""

    title: str
    text: str
    link_share: float | None = None
    """Share of the text's characters that stand in links, from 0 to 1; None where that is not known."""

    @property
    def facts(self) -> dict[str, float]:
        """What a document's `meta` keeps of it."""
        return {} if self.link_share is None else {"link_share": round(self.link_share, 4)}


def html_to_text(source: str, ruby: Ruby = "base") -> Page | None:
    """The title and the readable text of an HTML document, both empty when there is none; None when it
    nests too deep."""
    root = tree.parse(source, ruby)
    if root is None:
        return None
    lines = lines_of(_content_element(root), is_furniture)
    return Page(title_of(root), "\n".join(line.text for line in lines), link_share_of(lines))


def _content_element(root: html.HtmlElement) -> html.HtmlElement:
    found = root.xpath('//main | //*[@role="main"]') or root.xpath("//article")
    if len(found) == 1 and found[0].xpath("boolean(normalize-space(.))"):
        return found[0]
    return root.find("body") if root.find("body") is not None else root
