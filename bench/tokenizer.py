"""Tokenizers of every form and boundary against the common ones, trained and measured on the same text.

    python bench/tokenizer.py [--vocabulary 32000] [--characters 7200000] [--rounds 5] [--boxes DIR]
    python bench/tokenizer.py --prepare DIR      # only writes the boxes, for --boxes or to train models with
    python bench/tokenizer.py --pack DIR         # writes them, and DIR/tokens for the deciding row
    python bench/tokenizer.py --decide DIR --device cuda --seeds 1 2 3 --workers 6

Text: Aozora Bunko and Wikipedia of ../shared/data through the corpus stage (or a documents box, --documents),
held out by author and by article. Every peer gets the same sample, vocabulary, longest piece and rule that
numbers go digit by digit; one row more shows what joining digits would give. Speed is one core's, one
document at a time with a fresh encoder each round, the sides taking turns; medians are shown.

The deciding row is apart, because it trains models (see `_decide`): it reads DIR/tokens alone, wherever that
was packed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from _peer_tokenizers import DIGITS_JOINED, SHARED, Makers, peers
from _report import Comparison as Line
from _report import emit, is_installed, machine
from tsuzuri.core.boxes import TOKENIZER_FILE
from tsuzuri.core.config import parse_config
from tsuzuri.core.manifest import make_box
from tsuzuri.corpus.build import build_documents
from tsuzuri.corpus.config import CorpusConfig
from tsuzuri.corpus.document import DOCUMENT_SCHEMA, SplitWriter, as_row, read_documents
from tsuzuri.data.config import PackConfig
from tsuzuri.data.pack import pack
from tsuzuri.data.permutation import key_of
from tsuzuri.tokenizer.codec import Tokenizer
from tsuzuri.tokenizer.compare import Codec, Comparison, comparison_table, measure, timed
from tsuzuri.tokenizer.config import Boundary, Form, TokenizerConfig
from tsuzuri.tokenizer.train import read_texts, sample_texts, train_tokenizer

CORPUS = {
    "root": str(SHARED),
    "source": [
        {"kind": "aozora", "path": "aozora"},
        {"kind": "files", "path": "kyoto-wikipedia.jsonl.gz", "name": "wikipedia", "license": "CC-BY-SA-3.0"},
    ],
}


PACKED_CHARACTERS = {"train": 7_000_000, "heldout": 300_000}
"""Of the text that the deciding row's models are trained and scored on."""
PREPARED, SAMPLE, TOKENS = "documents", "sample", "tokens"
"""Folders beside the tokenizer boxes."""


def main() -> None:
    """Prepare, measure, print."""
    options = arguments()
    if options.decide:
        from _decide import decide  # it needs torch, and nothing else here does

        decide(options, options.decide / TOKENS, default=box_name(TokenizerConfig()))
        return
    print(machine(["tokenizers", "sentencepiece", "gigatoken", "numpy"]), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.prepare or options.pack or options.boxes or Path(scratch)
        documents = options.documents or documents_box(folder / PREPARED)
        config = TokenizerConfig(vocab_size=options.vocabulary, train_characters=options.characters)
        ours = prepare(config, documents, folder)
        if options.pack:
            pack_all(documents, folder)
        elif not options.prepare:
            texts = sample_texts(read_texts(documents), options.characters).texts
            report({**ours, **peers(config, texts, folder / "peers")}, documents, options.rounds)


def arguments() -> argparse.Namespace:
    """What the bench was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", type=int, default=TokenizerConfig().vocab_size)
    parser.add_argument("--characters", type=int, default=7_200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--documents", type=Path, help="a documents box instead of ../shared/data")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--prepare", type=Path, help="write the boxes here and stop")
    modes.add_argument("--pack", type=Path, help="write them and their token boxes here and stop")
    modes.add_argument("--decide", type=Path, help="train models on the token boxes here and stop")
    modes.add_argument("--boxes", type=Path, help="take the boxes from here, or leave them here")
    deciding = parser.add_argument_group("with --decide")
    deciding.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    deciding.add_argument("--size", default="quickstart", help="a row of the ladder")
    deciding.add_argument("--tokens", type=int, help="for each model; unset: as many as no box repeats")
    deciding.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    deciding.add_argument("--characters-too", action="store_true", help="the row of equal characters too")
    deciding.add_argument("--workers", type=int, default=1, help="models trained at once")
    deciding.add_argument("--results", type=Path, help="where to go on from; unset: DIR/decide.jsonl")
    return parser.parse_args()


def documents_box(box: Path) -> Path:
    """The bench's own documents box."""
    build_documents(parse_config(CorpusConfig, CORPUS, where="bench"), box)
    return box


def prepare(config: TokenizerConfig, documents: Path, folder: Path) -> Makers:
    """A tokenizer box of every form and boundary, and how to load each."""
    makers: Makers = {}
    for kind in kinds(config):
        box = folder / box_name(kind)
        train_tokenizer(kind, documents, box)
        makers[name_of(kind)] = lambda box=box: Tokenizer.load(box / TOKENIZER_FILE)
    return makers


def kinds(config: TokenizerConfig) -> Iterator[TokenizerConfig]:
    """The configuration in every form, with every boundary."""
    for form, boundary in itertools.product(Form, Boundary):
        yield config.model_copy(update={"form": form, "boundary": boundary})


def box_name(config: TokenizerConfig) -> str:
    """The folder of a form and boundary."""
    return f"{config.form}-{config.boundary}".replace("+", "-")


def name_of(config: TokenizerConfig) -> str:
    """Ours, as the tables name it."""
    return f"ours: {config.form}, {config.boundary}"


def pack_all(documents: Path, folder: Path) -> None:
    """The deciding row's sample of the documents, in tokens of every tokenizer in the folder."""
    sample = sample_documents(documents, folder / SAMPLE)
    for kind in kinds(TokenizerConfig()):
        pack(PackConfig(), sample, folder / box_name(kind), folder / TOKENS / box_name(kind))


def sample_documents(documents: Path, box: Path) -> Path:
    """A documents box of PACKED_CHARACTERS at most, taken in the order of a keyed hash of the ids.

    It is another order than that in which tokenizers are trained: most of the text is new to them all.
    """

    def work() -> dict[str, int]:
        counts = {}
        for split, most in PACKED_CHARACTERS.items():
            ordered = sorted(read_documents(documents, split), key=lambda item: key_of(0, item.id))
            ends = itertools.accumulate(len(document.text) for document in ordered)
            taken = [document for document, end in zip(ordered, ends, strict=True) if end <= most]
            with SplitWriter(box, split, DOCUMENT_SCHEMA) as writer:
                for document in taken:
                    writer.add(as_row(document))
            counts[f"{split}_documents"] = len(taken)
        return counts

    make_box(box, kind="documents", config=PACKED_CHARACTERS, inputs={"documents": documents}, work=work)
    return box


def report(makers: Makers, documents: Path, rounds: int) -> None:
    """A table for each source of held-out text, then the comparisons."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core, without handing each text to a pool of threads
    heldout: dict[str, list[str]] = {}
    for document in read_documents(documents, "heldout"):
        heldout.setdefault(document.source, []).append(document.text)
    lines = []
    for source, texts in heldout.items():
        rows = measure_all(makers, texts, rounds)
        print(f"\n{source}: {sum(map(len, texts)):,} characters held out")
        Console(width=120).print(comparison_table(rows.values()))
        lines += list(comparisons(rows, source))
        accelerated(makers[name_of(TokenizerConfig())](), texts)
    print(f"({DIGITS_JOINED}: breaks the digit rule that the others keep, so it is shown and not compared)\n")
    emit(lines)


def measure_all(makers: Makers, texts: Sequence[str], rounds: int) -> dict[str, Comparison]:
    """Each tokenizer's row, its speed the median of rounds in which all take turns."""
    rows = {}
    for name, make in makers.items():
        codec = make()
        rows[name] = measure(name, codec.vocab_size, codec, texts)
    speeds: dict[str, list[float]] = {name: [] for name in makers}
    encoded_bytes = sum(len(text.encode()) for text in texts)
    for _ in range(rounds):
        for name, make in makers.items():
            speeds[name].append(encoded_bytes / 1e6 / timed(make().encode, texts)[1])
    return {name: replace(row, encode_mb_per_s=statistics.median(speeds[name])) for name, row in rows.items()}


def comparisons(rows: dict[str, Comparison], source: str) -> Iterator[Line]:
    """The default's packing against every peer's, and its speed against the peer that packs best."""
    default = rows[name_of(TokenizerConfig())]
    others = {
        name: row for name, row in rows.items() if not name.startswith("ours") and name != DIGITS_JOINED
    }
    for name, row in others.items():
        ratio = default.characters_per_token / row.characters_per_token
        bench = f"tokenizer packing, {source}, against {name}"
        yield Line(
            bench,
            round(ratio, 4),
            round(default.characters_per_token, 4),
            round(row.characters_per_token, 4),
            "characters/token",
        )
        speed = default.encode_mb_per_s / row.encode_mb_per_s
        bench = f"tokenizer speed, {source}, against {name}"
        yield Line(
            bench, round(speed, 2), round(default.encode_mb_per_s, 2), round(row.encode_mb_per_s, 2), "MB/s"
        )


def accelerated(ours: Tokenizer, texts: Sequence[str]) -> None:
    """Print what gigatoken makes of the default tokenizer's file: equal texts and cold speed."""
    if not is_installed("gigatoken"):
        return
    import gigatoken

    other: Codec = gigatoken.Tokenizer(ours._backend)
    ids, elapsed_s = timed(lambda text: other.encode_batch([text])[0], texts)
    equal = sum(list(theirs) == ours.encode(text) for theirs, text in zip(ids, texts, strict=True))
    speed = sum(len(text.encode()) for text in texts) / 1e6 / elapsed_s
    print(f"gigatoken on the default's file: same ids for {equal} of {len(texts)}, {speed:.1f} MB/s cold")


if __name__ == "__main__":
    main()
