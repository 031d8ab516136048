"""Made-up but realistic boxes of one build, for the tests of what reads them: the report and the release."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tsuzuri.core.files import sha256_file, write_json, write_text
from tsuzuri.core.manifest import make_box

Write = Callable[[Path], None]

NOON = "2026-11-20T03:00:00Z"
LENGTHS = (410, 2_204, 4_318, 3_890, 2_011, 902, 410, 250, 148, 60, 14, 3)
SCRIPTS = ("hiragana", "katakana", "kanji", "latin", "digit", "other")
SCALES = {"aozora": 1.22, "kyoto-wikipedia": 1.1, "all": 1.18}
PROMPTS = ("むかし、むかし、", "東京の朝は")
STORIES = {
    50: ("のののにに。、のるのをの。にのはのてい、のの。", "のは、のをのるの。のににの。"),
    150: ("あることがあることである。それはあることがある。", "ことをすることができる。ことがある。"),
    300: (
        "ある村に一人の男がいて、その男は山の方へ行って、それから帰って来ました。",
        "早く、人が町の中を歩いて行った。",
    ),
    450: (
        "ある山の中に、おじいさんとおばあさんが住んでいました。\n「これは何だろう」と、おじいさんは云いました。",
        "まだ暗く、電車の音が遠くから聞えて来た。",
    ),
    600: (
        "ある山里に、貧しいおじいさんとおばあさんが住んでおりました。\n"
        "ある日のこと、おじいさんは山へ柴刈りに、おばあさんは川へ洗濯に参りました。",
        "静かで、まだ誰も歩いていない通りに、豆腐屋の喇叭だけが聞えていた。",
    ),
}


def documents_counts() -> dict[str, Any]:
    """What a documents box counts (see the contract of `corpus.build`)."""
    return {
        "documents": 14_620,
        "characters": 69_412_830,
        "train_documents": 14_318,
        "heldout_documents": 302,
        "rejected": {
            "undecodable": 15,
            "min_characters": 200,
            "min_japanese_ratio": 341,
            "max_repeated_line_ratio": 58,
            "duplicate": 502,
        },
        "waterfall": [
            ["found", 15_736, 72_940_112],
            ["unreadable", 15_721, 72_940_000],
            ["quality", 15_122, 71_022_041],
            ["duplicate", 14_620, 69_412_830],
        ],
        "sources": {
            "aozora": _source(3_081, 53_870_114, 61, {"LicenseRef-PD-JP": 3_068, "CC-BY-2.1-JP": 13}),
            "kyoto-wikipedia": _source(11_539, 15_542_716, 241, {"CC-BY-SA-3.0": 11_539}),
        },
        "lengths": [[250 << power, count] for power, count in enumerate(LENGTHS)],
        "scripts": dict(
            zip(SCRIPTS, (37_204_120, 4_033_212, 20_402_515, 722_410, 612_004, 6_438_569), strict=True)
        ),
    }


def tokens_counts(tokenizer_sha256: str) -> dict[str, Any]:
    """What a tokens box counts."""
    return {
        "sources": {
            "aozora": _packed(31_402_110, 52_910_211) | _packed(571_003, 959_903, split="heldout"),
            "kyoto-wikipedia": _packed(8_820_405, 15_210_003) | _packed(193_114, 332_713, split="heldout"),
        },
        "tokenizer_sha256": tokenizer_sha256,
        "vocab_size": 8192,
    }


def scores() -> dict[str, Any]:
    """What an evaluation finds."""
    return {
        "bits": {
            "aozora": {"bits_per_byte": 1.618, "bits_per_character": 4.672, "tokens": 571_003},
            "kyoto-wikipedia": {"bits_per_byte": 1.427, "bits_per_character": 4.081, "tokens": 193_114},
            "all": {"bits_per_byte": 1.569, "bits_per_character": 4.520, "tokens": 764_117},
        },
        "repetition": {"distinct_4": 0.914, "looped_suffix_rate": 0.0, "median_characters": 90, "samples": 6},
        "intervals": {
            "level": 0.95,
            "resamples": 2000,
            "bits": {
                source: {
                    "bits_per_character": [low, high],
                    "bits_per_byte": [low / 2.88, high / 2.88],
                    "documents": documents,
                }
                for source, low, high, documents in (
                    ("aozora", 4.601, 4.752, 61),
                    ("kyoto-wikipedia", 4.03, 4.139, 241),
                    ("all", 4.47, 4.574, 302),
                )
            },
            "repetition": {"distinct_4": [0.85, 0.95], "looped_suffix_rate": [0.0, 0.39]},
        },
        "samples": [
            {"prompt": prompt, "text": text, "seed": seed}
            for place, prompt in enumerate(PROMPTS)
            for seed, text in enumerate((STORIES[600][place], STORIES[450][place]))
        ],
    }


def make_documents(out: Path, **changes: Any) -> Path:
    """The path of a documents box that counts `changes` otherwise than usual."""
    config = {
        "source": [
            {"kind": "aozora", "name": "aozora", "path": "aozora"},
            {"kind": "files", "name": "kyoto-wikipedia", "path": "kyoto"},
        ],
        "heldout_fraction": 0.02,
    }
    return _box(out / "documents", "documents", config, {}, {**documents_counts(), **changes})


def make_tokenizer(out: Path, write: Write | None = None) -> Path:
    """The path of a tokenizer box whose files `write` writes."""
    config = {"vocab_size": 8192, "form": "byte", "boundary": "script", "longest_piece": 16}
    return _box(
        out / "tokenizer", "tokenizer", config, {"documents": out / "documents"}, {"pieces": 8192}, write
    )


def make_tokens(out: Path) -> Path:
    """The path of a tokens box, packed with the tokenizer that is there."""
    inputs = {"documents": out / "documents", "tokenizer": out / "tokenizer"}
    file = out / "tokenizer" / "tokenizer.json"
    counts = tokens_counts(sha256_file(file) if file.exists() else "0" * 64)
    return _box(out / "tokens", "tokens", {"processes": 2}, inputs, counts)


def run_config(steps: int = 600) -> dict[str, Any]:
    """What a run was asked to do."""
    optimizer = {"kind": "muon", "learning_rate": 0.002, "weight_decay": 0.1}
    schedule = {"kind": "wsd", "warmup_steps": 20, "decay_fraction": 0.3}
    train = {"steps": steps, "batch_rows": 32, "sequence_length": 512, "seed": 1, "precision": "auto"}
    return {
        "model": {
            "model_type": "qwen3",
            "vocab_size": 8192,
            "hidden_size": 512,
            "num_hidden_layers": 8,
            "num_attention_heads": 8,
            "num_key_value_heads": 8,
            "max_position_embeddings": 512,
        },
        "train": {**train, "optimizer": optimizer, "schedule": schedule},
    }


def write_run(run: Path, steps: int = 600) -> None:
    """Write a run's logs: falling losses with noise, the same for the same `steps`."""
    noise, tokens_per_step = random.Random(7), 32 * 512
    record = {
        "recipe": run_config(steps),
        "resolved": {"precision": "float32", "threads": 2, "device": "AMD EPYC 7B13"},
        "amendments": [],
    }
    write_text(run / "run.yaml", yaml.safe_dump(record))
    metrics: list[Any] = []
    samples: list[Any] = []
    readings: list[Any] = [{"stage": "machine", "at": NOON, "device": "AMD EPYC 7B13"}]
    for step in range(1, steps + 1):
        loss = 4.05 + 5.0 * math.exp(-step / 60) - 0.0008 * step + noise.gauss(0, 0.06)
        rate = 0.002 * min(1.0, step / 20, (steps - step + 1) / (0.3 * steps))
        metrics.append({"step": step, "loss": loss, "learning_rate": rate, "tokens": step * tokens_per_step})
        if step % 75 == 0:
            metrics.append(
                {"step": step, "heldout": {name: _bits(loss, scale) for name, scale in SCALES.items()}}
            )
        if step % 10 == 0:
            speed = {"tokens_per_s": 1684 + noise.gauss(0, 25), "elapsed_s": 10 * tokens_per_step / 1684}
            readings.append(
                {"stage": "train", "at": NOON, "step": step, "peak_memory_bytes": 1 << 30, **speed}
            )
        if step in STORIES:
            pairs = zip(PROMPTS, STORIES[step], strict=True)
            samples.append(
                {"step": step, "samples": [{"prompt": prompt, "text": text} for prompt, text in pairs]}
            )
    for name, lines in (("metrics", metrics), ("samples", samples), ("timings", readings)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_text(run / f"{name}.jsonl", text)


def make_run(out: Path, write: Write | None = None, steps: int = 600) -> Path:
    """The path of a finished run; `write` writes its model."""
    counts: dict[str, Any] = {
        "steps": steps,
        "tokens": steps * 16_384,
        "parameters": 29_894_656,
        "amendments": [],
    }
    counts["epochs"] = {"aozora": 0.24, "kyoto-wikipedia": 0.25}

    def logs_and_model(run: Path) -> None:
        write_run(run, steps)
        if write:
            write(run)

    return _box(out / "run", "run", run_config(steps), {"tokens": out / "tokens"}, counts, logs_and_model)


def make_evaluation(out: Path) -> Path:
    """The path of an evaluation box."""
    inputs = {"model": out / "run", "tokens": out / "tokens"}
    return _box(
        out / "evaluation",
        "evaluation",
        {"samples": 6},
        inputs,
        {},
        lambda box: write_json(box / "eval.json", scores()),
    )


def make_all(out: Path, *, write_tokenizer: Write | None = None, write_model: Write | None = None) -> Path:
    """`out`, holding every box up to the evaluation."""
    make_documents(out)
    make_tokenizer(out, write_tokenizer)
    make_tokens(out)
    make_run(out, write_model)
    make_evaluation(out)
    return out


def _box(
    box: Path,
    kind: str,
    config: dict[str, Any],
    inputs: dict[str, Path],
    counts: dict[str, Any],
    write: Write | None = None,
) -> Path:
    def work() -> dict[str, Any]:
        if write:
            write(box)
        return counts

    make_box(box, kind=kind, config=config, inputs=inputs, work=work)
    return box


def _source(documents: int, characters: int, heldout: int, licenses: dict[str, int]) -> dict[str, Any]:
    return {
        "documents": documents,
        "characters": characters,
        "heldout_documents": heldout,
        "licenses": licenses,
    }


def _packed(tokens: int, characters: int, split: str = "train") -> dict[str, int]:
    sizes = {
        "tokens": tokens,
        "characters": characters,
        "bytes": int(characters * 2.88),
        "documents": tokens // 4_000,
    }
    return {f"{split}_{name}": size for name, size in sizes.items()}


def _bits(loss: float, scale: float) -> dict[str, float]:
    return {"bits_per_character": scale * loss, "bits_per_byte": scale * loss / 2.88, "tokens": 50_000}
