"""Token shards: documents by number, training rows and packing, each against the plain way to do it.

    python bench/shards.py [--rounds 7] [--documents DOCUMENTS --tokenizer TOKENIZER]

The sides take turns and the medians of the rounds are compared. Peers: for documents, a memory-mapped Arrow
file of token lists (the form in which Hugging Face datasets keeps them); for rows, nanoGPT's get_batch (any
windows, without order, epochs or mixture); for packing, a script that reads the Parquet files, calls the same
tokenizer and writes one file, without checks, order, checksums or resume. Without a documents box, packing is
measured on made-up text.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tokenizers

from _report import Comparison, emit, machine
from tsuzuri.core.manifest import make_box
from tsuzuri.data.box import PIECES, SPLITS, Pieces, TokenBox, shard_stem
from tsuzuri.data.config import PackConfig
from tsuzuri.data.pack import pack
from tsuzuri.data.sampler import Sampler
from tsuzuri.data.shards import shard_writer
from tsuzuri.tokenizer.codec import Tokenizer

DOCUMENTS, VOCABULARY = 20_000, 32_000
LENGTH, BATCH_ROWS = 1024, 64
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|sep|>", "<|mask|>"]


def compare(
    name: str, unit: str, amount: float, ours: Callable[[], object], peer: Callable[[], object], rounds: int
) -> Comparison:
    """Both sides' median rates of `amount` units a call, measured in turns."""
    seconds: dict[Callable[[], object], list[float]] = {ours: [], peer: []}
    for _ in range(rounds):
        for side, found in seconds.items():
            started = time.perf_counter()
            side()
            found.append(time.perf_counter() - started)
    rates = {side: amount / statistics.median(found) for side, found in seconds.items()}
    return Comparison(
        name, round(rates[ours] / rates[peer], 2), round(rates[ours], 1), round(rates[peer], 1), unit
    )


def random_box(path: Path) -> TokenBox:
    """A box of documents of 100 to 900 random tokens."""
    generator = np.random.default_rng(0)

    def work() -> dict[str, object]:
        for split in SPLITS:
            with shard_writer(shard_stem(path, split, "made"), np.dtype("<u2")) as add:
                for length in generator.integers(100, 900, DOCUMENTS):
                    tokens = generator.integers(1, VOCABULARY, length)
                    tokens[-1] = 0
                    add(tokens, np.array([length]))
        Pieces.of([b"x"] * VOCABULARY, eos_id=0).write(path / PIECES)
        return {"sources": {"made": {}}, "tokenizer_sha256": "", "vocab_size": VOCABULARY}

    make_box(path, kind="tokens", config={}, inputs={}, work=work)
    return TokenBox.open(path)


def by_number(box: TokenBox, folder: Path, rounds: int) -> Comparison:
    """Documents in random order, each summed so that its tokens are truly read."""
    shard = box.shard("train", "made")
    path = folder / "documents.arrow"
    table = pa.table({"ids": pa.array([np.asarray(tokens) for tokens in shard], pa.list_(pa.uint16()))})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    column = pa.ipc.open_file(pa.memory_map(str(path))).read_all()["ids"].chunk(0)
    order = np.random.default_rng(1).permutation(len(shard)).tolist()

    def ours() -> None:
        for number in order:
            int(shard[number][-1])

    def peer() -> None:
        for number in order:
            int(column[number].values.to_numpy()[-1])

    return compare("shards: documents by number", "documents/s", len(order), ours, peer, rounds)


def rows(box: TokenBox, rounds: int) -> Comparison:
    """Batches of training rows as 64-bit integers."""
    sampler, path = Sampler(box, length=LENGTH, seed=0), shard_stem(box.path, "train", "made")
    generator, batches = np.random.default_rng(2), 30

    def ours() -> None:
        for batch in range(batches):
            sampler.rows(np.arange(batch * BATCH_ROWS, (batch + 1) * BATCH_ROWS))

    def peer() -> None:
        for _ in range(batches):
            data = np.memmap(path.with_name(path.name + ".bin"), dtype=np.uint16, mode="r")
            starts = generator.integers(0, len(data) - LENGTH, BATCH_ROWS)
            np.stack([data[start : start + LENGTH].astype(np.int64) for start in starts])
            np.stack([data[start + 1 : start + 1 + LENGTH].astype(np.int64) for start in starts])

    return compare("shards: training rows", "rows/s", batches * BATCH_ROWS, ours, peer, rounds)


def packing(documents: Path, tokenizer: Path, folder: Path, rounds: int) -> Comparison:
    """A documents box to a tokens box, in megabytes of text a second."""
    files = sorted(documents.glob("train-*.parquet")) + sorted(documents.glob("heldout-*.parquet"))
    size = sum(len(text.encode()) for file in files for text in pq.read_table(file)["text"].to_pylist())
    codec, boxes = Tokenizer.load(tokenizer), iter(range(rounds))

    def ours() -> None:
        pack(PackConfig(), documents, tokenizer, folder / f"packed-{next(boxes)}")

    def peer() -> None:
        with open(folder / "plain.bin", "wb") as out:
            for file in files:
                for batch in pq.ParquetFile(file).iter_batches(batch_size=1_000, columns=["text"]):
                    for ids in codec.encode_batch(batch["text"].to_pylist()):
                        out.write(np.array([*ids, codec.eos_id], np.uint16).tobytes())

    return compare("shards: packing", "MB/s", size / 1e6, ours, peer, rounds)


def made_documents(folder: Path) -> tuple[Path, Path]:
    """A documents box of 4 million characters of made-up text, and a tokenizer trained on a part of it."""
    generator = random.Random(0)
    syllables = [chr(code) for code in (*range(0x3041, 0x3094), *range(0x4E00, 0x5200))]
    words = ["".join(generator.choices(syllables, k=generator.randint(1, 4))) for _ in range(20_000)]
    texts = ["".join(generator.choices(words, k=400)) for _ in range(4_000)]

    def work() -> dict[str, object]:
        for split, part in zip(SPLITS, (texts[100:], texts[:100]), strict=True):
            ids = [f"{split}/{number}" for number in range(len(part))]
            table = {
                "id": ids,
                "text": part,
                "source": ["made"] * len(part),
                "license": ["CC0-1.0"] * len(part),
            }
            pq.write_table(
                pa.table(table), folder / "documents" / f"{split}-00000.parquet", row_group_size=1_000
            )
        return {}

    make_box(folder / "documents", kind="documents", config={}, inputs={}, work=work)
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    trained.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        texts[:400],
        tokenizers.trainers.BpeTrainer(
            vocab_size=8_000, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        ),
    )
    trained.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": SPECIAL[0]}))
    return folder / "documents", folder / "tokenizer.json"


def main() -> None:
    """Run the three comparisons."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--documents", type=Path, help="a documents box to pack")
    parser.add_argument("--tokenizer", type=Path, help="the tokenizer to pack it with")
    options = parser.parse_args()
    print(machine(["numpy", "pyarrow", "tokenizers"]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        box = random_box(folder / "tokens")
        if options.documents and options.tokenizer:
            documents, tokenizer = options.documents, options.tokenizer
        else:
            documents, tokenizer = made_documents(folder)
        emit(
            [
                by_number(box, folder, options.rounds),
                rows(box, options.rounds),
                packing(documents, tokenizer, folder, options.rounds),
            ]
        )


if __name__ == "__main__":
    main()
