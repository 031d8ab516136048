"""The lists of what must not be used.

A refusal names a document's id, a page's URL however it is written, or a host with all its subdomains. A list
holds one a line, as JSON, and no text. Two of them concern a folder of documents: the one that the recipe
names (`corpus.withdrawn`), and the one beside the folder, which is found from wherever a command is started.
`tsuzuri corpus withdraw` writes both and a build reads both; who builds anywhere else names a list in the
recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tsuzuri.core.errors import IntegrityError, RecipeError
from tsuzuri.core.files import append_json_line, read_json_lines
from tsuzuri.corpus.urls import host_of, one_form

EXAMPLES = {"id": "web/1", "url": "https://example.jp/page.html", "host": "example.jp"}
"""Every kind of refusal, and what its value looks like."""
LIST = "withdrawn.jsonl"
"""What a list is called where nobody says otherwise."""

Refusal = tuple[str, str]
"""Its kind and its value."""


class Located(Protocol):
    """What a refusal is compared with."""

    @property
    def id(self) -> str:
        """A document's id."""
        ...

    @property
    def url(self) -> str:
        """A document's URL, or an empty string."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """What a refusal is compared with, read without its document."""

    id: str
    url: str


class Refusals:
    """What must not be used."""

    def __init__(self, refused: Iterable[Refusal] = ()) -> None:
        self.refused = frozenset(_normal(kind, value) for kind, value in refused)

    @classmethod
    def read(cls, *paths: Path) -> Refusals:
        """The refusals in some lists, those that are there; IntegrityError where one is no such list."""
        lines = [(path, line) for path in paths for line in read_json_lines(path)]
        for path, line in lines:
            if not (
                isinstance(line, dict) and line.get("kind") in EXAMPLES and isinstance(line.get("value"), str)
            ):
                raise IntegrityError(
                    f"{path} holds a line that is no refusal: {line!r}", hint="mend it by hand"
                )
        return cls((line["kind"], line["value"]) for _, line in lines)

    def __len__(self) -> int:
        return len(self.refused)

    def __contains__(self, document: Located) -> bool:
        return bool(self.of(document))

    def of(self, document: Located) -> list[Refusal]:
        """Those that concern a document."""
        labels = host_of(document.url).split(".")
        hosts = [".".join(labels[start:]) for start in range(len(labels))]
        named = [("id", document.id), ("url", one_form(document.url)), *(("host", host) for host in hosts)]
        return [refusal for refusal in named if refusal in self.refused]


def lists_of(documents: Path, named: Path) -> list[Path]:
    """The lists that concern a folder of documents, absolute: the one that is named, the one beside it."""
    return list(dict.fromkeys((named.resolve(), documents.resolve().parent / LIST)))


def in_words(refusals: Refusals, lists: Sequence[Path]) -> str:
    """Which lists there are, and how much they refuse."""
    found = [str(path) for path in lists if path.exists()]
    if not found:
        return f"refusals: none, for there is no {' and no '.join(map(str, lists))}"
    return f"refusals: {len(refusals):,} in {' and '.join(found)}"


def remember(path: Path, refused: Iterable[Refusal]) -> None:
    """Write refusals into a list, as far as they do not stand there."""
    known = Refusals.read(path).refused
    for kind, value in refused:
        if (kind, value) not in known:
            append_json_line(path, {"kind": kind, "value": value})


def refusals_of(ids: Iterable[str], urls: Iterable[str], hosts: Iterable[str]) -> list[Refusal]:
    """What a command line names; RecipeError where that is nothing, or no id, URL or host."""
    named = [("id", one) for one in ids] + [("url", one) for one in urls] + [("host", one) for one in hosts]
    for kind, value in named:
        if not _is_one(kind, value):
            raise RecipeError(f"{value!r} is no {kind}", hint=f"for example --{kind} {EXAMPLES[kind]}")
    if not named:
        raise RecipeError("nothing was named to withdraw", hint="give --id, --url or --host")
    return list(dict.fromkeys(_normal(kind, value) for kind, value in named))


def _is_one(kind: str, value: str) -> bool:
    if kind == "host":
        return "/" not in value and bool(_host(value))
    return bool(host_of(value) if kind == "url" else value.strip())


def _normal(kind: str, value: str) -> Refusal:
    if kind == "host":
        return kind, _host(value) or value
    return kind, one_form(value) if kind == "url" else value


def _host(name: str) -> str:
    return host_of(f"//{name.strip('. ')}")
