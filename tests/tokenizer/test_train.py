"""From a documents box to a tokenizer box: bounded, the same bytes every time, clear when asked too much."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tsuzuri.core.boxes import TOKENIZER_FILE
from tsuzuri.core.config import parse_config
from tsuzuri.core.errors import InputError, IntegrityError, RecipeError, ResumeError
from tsuzuri.core.manifest import make_box
from tsuzuri.tokenizer.codec import Tokenizer
from tsuzuri.tokenizer.config import TokenizerConfig
from tsuzuri.tokenizer.train import learn_tokenizer, sample_texts, train_tokenizer

CONFIG = TokenizerConfig(vocab_size=600)
ONE_THREAD_AND_FOUR = """
import sys
from tsuzuri.tokenizer.config import TokenizerConfig
from tsuzuri.tokenizer.train import learn_tokenizer
texts = sys.stdin.read().split("\\f")
for form in ("byte", "character"):
    config = TokenizerConfig(vocab_size=600, form=form, boundary="script+pieces")
    sys.stdout.write(learn_tokenizer(texts, config)[0])
"""


def documents_box(path: Path, rows: list[tuple[str, str, str]], rows_per_file: int = 4) -> Path:
    """A documents box of (id, source, text) rows."""

    def work() -> dict[str, int]:
        for number, start in enumerate(range(0, len(rows), rows_per_file)):
            columns = zip(*rows[start : start + rows_per_file], strict=True)
            table = pa.table(dict(zip(("id", "source", "text"), columns, strict=True)))
            pq.write_table(table, path / f"train-{number:05d}.parquet")
        heldout = pa.table({"id": ["h"], "source": ["s"], "text": ["鰯" * 1000]})
        pq.write_table(heldout, path / "heldout-00000.parquet")
        return {"documents": len(rows)}

    make_box(path, kind="documents", config={}, inputs={}, work=work)
    return path


def rows_of(texts: list[str]) -> list[tuple[str, str, str]]:
    return [(f"made/{number}", f"source-{number % 2}", text) for number, text in enumerate(texts)]


def test_a_box_is_made_once_and_found_again(tmp_path: Path, texts: list[str]) -> None:
    documents = documents_box(tmp_path / "documents", rows_of(texts))
    manifest = train_tokenizer(CONFIG, documents, tmp_path / "tokenizer")
    assert set(manifest.files) == {"tokenizer.json", "tokenizer_config.json"}
    assert manifest.counts["vocab_size"] == 600
    assert manifest.counts["characters"] == sum(map(len, texts))
    assert set(manifest.counts["sources"]) == {"source-0", "source-1"}
    assert sum(pieces for _, pieces in manifest.counts["piece_characters"]) == 600
    tokenizer = Tokenizer.load(tmp_path / "tokenizer")
    assert tokenizer.sha256 == manifest.files[TOKENIZER_FILE]
    assert len(tokenizer.encode("鰯")) == 3  # held-out text teaches nothing
    written = (tmp_path / "tokenizer" / TOKENIZER_FILE).stat().st_mtime_ns
    assert train_tokenizer(CONFIG, documents, tmp_path / "tokenizer") == manifest
    assert (tmp_path / "tokenizer" / TOKENIZER_FILE).stat().st_mtime_ns == written
    with pytest.raises(ResumeError, match="vocab_size"):
        train_tokenizer(TokenizerConfig(vocab_size=601), documents, tmp_path / "tokenizer")


def test_the_same_text_gives_the_same_bytes_in_any_order(texts: list[str]) -> None:
    shuffled = rows_of(texts)
    random.Random(1).shuffle(shuffled)
    samples = [sample_texts(rows, 10**9) for rows in (rows_of(texts), shuffled)]
    assert samples[0] == samples[1]
    first, second = (learn_tokenizer(sample.texts, CONFIG) for sample in samples)
    assert first == second


def test_the_number_of_threads_changes_no_byte(texts: list[str]) -> None:
    outputs = set()
    for threads in ("1", "4"):
        environment = {
            **os.environ,
            "RAYON_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            "PYTHONHASHSEED": threads,
        }
        command = [sys.executable, "-c", ONE_THREAD_AND_FOUR]
        run = subprocess.run(
            command, input="\f".join(texts).encode(), env=environment, capture_output=True, check=True
        )
        outputs.add(run.stdout)
    assert len(outputs) == 1
    assert len(outputs.pop()) > 10_000


def test_a_sample_is_bounded_and_grows_by_documents(texts: list[str]) -> None:
    rows = rows_of(texts)
    sizes = sorted(map(len, texts))
    bound = sum(sizes) // 2
    half, whole = sample_texts(rows, bound), sample_texts(rows, 10**9)
    assert bound - sizes[-1] <= sum(map(len, half.texts)) <= bound
    assert half.texts == whole.texts[: len(half.texts)]
    assert sum(counts["documents"] for counts in half.sources.values()) == len(half.texts)


def test_one_document_is_taken_however_long(texts: list[str]) -> None:
    assert len(sample_texts(rows_of(texts), 1).texts) == 1


def test_a_vocabulary_that_the_text_cannot_support(tmp_path: Path, texts: list[str]) -> None:
    documents = documents_box(tmp_path / "documents", rows_of(texts))
    with pytest.raises(InputError, match="32,000 is more than this text supports") as caught:
        train_tokenizer(TokenizerConfig(), documents, tmp_path / "tokenizer")
    size = int(caught.value.hint.split("vocab_size to ")[1].split(" ")[0])
    assert size % 64 == 0
    train_tokenizer(TokenizerConfig(vocab_size=size), documents, tmp_path / "smaller")  # the hint is true
    with pytest.raises(InputError, match="supports"):
        train_tokenizer(TokenizerConfig(vocab_size=size + 64), documents, tmp_path / "larger")


def test_hardly_any_text() -> None:
    with pytest.raises(InputError, match="more than this text supports") as caught:
        learn_tokenizer(["猫"], CONFIG)
    assert caught.value.hint == "set boundary to none, which makes more pieces of it, or give more text"


def test_no_text() -> None:
    with pytest.raises(InputError, match="no text to learn"):
        sample_texts([], 100)
    with pytest.raises(InputError, match="no text to learn"):
        sample_texts([("a", "s", "")], 100)


def test_a_damaged_document_file(tmp_path: Path, texts: list[str]) -> None:
    documents = documents_box(tmp_path / "documents", rows_of(texts))
    file = documents / "train-00001.parquet"
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(IntegrityError, match="train-00001"):
        train_tokenizer(CONFIG, documents, tmp_path / "tokenizer")


def test_what_is_not_a_documents_box(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        train_tokenizer(CONFIG, tmp_path / "absent", tmp_path / "tokenizer")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vocab_sise": 8000}, "did you mean 'vocab_size'"),
        ({"vocab_size": 100}, "vocab_size"),
        ({"form": "unigram"}, "'byte' or 'character'"),
        ({"boundary": "words"}, "'none', 'script' or 'script\\+pieces'"),
    ],
)
def test_mistakes_in_a_recipe(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_config(TokenizerConfig, values, where="tokenizer")
