"""What is learnt from a text: our default recipe against a plain AdamW loop, beside Kneser-Ney and PPMd.

    python bench/learn.py [--build DIR] [--steps 100] [--seeds 3] [--device cpu|cuda] [--precision float32]
    python bench/learn.py --release DIR --documents BOX [--sources wikipedia]

DIR holds the `tokenizer/` and `tokens/` of a build; where it does not exist, both are made in it from
Wikipedia's articles on Kyoto in ../shared/data. Every side reads the same rows in the same order, a step
each in turns within one process: ours as `TrainConfig` has it, and the plain GPT of the same shape under
AdamW with the same warm-up, then half a cosine to a tenth (nanoGPT's schedule), at three learning rates,
of which the best by the mean over the seeds is the peer. The score is exact and one function's for all:
bits per character of every held-out document, each closed by its end symbol, predicted from that document
alone; the plain model's weights are scored in our GPT, which computes the same.

Then the plain loop trains again, at its best learning rate, for as many steps as fit in the time that ours
took. Kneser-Ney (order 5, open vocabulary, see `_ngram`) and PPMd (variant H, order 12 in bytes of UTF-8,
1 GiB; the bytes that the held-out text adds to the compressed training text) count the same held-out text
after as much training text as the models read, and after all of it.

With --release, only this: a finished release and the two that count, which read all training documents of
the sources in the release's own documents box; all are scored on the held-out documents of the same sources.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from _counting import against_counting, line, ppmd
from _ngram import bits_per_character
from _plain_gpt import PlainGPT, PlainLoop
from _report import Comparison, emit, is_installed, machine
from tsuzuri.data.box import Split, TokenBox
from tsuzuri.data.sampler import Sampler
from tsuzuri.evaluate.bits import heldout_bits
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.ladder import model_config
from tsuzuri.tokenizer.codec import Tokenizer
from tsuzuri.training.config import ScheduleConfig, TrainConfig
from tsuzuri.training.devices import DEVICES, Device, probe_precision
from tsuzuri.training.schedule import learning_rate_fraction
from tsuzuri.training.step import Trainer

WIKIPEDIA = Path(__file__).parents[2] / "shared" / "data" / "kyoto-wikipedia.jsonl.gz"
LEARNING_RATES = (0.002, 0.004, 0.008)


@dataclass(frozen=True)
class Setting:
    """What all sides share."""

    data: TokenBox
    shape: ModelConfig
    train: TrainConfig
    device: Device
    dtype: torch.dtype

    def rows(self, seed: int, steps: int) -> Iterator[Tensor]:
        """(batch_rows, T + 1) of each step."""
        count = self.train.batch_rows
        sampler = Sampler(self.data, length=self.train.sequence_length, seed=seed)
        for step in range(steps):
            yield torch.from_numpy(sampler.rows(np.arange(step * count, (step + 1) * count)))

    def bits(self, model: GPT) -> float:
        """Bits per character of all held-out documents."""
        return self.bits_by_source(model)["all"]

    def bits_by_source(self, model: GPT) -> dict[str, float]:
        """Bits per character of each source's held-out documents, and of `all`."""
        everything = max(self.data.counts[source]["heldout_tokens"] for source in self.data.sources)
        found = heldout_bits(model, self.data, max_tokens=everything, length=self.train.sequence_length)
        return {source: bits["bits_per_character"] for source, bits in found.items()}


@dataclass
class Side:
    """One contestant of one seed."""

    step: Callable[[int, Tensor], object]
    model: Callable[[], GPT]
    seconds: list[float] = field(default_factory=list)
    """Of each of its steps."""


def ours(setting: Setting, seed: int) -> Side:
    """Our Trainer under the default recipe."""
    model = GPT(setting.shape, torch.Generator().manual_seed(seed)).to(setting.device.kind)
    trainer = Trainer(model, setting.train, setting.device, dtype=setting.dtype, compiled=False)
    return Side(
        lambda step, rows: trainer.step(step, rows, setting.data.eos_id)["loss"].item(), lambda: model
    )


def plain(setting: Setting, seed: int, lr: float, steps: int) -> Side:
    """The plain loop at a learning rate, its schedule over `steps`."""
    schedule = ScheduleConfig(
        kind="cosine", warmup_steps=setting.train.schedule.warmup_steps, final_fraction=0.1
    )
    device = setting.device.kind
    loop = PlainLoop(setting.shape, device=device, dtype=setting.dtype, compiled=False, lr=lr, seed=seed)

    def step(number: int, rows: Tensor) -> float:
        loop.set_lr(lr * learning_rate_fraction(schedule, number, steps))
        return loop.step(rows, setting.train.micro_batch_rows)

    return Side(step, lambda: as_gpt(loop.model))


def as_gpt(peer: PlainGPT) -> GPT:
    """Our GPT with the weights of a plain one: the same function."""
    names = {"norm_1": "input_layernorm", "norm_2": "post_attention_layernorm", "down": "mlp.down_proj"}
    names |= {"q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm", "proj": "self_attn.o_proj"}
    weights = {"embed_tokens.weight": peer.embedding.weight, "norm.weight": peer.norm.weight}
    if not peer.config.tie_word_embeddings:
        weights["lm_head.weight"] = peer.head.weight
    for number, block in enumerate(peer.blocks):
        own = {ours: block.get_submodule(theirs).weight for theirs, ours in names.items()}
        for part, weight in zip("qkv", block.qkv.weight.chunk(3), strict=True):
            own[f"self_attn.{part}_proj"] = weight
        own["mlp.gate_proj"], own["mlp.up_proj"] = block.gate_up.weight.chunk(2)
        weights |= {f"layers.{number}.{name}.weight": weight for name, weight in own.items()}
    model = GPT(peer.config).to(peer.embedding.weight.device)
    model.load_state_dict(weights)
    return model


def race(sides: list[Side], setting: Setting, seed: int, steps: int) -> None:
    """All sides make their steps on the same rows, in turns."""
    for step, rows in enumerate(setting.rows(seed, steps)):
        for side in sides:
            started = time.perf_counter()
            side.step(step, rows)
            setting.device.synchronize()
            side.seconds.append(time.perf_counter() - started)


def texts(data: TokenBox, tokenizer: Tokenizer, split: Split, tokens: float = float("inf")) -> list[str]:
    """A split's documents as text: of each source the first, with its share of `tokens` together."""
    found = []
    total = sum(data.counts[source][f"{split}_tokens"] for source in data.sources)
    for source in data.sources:
        documents = list(data.shard(split, source))
        wanted = tokens / total * data.counts[source][f"{split}_tokens"]
        before = accumulate(map(len, documents), initial=0)
        own = [document for document, start in zip(documents, before, strict=False) if start < wanted]
        found += [tokenizer.decode(document[:-1].tolist()) for document in own]
    return found


def characters_read(setting: Setting, steps: int) -> int:
    """About how many characters so many steps read."""
    counts = [setting.data.counts[source] for source in setting.data.sources]
    worth = sum(own["train_characters"] for own in counts) / sum(own["train_tokens"] for own in counts)
    return round(steps * setting.train.tokens_per_step * worth)


def bench(setting: Setting, tokenizer: Tokenizer, seeds: range, rates: list[float]) -> list[Comparison]:
    """The table, and ours against the peer at equal tokens and at equal wall time."""
    steps = setting.train.steps
    print(f"\n{'':34} {'characters':>14} {'bits':>10}   by seed (bits per character)")
    names = ["ours, default recipe", *(f"plain AdamW at {rate}" for rate in rates)]
    bits: dict[str, list[float]] = {name: [] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for seed in seeds:
        sides = [ours(setting, seed)] + [plain(setting, seed, rate, steps) for rate in rates]
        race(sides, setting, seed, steps)
        for name, side in zip(names, sides, strict=True):
            bits[name].append(setting.bits(side.model()))
            seconds[name] += side.seconds
    step_s = {name: statistics.median(values) for name, values in seconds.items()}
    for name in names:
        speed = f"{setting.train.tokens_per_step / step_s[name]:,.0f} tokens/s"
        line(name, characters_read(setting, steps), bits[name], speed)
    own, *peers = names
    best = min(peers, key=lambda name: statistics.mean(bits[name]))
    if len(peers) > 1 and best in (peers[0], peers[-1]):
        print(f"the best of the learning rates, {best}, is at the edge of those tried")
    as_long = round(steps * step_s[own] / step_s[best])
    timed = []
    for seed in seeds:
        side = plain(setting, seed, rates[peers.index(best)], as_long)
        race([side], setting, seed, as_long)
        timed.append(setting.bits(side.model()))
    line(f"{best}, in our time", characters_read(setting, as_long), timed)
    count_characters(setting, tokenizer)
    mean, unit = statistics.mean(bits[own]), "bits/character"
    results = {"equal tokens": statistics.mean(bits[best]), "equal wall time": statistics.mean(timed)}
    return [Comparison(f"learn at {name}", peer / mean, mean, peer, unit) for name, peer in results.items()]


def count_characters(setting: Setting, tokenizer: Tokenizer) -> None:
    """The rows of what only counts."""
    tokens = setting.train.steps * setting.train.tokens_per_step
    heldout = texts(setting.data, tokenizer, "heldout")
    has_ppmd = is_installed("pyppmd")
    for train in (texts(setting.data, tokenizer, "train", tokens), texts(setting.data, tokenizer, "train")):
        characters = sum(map(len, train))
        line("Kneser-Ney, 5 characters", characters, [bits_per_character(train, heldout)])
        if has_ppmd:
            line("PPMd, order 12", characters, [ppmd(train, heldout)])


def prepare(build: Path) -> None:
    """Make the tokenizer and the token shards from Wikipedia where they are not there."""
    from tsuzuri.corpus.build import build_documents
    from tsuzuri.corpus.config import CorpusConfig
    from tsuzuri.corpus.sources.config import FilesSource
    from tsuzuri.data.config import PackConfig
    from tsuzuri.data.pack import pack
    from tsuzuri.tokenizer.config import TokenizerConfig
    from tsuzuri.tokenizer.train import train_tokenizer

    if not WIKIPEDIA.exists():
        raise SystemExit(f"{build} is no build, and ../shared/data is absent: give --build DIR")
    source = FilesSource(path=WIKIPEDIA, name="wikipedia", license="CC-BY-SA-3.0")
    build_documents(CorpusConfig(source=(source,), heldout_fraction=0.005), build / "documents")
    train_tokenizer(TokenizerConfig(vocab_size=8192), build / "documents", build / "tokenizer")
    pack(PackConfig(), build / "documents", build / "tokenizer", build / "tokens")


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, default=Path("out/learn"))
    parser.add_argument("--size", default="quickstart", help="a row of the ladder")
    parser.add_argument("--steps", type=int, default=TrainConfig().steps)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--learning-rates", type=float, nargs="+", default=LEARNING_RATES, help="the peer's")
    parser.add_argument("--device", default="cpu", choices=list(DEVICES))
    parser.add_argument("--precision", choices=["float32", "bfloat16"], help="unset: the faster one here")
    parser.add_argument("--release", type=Path, help="only this release beside what counts characters")
    parser.add_argument("--documents", type=Path, help="the documents box that the release was made of")
    parser.add_argument("--sources", nargs="+", default=["wikipedia"], help="of that box")
    options = parser.parse_args()
    if (options.release is None) != (options.documents is None):
        parser.error("--release and --documents go together")
    if options.release:
        print(machine(("torch", "numpy", "pyppmd", "tsuzuri")))
        emit(against_counting(options.release, options.documents, options.sources, options.device))
        return
    if options.steps <= TrainConfig().schedule.warmup_steps:
        parser.error(f"--steps must be above the {TrainConfig().schedule.warmup_steps} steps of warm-up")
    if not (options.build / "tokens" / "manifest.json").exists():
        prepare(options.build)
    device = DEVICES[options.device]
    data = TokenBox.open(options.build / "tokens")
    setting = Setting(
        data,
        model_config(options.size, vocab_size=data.vocab_size),
        TrainConfig(steps=options.steps),
        device,
        getattr(torch, options.precision or probe_precision(device)),
    )
    print(machine(("torch", "numpy", "pyppmd", "tsuzuri")), device.name(), setting.dtype)
    tokenizer = Tokenizer.load(options.build / "tokenizer")
    emit(bench(setting, tokenizer, range(1, options.seeds + 1), options.learning_rates))


if __name__ == "__main__":
    main()
