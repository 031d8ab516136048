"""`tsuzuri corpus withdraw`: what is taken out, remembered and named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tsuzuri.core.errors import InputError
from tsuzuri.core.manifest import read_manifest
from tsuzuri.corpus.refusals import Refusals, lists_of, refusals_of, remember
from tsuzuri.corpus.withdraw import affected
from tsuzuri.corpus.withdraw import withdraw as take_out


def withdraw(
    documents: Path,
    ids: Sequence[str],
    urls: Sequence[str],
    hosts: Sequence[str],
    refused: Path,
    search: Sequence[Path],
) -> Iterator[str]:
    """Take documents out of a box, remember the refusal, and name what was made of them before.

    It is remembered in two lists (see `corpus.refusals`), and nothing is changed where an argument is wrong.
    Besides `search`, what lies beside the documents is looked through.
    """
    named = refusals_of(ids, urls, hosts)
    for folder in search:
        if not folder.is_dir():
            raise InputError(f"{folder}, to be searched, is no folder", hint="correct --search")
    read_manifest(documents, "documents")
    lists = lists_of(documents, refused)
    Refusals.read(*lists)
    for path in lists:
        remember(path, named)
    taken = take_out(documents, Refusals.read(*lists))
    yield f"{documents} is without {len(taken.ids):,} documents that were refused"
    for kind, value in named:
        if (kind, value) not in taken.matched:
            yield f"nothing in it has the {kind} {value} (any more)"
    yield f"remembered in {' and '.join(map(str, lists))}"
    yield f"a build of another folder reads it with --set corpus.withdrawn={lists[0]}"
    roots = _with_home(search, documents)
    found = list(affected(roots, taken))
    for item in found:
        shards = f": {', '.join(item.files)}" if item.files else ""
        yield f"made of them before  {item.kind}  {item.path}{shards}"
    if taken.ids:
        yield f"looked below {' and '.join(map(str, roots))}: {len(found):,} made of them before"


def _with_home(search: Sequence[Path], documents: Path) -> list[Path]:
    """The folders to search and the one that the documents lie in, none of which is below another by that."""
    home = documents.resolve().parent
    if any(home.is_relative_to(folder.resolve()) for folder in search):
        return [*search]
    return [*(folder for folder in search if not folder.resolve().is_relative_to(home)), home]
