"""What only counts characters, as a measure of what a model has learnt: Kneser-Ney and PPMd.

Both, like the models, are scored in bits a character of held-out documents, their ends included.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from _ngram import bits_per_character
from _report import Comparison, is_installed
from tsuzuri.core.errors import InputError
from tsuzuri.core.manifest import box_sha256, read_manifest
from tsuzuri.corpus.document import read_documents
from tsuzuri.generation.language_model import LanguageModel

PPMD_ORDER, PPMD_BYTES = 12, 1 << 30


def ppmd(train: Sequence[str], heldout: Sequence[str]) -> float:
    """Bits a character that the held-out texts add to the compressed training texts; zeros end them."""
    import pyppmd

    before, after = (
        len(pyppmd.compress(part.encode(), max_order=PPMD_ORDER, mem_size=PPMD_BYTES, variant="H"))
        for part in ("".join(f"{text}\0" for text in part) for part in (train, [*train, *heldout]))
    )
    return 8 * (after - before) / sum(map(len, heldout))


def model_bits(model: LanguageModel, texts: Sequence[str]) -> float:
    """Bits a character of the texts by a model, each read from its opening piece to its closing one."""
    scores = model.score(texts, include_end=True)
    nats = -sum(score.log_probability for score in scores)
    return nats / math.log(2) / sum(map(len, texts))


def against_counting(release: Path, documents: Path, sources: Sequence[str], device: str) -> list[Comparison]:
    """A release against what counts the training documents of some sources of its own documents box.

    All are scored on the held-out documents of the same sources, which none of them has read. InputError
    where the release was made of another box, whose held-out documents are others.
    """
    if read_manifest(release, "release").inputs["documents"]["sha256"] != box_sha256(documents):
        raise InputError(
            f"{release} was not made of {documents}: it may have read what is held out there",
            hint="give the documents of the release's own build",
        )
    train, heldout = (
        [item.text for item in read_documents(documents, split) if item.source in sources]
        for split in ("train", "heldout")
    )
    if not (train and heldout):
        found = ", ".join(read_manifest(documents, "documents").counts["sources"])
        raise InputError(
            f"{documents} has no training and held-out documents of {', '.join(sources)}",
            hint=f"--sources: {found}",
        )
    held = f"{len(heldout):,} documents, {sum(map(len, heldout)):,} characters"
    print(f"\nheld out of {', '.join(sources)}: {held}")
    ours = model_bits(LanguageModel.load(release, device=device), heldout)
    line(str(release), 0, [ours])
    characters = sum(map(len, train))
    peers = {"Kneser-Ney": bits_per_character(train, heldout)}
    if is_installed("pyppmd"):
        peers["PPMd"] = ppmd(train, heldout)
    for name, bits in peers.items():
        line(name, characters, [bits])
    return [
        Comparison(f"learn: release against {name}", bits / ours, ours, bits, "bits/character")
        for name, bits in peers.items()
    ]


def line(name: str, characters: int, bits: list[float], note: str = "") -> None:
    """Print a row of a table: what it is called, the characters that it read (0: unsaid), its bits."""
    each = "  ".join(f"{value:.3f}" for value in bits) if len(bits) > 1 else ""
    read = f"{characters:,}" if characters else ""
    print(f"{name:34} {read:>14} {statistics.mean(bits):10.3f}   {each:22} {note}", flush=True)
