from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from tsuzuri.core.errors import InputError, IntegrityError, ResumeError
from tsuzuri.core.manifest import MANIFEST, TIMINGS, make_box, read_manifest
from tsuzuri.corpus.document import DOCUMENT_SCHEMA, Document, as_row
from tsuzuri.data.box import TokenBox
from tsuzuri.data.config import PackConfig
from tsuzuri.data.heldout import IGNORE, heldout_rows
from tsuzuri.data.pack import pack
from tsuzuri.tokenizer.codec import Tokenizer

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|sep|>", "<|mask|>"]
SYLLABLES = "いろはにほへとちりぬるをわかよたれそつねならむ有為奥山今日越浅夢見酔ず。、\n𠮷é "


def text_of(seed: int, characters: int) -> str:
    return "".join(random.Random(seed).choices(SYLLABLES, k=characters))


def document(number: int, source: str, characters: int = 60) -> Document:
    return Document(
        id=f"{source}/{number}", text=text_of(number, characters), source=source, license=f"L-{number % 2}"
    )


def write_documents(box: Path, files: Mapping[str, Iterable[Document]]) -> Path:
    """A documents box of Parquet files by name."""

    def work() -> dict[str, object]:
        for name, documents in files.items():
            table = pa.Table.from_pylist(list(map(as_row, documents)), schema=DOCUMENT_SCHEMA)
            pq.write_table(table, box / name, row_group_size=64)
        return {}

    make_box(box, kind="documents", config={}, inputs={}, work=work)
    return box


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    both = [document(number, "ab"[number % 2]) for number in range(300)]
    one = [document(number, "wiki.ja", characters=number % 7) for number in range(1_000, 1_100)]
    files = {
        "train-00000.parquet": both[:150],
        "train-00001.parquet": [],
        "train-00002.parquet": both[150:] + one,
        "heldout-00000.parquet": [document(number, "a") for number in range(2_000, 2_020)],
    }
    return write_documents(tmp_path_factory.mktemp("documents") / "box", files)


def train_tokenizer(folder: Path, *, vocab_size: int = 400, decomposing: bool = False) -> Path:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if decomposing:
        tokenizer.normalizer = normalizers.NFD()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text_of(seed, 500) for seed in range(20)], trainer)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": SPECIAL[0]}))
    return folder / "tokenizer.json"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tokenizer(tmp_path_factory.mktemp("tokenizer") / "bpe")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, documents: Path, tokenizer: Path) -> Path:
    box = documents.parent / "tokens"
    pack(PackConfig(), documents, tokenizer, box)
    return box


def contents(box: Path) -> dict[str, str]:
    """The SHA-256 of every file that the promise of equal bytes is made for."""
    files = (path for path in box.rglob("*") if path.is_file() and path.name not in (TIMINGS, ".lock"))
    return {str(path.relative_to(box)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def all_documents(box: Path, split: str) -> dict[str, Document]:
    rows = (row for path in box.glob(f"{split}-*.parquet") for row in pq.read_table(path).to_pylist())
    return {row["id"]: Document(**row) for row in rows}


def test_every_document_comes_back(packed: Path, documents: Path, tokenizer: Path) -> None:
    codec, box = Tokenizer.load(tokenizer), TokenBox.open(packed)
    assert box.sources == ["a", "b", "wiki.ja"]
    for split in ("train", "heldout"):
        expected = all_documents(documents, split)
        found = {}
        for source in box.sources:
            shard = box.shard(split, source)
            table = pq.read_table(packed / f"{split}-{source}.parquet").to_pylist()
            assert len(shard) == len(table)
            for tokens, row in zip(shard, table, strict=True):
                original = expected[row["id"]]
                assert original.source == source
                assert original.license == row["license"]
                assert tokens[-1] == codec.eos_id
                assert codec.eos_id not in tokens[:-1]
                assert codec.decode(tokens[:-1].tolist()) == original.text
                assert (row["tokens"], row["bytes"], row["characters"]) == (
                    len(tokens),
                    len(original.text.encode()),
                    len(original.text),
                )
                assert box.piece_bytes[tokens].sum() == row["bytes"]
                assert box.piece_characters[tokens].sum() == row["characters"]
                found[row["id"]] = row
        assert set(found) == set(expected)


def test_the_manifest_counts_what_is_there(packed: Path, documents: Path, tokenizer: Path) -> None:
    counts = read_manifest(packed, "tokens").counts
    codec = Tokenizer.load(tokenizer)
    assert counts["vocab_size"] == codec.vocab_size
    assert counts["tokenizer_sha256"] == codec.sha256
    texts = [item.text for item in all_documents(documents, "train").values() if item.source == "b"]
    assert counts["sources"]["b"] == {
        "train_documents": 150,
        "train_tokens": sum(len(codec.encode(text)) + 1 for text in texts),
        "train_bytes": sum(len(text.encode()) for text in texts),
        "train_characters": sum(map(len, texts)),
        "heldout_documents": 0,
        "heldout_tokens": 0,
        "heldout_bytes": 0,
        "heldout_characters": 0,
    }
    assert counts["sources"]["a"]["heldout_documents"] == 20


def test_the_folder_holds_what_is_promised_and_nothing_else(packed: Path) -> None:
    shards = [f"{split}-{source}" for split in ("train", "heldout") for source in ("a", "b", "wiki.ja")]
    expected = {f"{shard}{suffix}" for shard in shards for suffix in (".bin", ".idx", ".parquet")}
    assert set(contents(packed)) == expected | {"pieces.json", MANIFEST}
    assert TokenBox.open(packed).shard("train", "a").tokens.dtype == np.uint16


def test_neighbours_in_a_shard_are_strangers(packed: Path) -> None:
    numbers = [
        int(name.split("/")[1]) for name in pq.read_table(packed / "train-a.parquet")["id"].to_pylist()
    ]
    assert sorted(numbers) != numbers
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.3


def test_heldout_tokens_are_worth_the_heldout_text(packed: Path, documents: Path) -> None:
    box = TokenBox.open(packed)
    rows = heldout_rows(box, "a", length=32, max_tokens=10**9)
    targets = np.concatenate([targets[targets != IGNORE] for _, targets in rows])
    texts = [item.text for item in all_documents(documents, "heldout").values()]
    assert box.piece_bytes[targets].sum() == sum(len(text.encode()) for text in texts)
    assert box.piece_characters[targets].sum() == sum(map(len, texts))


def test_two_processes_give_the_same_bytes(packed: Path, documents: Path, tokenizer: Path) -> None:
    box = documents.parent / "tokens-2"
    pack(PackConfig(processes=2), documents, tokenizer, box)
    assert contents(box) == contents(packed)


def test_another_seed_gives_another_order(packed: Path, documents: Path, tokenizer: Path) -> None:
    box = documents.parent / "tokens-seed"
    pack(PackConfig(order_seed=1), documents, tokenizer, box)
    tables = [pq.read_table(folder / "train-b.parquet")["id"].to_pylist() for folder in (packed, box)]
    assert tables[0] != tables[1]
    assert sorted(tables[0]) == sorted(tables[1])


def test_a_finished_box_is_not_packed_again(packed: Path, documents: Path, tokenizer: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in packed.iterdir()}
    pack(PackConfig(processes=3), documents, tokenizer, packed)
    assert {path: path.stat().st_mtime_ns for path in packed.iterdir()} == before


KILLED_WHERE = ["parts/train-00002.parquet", "train-b.bin", "train-a.parquet", "pieces.json"]


@pytest.mark.parametrize("seen", KILLED_WHERE)
def test_packing_killed_at_any_point_ends_with_the_same_bytes(
    packed: Path, documents: Path, tokenizer: Path, seen: str
) -> None:
    box = documents.parent / "tokens-killed"
    shutil.rmtree(box, ignore_errors=True)
    program = (
        "import sys; from pathlib import Path; from tsuzuri.data.config import PackConfig;"
        "from tsuzuri.data.pack import pack; pack(PackConfig(), *map(Path, sys.argv[1:]))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(documents), str(tokenizer), str(box)])
    while process.poll() is None and not (box / seen).exists():
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    pack(PackConfig(), documents, tokenizer, box)
    assert contents(box) == contents(packed)


LOADING = """
import os, sys, time
from pathlib import Path
from tsuzuri.data.config import PackConfig
from tsuzuri.data.pack import pack

if __name__ == "__main__":
    pack(PackConfig(processes=2), *map(Path, sys.argv[1:]))
else:
    os.write(1, b"loading\\n")
    time.sleep(1)
"""


def test_ctrl_c_while_processes_are_started_is_answered_once(
    documents: Path, tokenizer: Path, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(LOADING)
    command = [sys.executable, str(program), str(documents), str(tokenizer), str(tmp_path / "tokens")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "loading\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == -signal.SIGINT
        assert '"<string>"' not in process.stderr.read()  # what a process of the pool is begun with


def test_shards_that_a_killed_run_had_made_are_left_as_they_are(documents: Path, tokenizer: Path) -> None:
    box = documents.parent / "tokens-half"
    pack(PackConfig(), documents, tokenizer, box)
    (box / MANIFEST).unlink()
    written = {path: path.stat().st_mtime_ns for path in box.glob("*.bin")}
    pack(PackConfig(), documents, tokenizer, box)
    assert {path: path.stat().st_mtime_ns for path in box.glob("*.bin")} == written


def test_files_that_a_stopped_run_had_encoded_are_left_as_they_are(tmp_path: Path) -> None:
    files = {
        "train-00000.parquet": [Document(id="a/1", text="いろは", source="a")],
        "train-00001.parquet": [Document(id="a/2", text="が", source="a")],
        "heldout-00000.parquet": [document(3, "a")],
    }
    box, nfd = (
        write_documents(tmp_path / "documents", files),
        train_tokenizer(tmp_path / "nfd", decomposing=True),
    )
    written = []
    for _ in range(2):
        with pytest.raises(IntegrityError, match="changes texts"):
            pack(PackConfig(), box, nfd, tmp_path / "tokens")
        parts = (tmp_path / "tokens" / "parts").glob("*")
        written.append({path.name: path.stat().st_mtime_ns for path in parts})
    assert written[0] == written[1]
    assert set(written[0]) == {"train-00000.bin", "train-00000.idx", "train-00000.parquet"}


def test_other_inputs_are_refused(packed: Path, documents: Path, tokenizer: Path, tmp_path: Path) -> None:
    other = train_tokenizer(tmp_path / "other", vocab_size=350)
    with pytest.raises(ResumeError, match="input tokenizer has changed"):
        pack(PackConfig(), documents, other, packed)
    with pytest.raises(ResumeError, match="order_seed: 0 → 5"):
        pack(PackConfig(order_seed=5), documents, tokenizer, packed)
    less = write_documents(tmp_path / "less", {"train-00000.parquet": [document(1, "a")]})
    with pytest.raises(ResumeError, match="input documents has changed"):
        pack(PackConfig(), less, tokenizer, packed)


def test_a_tokenizer_made_anew_at_the_same_place_is_the_one_that_encodes(tmp_path: Path) -> None:
    files = {"train-00000.parquet": [document(1, "a")], "heldout-00000.parquet": [document(2, "a")]}
    box = write_documents(tmp_path / "documents", files)
    for number, vocab_size in enumerate((400, 300)):
        shutil.rmtree(tmp_path / "tokenizer", ignore_errors=True)
        path = train_tokenizer(tmp_path / "tokenizer", vocab_size=vocab_size)
        pack(PackConfig(), box, path, tmp_path / f"tokens-{number}")
        tokens = TokenBox.open(tmp_path / f"tokens-{number}").shard("train", "a")[0]
        assert tokens[:-1].tolist() == Tokenizer.load(path).encode(document(1, "a").text)


def test_documents_changed_since_they_were_made_are_refused(tokenizer: Path, tmp_path: Path) -> None:
    files = {"train-00000.parquet": [document(1, "a")], "heldout-00000.parquet": [document(2, "a")]}
    box = write_documents(tmp_path / "documents", files)
    data = bytearray((box / "train-00000.parquet").read_bytes())
    data[10] ^= 1
    (box / "train-00000.parquet").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"train-00000\.parquet"):
        pack(PackConfig(), box, tokenizer, tmp_path / "tokens")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_tokenizer_that_changes_texts_is_refused(tmp_path: Path, processes: int) -> None:
    changed = Document(id="a/1", text="が" * 10, source="a")
    files = {"train-00000.parquet": [document(1, "a"), changed], "heldout-00000.parquet": [document(2, "a")]}
    box = write_documents(tmp_path / "documents", files)
    nfd = train_tokenizer(tmp_path / "nfd", decomposing=True)
    with pytest.raises(IntegrityError, match="changes texts: document a/1 has"):
        pack(PackConfig(processes=processes), box, nfd, tmp_path / "tokens")


def test_the_name_of_a_special_piece_in_a_text_is_text(tokenizer: Path, tmp_path: Path) -> None:
    spelled = Document(id="a/1", text="終わりは<|endoftext|>と書く。", source="a")
    files = {"train-00000.parquet": [spelled], "heldout-00000.parquet": [document(2, "a")]}
    pack(PackConfig(), write_documents(tmp_path / "documents", files), tokenizer, tmp_path / "tokens")
    box = TokenBox.open(tmp_path / "tokens")
    assert np.count_nonzero(box.shard("train", "a").tokens == box.eos_id) == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["heldout-00000.parquet"], "no training documents"),
        (["train-00000.parquet"], "no held-out documents"),
    ],
)
def test_an_empty_split_is_refused(tokenizer: Path, tmp_path: Path, names: list[str], message: str) -> None:
    box = write_documents(tmp_path / "documents", {name: [document(1, "a")] for name in names})
    with pytest.raises(InputError, match=message):
        pack(PackConfig(), box, tokenizer, tmp_path / "tokens")


def test_a_source_whose_name_is_no_file_name_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    files = {"train-00000.parquet": [document(1, "a/b")], "heldout-00000.parquet": [document(2, "a")]}
    box = write_documents(tmp_path / "documents", files)
    with pytest.raises(InputError, match="the source name 'a/b'"):
        pack(PackConfig(), box, tokenizer, tmp_path / "tokens")


def test_what_is_no_documents_box_is_refused(packed: Path, tokenizer: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds tokens, where documents was wanted"):
        pack(PackConfig(), packed, tokenizer, tmp_path / "tokens")
    assert not (tmp_path / "tokens").exists()
