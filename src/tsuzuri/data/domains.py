"""Token shards by domain: the documents of a tokens box, divided anew, each with its split and its tokens.

A domain is some of the sources, or a cluster of documents of whatever source. What was held out stays held
out. Documents lie in the order of the same keyed hash of their ids, so a prefix of a domain's held-out
documents is a fair sample of it whatever sources it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tsuzuri.core.errors import InputError, RecipeError, closest
from tsuzuri.core.files import write_text
from tsuzuri.core.manifest import Manifest, make_box, read_manifest
from tsuzuri.data.box import PIECES, SPLITS, Split, TokenBox, shard_stem
from tsuzuri.data.pack import count_documents, table_path, write_table
from tsuzuri.data.permutation import key_of
from tsuzuri.data.shards import shard_writer
from tsuzuri.tokenizer.codec import Tokenizer

DomainOf: TypeAlias = Callable[[str, str], str | None]
"""(source, id) of a document → its domain; None: it is of none."""


def divide(
    tokens: Path,
    domains: Sequence[str],
    domain_of: DomainOf,
    box: Path,
    *,
    config: Mapping[str, Any],
    inputs: Mapping[str, Path],
) -> Manifest:
    """The manifest of the tokens box whose sources are `domains`, made from another one.

    `config` and `inputs` say what `domain_of` depends on beside the box of `tokens`.
    """

    def work() -> Mapping[str, Any]:
        whole = TokenBox.open(tokens)
        order_seed = read_manifest(tokens).config.get("order_seed", 0)
        for split in SPLITS:
            found = _documents(whole, split, domain_of)
            for domain in domains:
                _write(whole, split, found.get(domain, []), shard_stem(box, split, domain), order_seed)
        write_text(box / PIECES, (tokens / PIECES).read_text(encoding="utf-8"))
        return {
            "sources": count_documents(box),
            "tokenizer_sha256": whole.tokenizer_sha256,
            "vocab_size": whole.vocab_size,
        }

    return make_box(box, kind="tokens", config=config, inputs={"tokens": tokens, **inputs}, work=work)


def by_source(domains: Mapping[str, Sequence[str]], sources: Sequence[str]) -> dict[str, str]:
    """source → its domain, of sources that are of one.

    Raises RecipeError for a source that is not there or stands in two domains.
    """
    found: dict[str, str] = {}
    for domain, members in domains.items():
        for source in members:
            if source not in sources:
                raise RecipeError(
                    f"the domain {domain!r} names a source {source!r} that is not there"
                    f"{closest(source, sources)}",
                    hint=f"sources: {', '.join(sources)}",
                )
            if source in found:
                raise RecipeError(
                    f"the source {source!r} is of two domains, {found[source]!r} and {domain!r}",
                    hint="let each source stand in one domain of specialists.domains",
                )
            found[source] = domain
    return found


def require_text(box: TokenBox, least_characters: int) -> None:
    """InputError names a domain with too little to learn from, or with nothing to be judged by."""
    for domain, counts in box.counts.items():
        characters = counts["train_characters"] or 0
        if characters < least_characters:
            raise InputError(
                f"the domain {domain!r} has {characters:,} characters to learn from, fewer than "
                f"{least_characters:,}",
                hint="add text to it, join it with another domain, or lower specialists.least_characters",
            )
        if not counts["heldout_documents"]:
            raise InputError(
                f"the domain {domain!r} holds no document out to be judged by",
                hint="raise corpus.heldout_fraction, or join it with another domain",
            )


def texts_of(
    box: TokenBox, split: Split, domain: str, tokenizer: Tokenizer, most_characters: int
) -> Iterator[str]:
    """The first documents of a domain as text, until they hold so many characters."""
    characters = 0
    for document in box.shard(split, domain):
        if characters >= most_characters:
            return
        text = tokenizer.decode(document[:-1].tolist())
        characters += len(text)
        yield text


def _documents(
    whole: TokenBox, split: Split, domain_of: DomainOf
) -> dict[str, list[tuple[str, int, dict[str, Any]]]]:
    """domain → (source, place in its shard, row of its table) of each of its documents."""
    found: dict[str, list[tuple[str, int, dict[str, Any]]]] = {}
    for source in whole.sources:
        rows = pq.read_table(table_path(shard_stem(whole.path, split, source))).to_pylist()
        for place, row in enumerate(rows):
            domain = domain_of(source, row["id"])
            if domain is not None:
                found.setdefault(domain, []).append((source, place, row))
    return found


def _write(
    whole: TokenBox,
    split: Split,
    documents: list[tuple[str, int, dict[str, Any]]],
    stem: Path,
    order_seed: int,
) -> None:
    shards = {source: whole.shard(split, source) for source in {source for source, _, _ in documents}}
    ordered = sorted(documents, key=lambda item: key_of(order_seed, item[2]["id"]))
    schema = pq.read_schema(table_path(shard_stem(whole.path, split, whole.sources[0])))
    dtype = whole.shard(split, whole.sources[0]).tokens.dtype
    with shard_writer(stem, dtype) as add:
        for source, place, _ in ordered:
            document = shards[source][place]
            add(document, np.array([len(document)]))
    write_table(stem, pa.Table.from_pylist([row for _, _, row in ordered], schema=schema))
