"""Tokenizers of every form and boundary against the common ones, trained and measured on the same text.

    python bench/tokenizer.py [--vocabulary 32000] [--characters 7200000] [--rounds 5] [--boxes DIR]
    python bench/tokenizer.py --prepare DIR      # only writes the boxes, for --boxes or to train models with

Text: Aozora Bunko and Wikipedia of ../shared/data through the corpus stage (or a documents box, --documents),
held out by author and by article. Every peer gets the same sample, vocabulary, longest piece and rule that
numbers go digit by digit; one row more shows what joining digits would give. Speed is one core's, one
document at a time with a fresh encoder each round, the sides taking turns; medians are shown.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers
from rich.console import Console

from _report import Comparison as Line
from _report import emit, is_installed, machine
from tsuzuri.core.config import parse_config
from tsuzuri.corpus.build import build_documents
from tsuzuri.corpus.config import CorpusConfig
from tsuzuri.corpus.document import read_documents
from tsuzuri.tokenizer.codec import TOKENIZER_FILE, Tokenizer
from tsuzuri.tokenizer.compare import Codec, Comparison, SentencePiece, comparison_table, measure, timed
from tsuzuri.tokenizer.config import Boundary, Form, TokenizerConfig
from tsuzuri.tokenizer.hf_format import QWEN2_PATTERN
from tsuzuri.tokenizer.train import read_texts, sample_texts, train_tokenizer

SHARED = Path(__file__).parents[2] / "shared" / "data"
CORPUS = {
    "root": str(SHARED),
    "source": [
        {"kind": "aozora", "path": "aozora"},
        {"kind": "files", "path": "kyoto-wikipedia.jsonl.gz", "name": "wikipedia", "license": "CC-BY-SA-3.0"},
    ],
}
GPT4_PATTERN = QWEN2_PATTERN.replace(r"\s*[\r\n]+", r"\s*[\r\n]")
"""GPT-4's split with numbers digit by digit (its own takes three digits at a time)."""
BYTES_PER_CHARACTER = 3
DIGITS_JOINED = "SentencePiece BPE, digits joined"
SENTENCEPIECES = {
    "SentencePiece BPE": {"model_type": "bpe"},
    "SentencePiece Unigram": {"model_type": "unigram"},
    DIGITS_JOINED: {"model_type": "bpe", "split_digits": False},
}
BYTE_LEVEL = "Hugging Face byte-level BPE, GPT-4's split"
Makers = dict[str, Callable[[], Any]]


def main() -> None:
    """Prepare, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", type=int, default=TokenizerConfig().vocab_size)
    parser.add_argument("--characters", type=int, default=7_200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--documents", type=Path, help="a documents box instead of ../shared/data")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--prepare", type=Path, help="write the boxes here and stop")
    group.add_argument("--boxes", type=Path, help="take the boxes from here, or leave them here")
    options = parser.parse_args()
    print(machine(["tokenizers", "sentencepiece", "gigatoken", "numpy"]), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.prepare or options.boxes or Path(scratch)
        documents = options.documents or documents_box(folder / "documents")
        config = TokenizerConfig(vocab_size=options.vocabulary, train_characters=options.characters)
        ours = prepare(config, documents, folder)
        if not options.prepare:
            texts = sample_texts(read_texts(documents), options.characters).texts
            report({**ours, **peers(config, texts, folder / "peers")}, documents, options.rounds)


def documents_box(box: Path) -> Path:
    """The bench's own documents box."""
    build_documents(parse_config(CorpusConfig, CORPUS, where="bench"), box)
    return box


def prepare(config: TokenizerConfig, documents: Path, folder: Path) -> Makers:
    """A tokenizer box of every form and boundary, and how to load each."""
    makers: Makers = {}
    for form, boundary in itertools.product(Form, Boundary):
        box = folder / f"{form}-{boundary}".replace("+", "-")
        kind = config.model_copy(update={"form": form, "boundary": boundary})
        train_tokenizer(kind, documents, box)
        makers[name_of(kind)] = lambda box=box: Tokenizer.load(box / TOKENIZER_FILE)
    return makers


def name_of(config: TokenizerConfig) -> str:
    """Ours, as the tables name it."""
    return f"ours: {config.form}, {config.boundary}"


def peers(config: TokenizerConfig, texts: Sequence[str], folder: Path) -> Makers:
    """Every peer that is installed, trained on the texts (or found in the folder), and how to load each."""
    folder.mkdir(parents=True, exist_ok=True)
    makers: Makers = {}
    for name, settings in SENTENCEPIECES.items():
        file = folder / f"{name}.model"
        if not file.exists():
            train_sentencepiece(config, texts, file, settings)
        makers[name] = lambda file=file: SentencePiece(file)
    file = folder / "byte-level.json"
    if not file.exists():
        train_byte_level(config, texts, file)
    makers[BYTE_LEVEL] = lambda: ByteLevel(file)
    if (SHARED / "seed-encoder").exists() and is_installed("jaconv"):
        makers["gpt2-japanese (20,573)"] = SeedEncoder
    return makers


def train_sentencepiece(
    config: TokenizerConfig, texts: Sequence[str], file: Path, settings: dict[str, Any]
) -> None:
    """A SentencePiece model of the texts' lines, lossless and free to cross scripts."""
    common = {
        "vocab_size": config.vocab_size,
        "max_sentencepiece_length": config.longest_piece,
        "byte_fallback": True,
        "split_by_unicode_script": False,
        "split_digits": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "max_sentence_length": 1_000_000,
        "minloglevel": 2,
    }
    lines = (line for text in texts for line in text.split("\n"))
    with open(file, "wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines, model_writer=model, **{**common, **settings}
        )


def train_byte_level(config: TokenizerConfig, texts: Sequence[str], file: Path) -> None:
    """Hugging Face's byte-level BPE of the texts."""
    pre, trainers = tokenizers.pre_tokenizers, tokenizers.trainers
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    split = pre.Split(tokenizers.Regex(GPT4_PATTERN), "isolated")
    model.pre_tokenizer = pre.Sequence([split, pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    model.decoder = tokenizers.decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        initial_alphabet=pre.ByteLevel.alphabet(),
        max_token_length=BYTES_PER_CHARACTER * config.longest_piece,
        show_progress=False,
    )
    model.train_from_iterator(texts, trainer)
    model.save(str(file))


class ByteLevel:
    """A Hugging Face tokenizer as it is, by its fastest call."""

    def __init__(self, file: Path) -> None:
        self._backend = tokenizers.Tokenizer.from_file(str(file))
        self.vocab_size = self._backend.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return self._backend.encode_batch_fast([text])[0].ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        return self._backend.decode(list(ids))


class SeedEncoder:
    """The encoder of gpt2-japanese, in its own Python."""

    def __init__(self) -> None:
        folder = SHARED / "seed-encoder"
        spec = importlib.util.spec_from_file_location("encode_bpe", folder / "encode_bpe.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        pieces = (folder / "ja-bpe.txt").read_text(encoding="utf-8").split("\n")
        emoji = json.loads((folder / "emoji.json").read_text(encoding="utf-8"))
        self._encoder = module.BPEEncoder_ja(Indexed(pieces), emoji)
        self.vocab_size = len(pieces)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return list(self._encoder.encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        return str(self._encoder.decode(list(ids)))


class Indexed(list[str]):
    """A list that finds a word by a table: the seed's own list is searched from the front for every token."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(words)
        self._places = {word: place for place, word in reversed(list(enumerate(words)))}

    def index(self, word: str, *_: Any) -> int:  # type: ignore[override]
        """Where the word first stands."""
        return self._places[word]

    def __contains__(self, word: object) -> bool:
        return word in self._places


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
