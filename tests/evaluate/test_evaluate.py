"""The evaluation box, on a small random model and a handful of documents."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tsuzuri.core.errors import InputError, IntegrityError, ResumeError
from tsuzuri.core.files import write_text
from tsuzuri.core.manifest import make_box, read_manifest
from tsuzuri.data.box import PIECES, Pieces, shard_stem
from tsuzuri.data.shards import shard_writer, token_dtype
from tsuzuri.evaluate.config import EvaluateConfig, EvaluationSampling
from tsuzuri.evaluate.evaluate import describe, evaluate
from tsuzuri.generation.language_model import LanguageModel
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.hf import save_model
from tsuzuri.tokenizer.codec import Tokenizer
from tsuzuri.tokenizer.config import Form, TokenizerConfig
from tsuzuri.tokenizer.train import learn_tokenizer

LETTERS = "むかしあるところにおじいさんとばあがすんでいました山川柴刈洗濯、。"
CONFIG = EvaluateConfig(
    max_tokens=500,
    prompts=("むかし、", "川で"),
    sampling=EvaluationSampling(samples=3, max_new_tokens=30, seed=5),
)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    shuffled = random.Random(1)
    texts = ["".join(shuffled.choices(LETTERS, k=30)) for _ in range(100)]
    description, settings = learn_tokenizer(
        texts, TokenizerConfig(vocab_size=512, form=Form.CHARACTER, boundary="none")
    )
    write_text(folder / "tokenizer.json", description)
    write_text(folder / "tokenizer_config.json", settings)
    config = ModelConfig(vocab_size=512, hidden_size=32, intermediate_size=64, max_position_embeddings=64)
    save_model(GPT(config, torch.Generator().manual_seed(1)), folder, eos_id=0)
    return folder


@pytest.fixture(scope="module")
def tokens(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return token_box(tmp_path_factory.mktemp("tokens"), Tokenizer.load(model_folder))


def token_box(path: Path, tokenizer: Tokenizer, sha256: str | None = None) -> Path:
    def work() -> dict[str, object]:
        for split, text in (("train", "むかし"), ("heldout", "川へ洗濯に")):
            with shard_writer(shard_stem(path, split, "tales"), token_dtype(512)) as add:
                ids = [*tokenizer.encode(text), tokenizer.eos_id]
                add(np.array(ids), np.array([len(ids)]))
        Pieces.of(tokenizer.pieces, tokenizer.eos_id).write(path / PIECES)
        return {"sources": {"tales": {}}, "tokenizer_sha256": sha256 or tokenizer.sha256}

    make_box(path, kind="tokens", config={}, inputs={}, work=work)
    return path


def test_the_box_holds_bits_repetition_and_samples(model_folder: Path, tokens: Path, tmp_path: Path) -> None:
    manifest = evaluate(model_folder, tokens, CONFIG, tmp_path / "evaluation")
    result = json.loads((tmp_path / "evaluation" / "eval.json").read_text(encoding="utf-8"))
    assert set(result) == {"bits", "repetition", "intervals", "samples"}
    bits = result["bits"]["all"]
    assert result["bits"]["tales"] == bits
    assert bits["characters"] == 5
    assert bits["bits_per_byte"] == pytest.approx(bits["bits_per_character"] / 3)
    assert result["repetition"]["samples"] == 6
    prompts_and_seeds = [(sample["prompt"], sample["seed"]) for sample in result["samples"]]
    assert prompts_and_seeds == [(prompt, seed) for prompt in CONFIG.prompts for seed in (5, 6, 7)]
    assert manifest == read_manifest(tmp_path / "evaluation", "evaluation")
    assert manifest.counts["bits"] == result["bits"]
    assert manifest.counts["intervals"] == result["intervals"]
    one = result["intervals"]["bits"]["tales"]  # one document, however often it is drawn
    assert one == {
        "documents": 1,
        "bits_per_character": [pytest.approx(bits["bits_per_character"])] * 2,
        "bits_per_byte": [pytest.approx(bits["bits_per_byte"])] * 2,
    }
    assert (
        describe(manifest).splitlines()[1].startswith(f"all: {bits['bits_per_character']:.3f} bits/character")
    )


@pytest.mark.parametrize("is_box", [True, False])
def test_the_model_of_a_build_is_found(
    model_folder: Path, tokens: Path, tmp_path: Path, is_box: bool
) -> None:
    release = tmp_path / "build" / "release"
    shutil.copytree(model_folder, release)
    if is_box:
        make_box(release, kind="release", config={}, inputs={}, work=dict)
    manifest = evaluate(tmp_path / "build", tokens, CONFIG, tmp_path / "evaluation")
    path = manifest.inputs["model"]["path"]
    assert path == ("../build/release" if is_box else "../build/release/model.safetensors")
    with pytest.raises(InputError, match=r"holds no model.*\n.*give a release, a run, a build"):
        evaluate(tmp_path, tokens, CONFIG, tmp_path / "other")


def test_evaluating_twice_gives_the_same_bytes(model_folder: Path, tokens: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        evaluate(model_folder, tokens, CONFIG, tmp_path / name)
    first, second = ((tmp_path / name / "eval.json").read_bytes() for name in ("first", "second"))
    assert first == second


def test_another_configuration_in_the_same_box_is_an_error(
    model_folder: Path, tokens: Path, tmp_path: Path
) -> None:
    evaluate(model_folder, tokens, CONFIG, tmp_path / "evaluation")
    with pytest.raises(ResumeError, match="max_tokens: 500 → 501"):
        evaluate(model_folder, tokens, CONFIG.model_copy(update={"max_tokens": 501}), tmp_path / "evaluation")


def test_tokens_of_another_tokenizer_are_an_error(model_folder: Path, tmp_path: Path) -> None:
    tokens = token_box(tmp_path / "tokens", Tokenizer.load(model_folder), sha256="ab" * 32)
    with pytest.raises(IntegrityError, match="packed with another tokenizer"):
        evaluate(model_folder, tokens, CONFIG, tmp_path / "evaluation")
    right = token_box(tmp_path / "right", Tokenizer.load(model_folder))
    evaluate(model_folder, right, CONFIG, tmp_path / "evaluation")


def test_a_complete_box_is_not_made_again(model_folder: Path, tokens: Path, tmp_path: Path) -> None:
    seen: list[Path] = []

    def load(path: Path) -> LanguageModel:
        seen.append(path)
        return LanguageModel.load(path, device="cpu")

    evaluate(model_folder, tokens, CONFIG, tmp_path / "evaluation", load=load)
    evaluate(model_folder, tokens, CONFIG, tmp_path / "evaluation", load=load)
    assert seen == [model_folder]
