"""Tokens a second of our engine beside Transformers and the engines that install from PyPI, on this CPU.

    python bench/engine.py                                  # 110M, batches of 1, 8 and 32
    python bench/engine.py --size 350m --batches 1 8
    python bench/engine.py --loss out/cpu-overnight         # what int8 loses on a build's held-out text
    python bench/engine.py --openvino PYTHON                # with optimum-intel, in an environment of its own

Models are Llamas with random weights and 32,000 pieces; prompts are of 128 tokens, 128 are written after
each, greedily. Every engine runs in a process of its own and all take turns, round after round; a rate is
that of the best round. Writing is measured without the prompt: the time for all tokens less the time for the
first. The limit is what the memory lets through: bytes of weights and cache that a step must read, over the
rate at which this machine's cores read memory, measured in the same run. What is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tokenizers
import torch

from _report import Comparison, emit, is_installed, machine
from tsuzuri.core.files import write_text
from tsuzuri.generation.score import token_log_probabilities
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.hf import load_model, save_model
from tsuzuri.serving.engines.ours.cpu import CpuDecoder

SIZES = {
    "110m": {
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    },
    "350m": {
        "hidden_size": 1024,
        "intermediate_size": 2816,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
    },
}
PROMPT, NEW = 128, 128
PACKAGES = {
    "ctranslate2": "ctranslate2",
    "onnxruntime": "onnxruntime-genai",
}
OURS, BASE = "ours int8", "transformers float32"
ROUGH = ("onnxruntime int4",)
"""Four bits a weight lose more than the half per cent that is allowed: shown, not competed with."""
WANTED = {1: 3.0, 8: 4.0, 32: 4.0}
WANTED_OF_BEST = 1.5


def config_of(size: str) -> ModelConfig:
    """The Llama of that size."""
    shape = SIZES[size]
    heads = {"num_key_value_heads": shape["num_attention_heads"], "head_dim": 64}
    return ModelConfig.model_validate(
        {"model_type": "llama", "vocab_size": 32_000, "max_position_embeddings": 1024, **shape, **heads}
    )


def write_folder(folder: Path, size: str) -> None:
    """A model as `release` writes it, and the tokenizer that converters ask for."""
    save_model(GPT(config_of(size), torch.Generator().manual_seed(0)), folder, eos_id=0)
    pieces = {f"t{token}": token for token in range(32_000)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(pieces, unk_token="t0"))
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {
        "bos_token": "t0",
        "eos_token": "t0",
        "unk_token": "t0",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    write_text(folder / "tokenizer_config.json", json.dumps(names))


class EndedError(Exception):
    """An engine's process is no more."""


@dataclass
class Engine:
    """One engine's process and what it measured: for each batch, seconds with one new token and with all."""

    name: str
    process: subprocess.Popen[str]
    first_s: dict[int, float] = field(default_factory=dict)
    whole_s: dict[int, float] = field(default_factory=dict)
    peak_bytes: int = 0

    def ask(self, batch: int, new: int) -> float:
        """Seconds for a batch."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"batch": batch, "prompt": PROMPT, "new": new}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.line("{"))
        self.peak_bytes = answer["peak_bytes"]
        return float(answer["elapsed_s"])

    def line(self, beginning: str) -> str:
        """The next line of output that begins so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(beginning):
                return line
        raise EndedError(f"{self.name} has ended: left out")

    def measure(self, batch: int) -> None:
        """One round."""
        self.first_s[batch] = min(self.ask(batch, 1), self.first_s.get(batch, np.inf))
        self.whole_s[batch] = min(self.ask(batch, NEW), self.whole_s.get(batch, np.inf))

    def written_per_s(self, batch: int) -> float:
        """Tokens a second, the prompts and the first tokens left out."""
        return batch * (NEW - 1) / (self.whole_s[batch] - self.first_s[batch])

    def read_per_s(self, batch: int) -> float:
        """Tokens of prompts a second."""
        return batch * PROMPT / self.first_s[batch]


def open_engine(name: str, folder: Path, work: Path, python: str = sys.executable) -> Engine:
    """The engine's process, once it is ready."""
    command = [
        python,
        "-W",
        "ignore",
        str(Path(__file__).with_name("_engines.py")),
        name,
        str(folder),
        str(work),
    ]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
    engine = Engine(name, process)
    engine.line("ready")
    return engine


def engines_here(openvino: str | None) -> list[str]:
    """What can be measured on this machine; `openvino` is the Python that has it."""
    names = [OURS, "ours float32", BASE, "transformers static"]
    if torch.cpu._is_avx512_bf16_supported():
        names += ["ours bfloat16", "transformers bfloat16"]
    else:
        print("no instructions for bfloat16: left out (about twenty times slower than float32)")
    of_package = {
        "ctranslate2": ["ctranslate2 float32", "ctranslate2 int8"],
        "onnxruntime": ["onnxruntime fp32", "onnxruntime int4"],
    }
    if openvino:
        names += ["openvino float32", "openvino int8"]
    return names + [
        name for key, every in of_package.items() if is_installed(PACKAGES[key]) for name in every
    ]


def read_bytes_per_s() -> float:
    """How fast all cores together read memory: the best of sums over 512 MiB."""
    block = torch.ones(1 << 27)
    best_s = np.inf
    for _ in range(8):
        started = time.perf_counter()
        block.sum()
        best_s = min(best_s, time.perf_counter() - started)
    return block.nbytes / best_s


def show(engines: list[Engine], batches: list[int], size: str, bandwidth: float) -> list[Comparison]:
    """Print the table; the comparisons with what is wanted."""
    decoder = CpuDecoder(GPT(config_of(size)), precision="int8", slots=1)
    ours, base = (next(each for each in engines if each.name == name) for name in (OURS, BASE))
    print(f"memory is read at {bandwidth / 1e9:.1f} GB/s")
    columns = " ".join(f"{f'batch {batch}':>9} {'prompts':>8}" for batch in batches)
    print(f"{size:22} {columns} {'peak MiB':>9}")
    for engine in engines:
        rates = " ".join(
            f"{engine.written_per_s(batch):9.1f} {engine.read_per_s(batch):8.0f}" for batch in batches
        )
        print(f"{engine.name:22} {rates} {engine.peak_bytes / 2**20:9.0f}")
    found = []
    for batch in batches:
        rate = ours.written_per_s(batch)
        step_bytes = decoder.weight_bytes + batch * decoder.cache_bytes(PROMPT + NEW // 2)
        limit = batch * bandwidth / step_bytes
        rivals = [each for each in engines if not each.name.startswith(("ours", *ROUGH))]
        best = max(rivals, key=lambda each: each.written_per_s(batch))
        fast, plain = best.written_per_s(batch), base.written_per_s(batch)
        print(
            f"batch {batch}: {rate / limit:.0%} of the memory's limit of {limit:.0f} tokens/s; "
            f"wanted of the best installed ({best.name}) {WANTED_OF_BEST}, got {rate / fast:.2f}; "
            f"wanted of {BASE} {WANTED.get(batch, 1)}, got {rate / plain:.2f}"
        )
        for peer in {base.name: base, best.name: best}.values():
            theirs = peer.written_per_s(batch)
            name = f"engine: {size}, batch {batch}, against {peer.name}"
            found.append(Comparison(name, rate / theirs, rate, theirs, "tokens/s"))
    return found


def loss(build: Path, documents: int) -> None:
    """Print what int8 loses in bits a character, on the beginnings of a build's held-out documents."""
    from tsuzuri.corpus.document import read_documents
    from tsuzuri.tokenizer.codec import Tokenizer

    release = build / "release"
    model = load_model(release, device=torch.device("cpu"), dtype=torch.float32)
    tokenizer = Tokenizer.load(release)
    decoder = CpuDecoder(model, precision="int8", slots=1)
    texts = [
        document.text
        for _, document in zip(range(documents), read_documents(build / "documents", "heldout"), strict=False)
    ]
    context = model.config.max_position_embeddings
    ids = [[tokenizer.eos_id, *tokenizer.encode(text[: 4 * context])][:context] for text in texts]
    characters = sum(len(tokenizer.decode(row[1:])) for row in ids)
    exact = -sum(map(sum, token_log_probabilities(model, ids, dtype=torch.float32)))
    rounded = 0.0
    for row in ids:
        length = len(row) - 1
        places = np.arange(length, dtype=np.int32)
        states = decoder.states(np.array(row[:-1], np.int32), np.zeros(length, np.int32), places)
        values = decoder.logits(states).log_softmax(-1)
        rounded -= float(values.gather(1, torch.tensor(row[1:])[:, None]).sum())
    bits = [nats / np.log(2) / characters for nats in (exact, rounded)]
    print(
        f"{characters:,} characters: {bits[0]:.4f} bits a character in float32, {bits[1]:.4f} in int8: "
        f"{bits[1] / bits[0] - 1:.3%} lost (allowed: 0.5 %)"
    )


def main() -> None:
    """Measure, print the table, then the comparisons."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="110m")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", nargs="+", help="names as in the table, if not all")
    parser.add_argument(
        "--openvino", metavar="PYTHON", help="that has openvino-genai and optimum-intel[openvino]"
    )
    parser.add_argument("--work", type=Path, help="a folder for models, kept for the next run")
    parser.add_argument(
        "--loss", type=Path, metavar="BUILD", help="measure the loss of int8 and nothing else"
    )
    parser.add_argument("--documents", type=int, default=200)
    arguments = parser.parse_args()
    print(machine(["tsuzuri", "torch", "transformers", *PACKAGES.values()]))
    if arguments.loss:
        loss(arguments.loss, arguments.documents)
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)) / arguments.size
        folder = work / "model"
        if not (folder / "tokenizer_config.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_folder(folder, arguments.size)
        names = arguments.engines or engines_here(arguments.openvino)
        pythons = {"openvino": arguments.openvino or sys.executable}
        engines = []
        for name in names:
            try:
                engine = open_engine(name, folder, work, pythons.get(name.split()[0], sys.executable))
                engine.ask(2, 2)  # what is done only once
            except EndedError as ended:
                print(ended)
            else:
                engines.append(engine)
        for _ in range(arguments.rounds):
            for batch in arguments.batches:
                for engine in engines:
                    engine.measure(batch)
        emit(show(engines, arguments.batches, arguments.size, read_bytes_per_s()))
        for engine in engines:
            engine.process.kill()
            engine.process.wait()


if __name__ == "__main__":
    main()
