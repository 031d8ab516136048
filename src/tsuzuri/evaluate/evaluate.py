"""The evaluation box: `eval.json` with held-out bits, repetition and the samples that it was measured on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tsuzuri.core.boxes import SCORES
from tsuzuri.core.files import write_json
from tsuzuri.core.manifest import MANIFEST, Manifest, make_box
from tsuzuri.core.progress import track
from tsuzuri.data.box import TokenBox, require_tokenizer
from tsuzuri.evaluate.bits import bits_of, heldout_sums
from tsuzuri.evaluate.config import EvaluateConfig
from tsuzuri.evaluate.intervals import intervals
from tsuzuri.evaluate.repetition import repetition
from tsuzuri.generation.language_model import LanguageModel, model_folder
from tsuzuri.model.hf import INDEX, WEIGHTS


def evaluate(
    model_path: Path,
    tokens: Path,
    config: EvaluateConfig,
    box: Path,
    *,
    load: Callable[[Path], LanguageModel] = LanguageModel.load,
) -> Manifest:
    """Evaluate the model that `load` finds at `model_path` on the held-out documents of a tokens box.

    `model_path` is a finished box (a run, a release), a build, or a Hugging Face folder. Raises
    IntegrityError where the tokens were packed with another tokenizer than the model's.
    """

    def work() -> Mapping[str, Any]:
        result = measure(load(model_path), TokenBox.open(tokens), config)
        write_json(box / SCORES, result)
        return {name: result[name] for name in ("bits", "repetition", "intervals")}

    inputs = {"model": _stands_for(model_path), "tokens": tokens}
    return make_box(box, kind="evaluation", config=config.as_mapping(), inputs=inputs, work=work)


def measure(model: LanguageModel, tokens: TokenBox, config: EvaluateConfig) -> dict[str, Any]:
    """What stands in `eval.json`: {bits: {source, all}, repetition, intervals, samples: [{prompt, text,
    seed}]}."""
    require_tokenizer(tokens, model.tokenizer.sha256)
    sums = heldout_sums(
        model.model,
        tokens,
        max_tokens=config.max_tokens,
        length=config.sequence_length,
        batch_rows=config.batch_rows,
        dtype=model.dtype,
    )
    samples: list[dict[str, Any]] = [
        {"prompt": prompt, "text": text, "seed": config.sampling.seed + number}
        for prompt in track(config.prompts, "samples", total=len(config.prompts))
        for number, text in enumerate(model.samples(prompt, config.sampling))
    ]
    texts = [sample["text"] for sample in samples]
    repeated = repetition(texts)
    return {
        "bits": bits_of(sums),
        "repetition": repeated,
        "intervals": intervals(sums, texts, repeated["looped_suffix_rate"]),
        "samples": samples,
    }


def describe(manifest: Manifest) -> str:
    """The figures of an evaluation as lines of text."""
    lines = [
        f"{source}: {bits['bits_per_character']:.3f} bits/character{_between(manifest, source)},"
        f" {bits['bits_per_byte']:.3f} bits/byte ({bits['characters']:,} characters)"
        for source, bits in manifest.counts["bits"].items()
    ]
    found = manifest.counts["repetition"]
    lines.append(
        f"{found['samples']} samples of {found['median_characters']:.0f} characters (median):"
        f" {found['distinct_4']:.3f} of their 4-grams distinct (median),"
        f" {found['looped_suffix_rate']:.0%} end in a loop"
    )
    return "\n".join(lines)


def _between(manifest: Manifest, source: str) -> str:
    """The interval of a source's bits per character in words; nothing where an older version measured."""
    found = manifest.counts.get("intervals")
    if not found:
        return ""
    low, high = found["bits"][source]["bits_per_character"]
    return f" ({found['level']:.0%}: {low:.3f} to {high:.3f})"


def _stands_for(model_path: Path) -> Path:
    """What the hash of a model is taken of: its box, else the folder's weights or their index."""
    folder = model_folder(model_path)
    for box in (model_path, folder):
        if (box / MANIFEST).exists():
            return box
    return folder / (INDEX if (folder / INDEX).exists() else WEIGHTS)
