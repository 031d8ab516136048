"""How much a release repeats itself at its default sampling: three prompts, 20 seeds, 500 characters each.

    python bench/generate.py RELEASE                 # its default sampling, beside the first Japanese GPT-2's
    python bench/generate.py RELEASE --grid          # a table of settings, to choose the defaults by

Every sample goes on for the same number of characters: the closing piece is forbidden until then, which is
harder than a text that may end. Two numbers are wanted: different 4-grams of characters over all of them
(median of the samples; at least DISTINCT_BAR) and looped suffixes (none). For the first the peer is the same
release under the sampling that the first Japanese GPT-2 shipped with, for the second it is no loop at all: a
share of 1, which nothing is above. Aozora Bunko in windows of 500 characters has a median of 0.956 and a
lowest tenth of 0.901.

The table's last column is what the model itself thinks of what it wrote (nats a character, fewer is more
likely): of the settings that repeat no more than people do, the likeliest is the one to take.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import tsuzuri
from _report import Comparison, emit, machine
from tsuzuri.generation.config import SamplingConfig
from tsuzuri.generation.language_model import LanguageModel
from tsuzuri.generation.loops import distinct_ngrams, looped_suffix

PROMPTS = Path(__file__).parents[2] / "shared" / "data" / "seed-prompts.json"
DISTINCT_BAR = 0.85
FIRST_JAPANESE_GPT2 = SamplingConfig(temperature=1.0, top_k=40, top_p=1.0, min_p=0.0, repetition_penalty=1.0)


def rules(**fields: float) -> SamplingConfig:
    """A setting of these rules alone."""
    neutral = {"temperature": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
    return SamplingConfig.model_validate({**neutral, **fields})


GRID = [
    rules(temperature=0.0),
    rules(temperature=0.0, no_repeat_ngram=8),
    rules(temperature=0.7),
    *(rules(min_p=min_p) for min_p in (0.0, 0.02, 0.05, 0.1)),
    *(rules(min_p=min_p, repetition_penalty=1.1) for min_p in (0.02, 0.03, 0.05, 0.1)),
    *(rules(temperature=0.9, min_p=min_p, repetition_penalty=1.15) for min_p in (0.02, 0.05)),
    rules(min_p=0.05, no_repeat_ngram=8),
    *(rules(top_p=top_p) for top_p in (0.8, 0.9, 0.95)),
    rules(temperature=0.8, top_p=0.95, repetition_penalty=1.15),
    FIRST_JAPANESE_GPT2,
]


@dataclass(frozen=True)
class Result:
    """What the samples of one setting measure."""

    distinct: list[float]
    """Different 4-grams over all, of each sample, in order."""
    loops: list[str]
    """What looping samples end in."""
    nats_per_character: float
    elapsed_s: float

    @property
    def median(self) -> float:
        """Of the shares of different 4-grams."""
        return statistics.median(self.distinct)

    @property
    def share_without_loop(self) -> float:
        """Of the samples."""
        return 1 - len(self.loops) / len(self.distinct)


def measure(
    model: LanguageModel, prompts: list[str], sampling: SamplingConfig, seeds: int, characters: int
) -> Result:
    """The repetition of `seeds` samples of each prompt, each cut to its first `characters`."""
    tokens = characters  # a token is a character at least, but for characters written as bytes
    limits = {"samples": seeds, "max_new_tokens": tokens, "min_new_tokens": tokens}
    config = sampling.model_copy(update=limits)
    started = time.perf_counter()
    texts = [text[:characters] for prompt in prompts for text in model.samples(prompt, config)]
    elapsed_s = time.perf_counter() - started
    scores = model.score(texts)
    return Result(
        distinct=sorted(map(distinct_ngrams, texts)),
        loops=[end for text in texts if (end := looped_suffix(text))],
        nats_per_character=-sum(score.log_probability for score in scores) / sum(map(len, texts)),
        elapsed_s=elapsed_s,
    )


def describe(sampling: SamplingConfig) -> str:
    """The rules of a setting that differ from none at all."""
    rules = sampling.model_dump(
        include={"temperature", "top_k", "top_p", "min_p", "repetition_penalty", "no_repeat_ngram"}
    )
    neutral = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "no_repeat_ngram": 0}
    return " ".join(f"{name}={value:g}" for name, value in rules.items() if neutral.get(name) != value)


def show(name: str, result: Result) -> None:
    """One line of the table."""
    tenth = result.distinct[len(result.distinct) // 10]
    numbers = f"{result.median:8.3f} {tenth:8.3f} {len(result.loops):4d}/{len(result.distinct)}"
    print(f"{name:58} {numbers} {result.nats_per_character:7.3f} {result.elapsed_s:6.0f} s", flush=True)


def comparisons(ours: Result, peer: Result) -> list[Comparison]:
    """Ours against the peer's median, and against no loop at all."""
    return [
        Comparison(
            "generate: distinct 4-grams", ours.median / peer.median, ours.median, peer.median, "share"
        ),
        Comparison(
            "generate: samples without a loop", ours.share_without_loop, ours.share_without_loop, 1.0, "share"
        ),
    ]


def verdict(ours: Result) -> str:
    """What is wanted beside what is found, and whether that is enough."""
    is_met = ours.median >= DISTINCT_BAR and not ours.loops
    return (
        f"wanted: distinct 4-grams of at least {DISTINCT_BAR} (median; {ours.median:.3f}) and no loop "
        f"({len(ours.loops)}): {'met' if is_met else 'missed'}"
    )


def main() -> None:
    """Measure, print the table, then the comparisons."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("release", type=Path)
    parser.add_argument(
        "--prompts", type=Path, default=PROMPTS, help="JSON: {samples: [{prompt, published_output}]}"
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--characters", type=int, default=500)
    parser.add_argument("--grid", action="store_true", help="measure many settings instead of the default")
    arguments = parser.parse_args()
    if not arguments.prompts.exists():
        parser.exit(0, f"{arguments.prompts} is absent: nothing to measure\n")
    published = json.loads(arguments.prompts.read_text(encoding="utf-8"))["samples"]
    prompts = [sample["prompt"] for sample in published]
    model = tsuzuri.load(arguments.release)

    print(machine(["tsuzuri", "torch"]))
    print(f"{'sampling':58} {'distinct':>8} {'tenth':>8} {'loops':>7} {'nats':>7}")
    for number, sample in enumerate(published, start=1):
        first = sample["published_output"][: arguments.characters]
        print(f"{f'published sample {number}':58} {distinct_ngrams(first):8.3f}")
    settings = GRID if arguments.grid else [model.sampling({}), FIRST_JAPANESE_GPT2]
    results = []
    for sampling in settings:
        results.append(measure(model, prompts, sampling, arguments.seeds, arguments.characters))
        show(describe(sampling), results[-1])
        for end in results[-1].loops[:3]:
            print(f"    loops: …{end[-40:]!r}")
    if not arguments.grid:
        ours, peer = results
        print(verdict(ours))
        emit(comparisons(ours, peer))


if __name__ == "__main__":
    main()
