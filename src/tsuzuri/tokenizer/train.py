"""From a documents box to a tokenizer box: memory bounded by the configuration, the same bytes every time."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from tsuzuri.core.boxes import SETTINGS_FILE, TOKENIZER_FILE
from tsuzuri.core.errors import InputError
from tsuzuri.core.files import write_text
from tsuzuri.core.manifest import Manifest, make_box, read_manifest, verify_files
from tsuzuri.core.progress import say
from tsuzuri.tokenizer.chunks import chunks_of
from tsuzuri.tokenizer.codec import Tokenizer
from tsuzuri.tokenizer.config import (
    BYTES,
    SMALLEST_VOCABULARY,
    SPECIAL_PIECES,
    Boundary,
    Form,
    TokenizerConfig,
)
from tsuzuri.tokenizer.hf_format import tokenizer_config_json, tokenizer_json
from tsuzuri.tokenizer.merges import Rules, learn

ROWS_PER_READ = 256
ROUND_SIZE = 64
"""The hint offers a size that divides well on accelerators."""


@dataclass(frozen=True)
class Sample:
    """The texts that a tokenizer learns from."""

    texts: list[str]
    sources: dict[str, dict[str, int]]
    """source → {documents, characters}."""


def train_tokenizer(config: TokenizerConfig, documents: Path, box: Path) -> Manifest:
    """The manifest of the tokenizer box made from the training split of a documents box.

    InputError when the text does not support so large a vocabulary, or there is none.
    """
    documents, box = Path(documents), Path(box)

    def work() -> dict[str, object]:
        sample = sample_texts(read_texts(documents), config.train_characters)
        characters = sum(map(len, sample.texts))
        say(f"tokenizer: learning {config.vocab_size:,} pieces from {characters:,} characters")
        description, settings = learn_tokenizer(sample.texts, config)
        write_text(box / TOKENIZER_FILE, description)
        write_text(box / SETTINGS_FILE, settings)
        return _counts(sample, Tokenizer(description, settings))

    inputs = {"documents": documents}
    return make_box(box, kind="tokenizer", config=config.as_mapping(), inputs=inputs, work=work)


def learn_tokenizer(texts: Iterable[str], config: TokenizerConfig) -> tuple[str, str]:
    """The texts of `tokenizer.json` and `tokenizer_config.json`; InputError if `texts` support fewer."""
    rules = Rules(scripts=config.boundary is not Boundary.NONE, longest_piece=config.longest_piece)
    fixed = len(SPECIAL_PIECES) + BYTES
    by_bytes = config.form is Form.BYTE
    learned = learn(chunks_of(texts, config), config.vocab_size - fixed, rules, through_bytes=by_bytes)
    description = tokenizer_json(learned, config.form)
    supported = Tokenizer(description).vocab_size
    if supported < config.vocab_size:
        raise InputError(
            f"a vocabulary of {config.vocab_size:,} is more than this text supports: "
            f"every pair that it holds twice makes {supported:,} pieces",
            hint=_smaller(supported, config.boundary),
        )
    return description, tokenizer_config_json()


def read_texts(documents: Path) -> Iterator[tuple[str, str, str]]:
    """(id, source, text) of every training document of a box, a few hundred in memory at a time."""
    names = [name for name in read_manifest(documents, "documents").files if name.startswith("train-")]
    verify_files(documents, names)
    for name in sorted(names):
        with pq.ParquetFile(documents / name) as file:
            for batch in file.iter_batches(batch_size=ROWS_PER_READ, columns=["id", "source", "text"]):
                rows = batch.to_pydict()
                yield from zip(rows["id"], rows["source"], rows["text"], strict=True)


def sample_texts(documents: Iterable[tuple[str, str, str]], most_characters: int) -> Sample:
    """The documents whose ids have the smallest hashes, as many as `most_characters` hold (always one).

    So every source is there by its share of the text, whatever the order of the documents; at no time is more
    than the bound and one document in memory.
    """
    kept: list[tuple[int, str, str]] = []
    held = 0
    for name, source, text in documents:
        order = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        heapq.heappush(kept, (-order, source, text))
        held += len(text)
        while held > most_characters and len(kept) > 1:
            held -= len(heapq.heappop(kept)[2])
    if not held:
        raise InputError(
            "there is no text to learn a tokenizer from", hint="the documents box has no training text"
        )
    kept.sort(reverse=True)
    sources: dict[str, dict[str, int]] = {}
    for _, source, text in kept:
        counts = sources.setdefault(source, {"documents": 0, "characters": 0})
        counts["documents"] += 1
        counts["characters"] += len(text)
    return Sample([text for _, _, text in kept], dict(sorted(sources.items())))


def _counts(sample: Sample, tokenizer: Tokenizer) -> dict[str, object]:
    lengths = Counter(sum(byte & 0xC0 != 0x80 for byte in piece) for piece in tokenizer.pieces)
    return {
        "vocab_size": tokenizer.vocab_size,
        "documents": len(sample.texts),
        "characters": sum(map(len, sample.texts)),
        "sources": sample.sources,
        "piece_characters": [[length, lengths[length]] for length in sorted(lengths)],
    }


def _smaller(supported: int, boundary: Boundary) -> str:
    rounded = supported // ROUND_SIZE * ROUND_SIZE
    ways = [f"set vocab_size to {rounded} or less"] if rounded >= SMALLEST_VOCABULARY else []
    if boundary is not Boundary.NONE:
        ways.append("set boundary to none, which makes more pieces of it")
    return ", or ".join([*ways, "give more text"])
