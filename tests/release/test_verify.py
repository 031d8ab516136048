from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import releases
from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.core.files import sha256_file
from tsuzuri.core.manifest import MANIFEST
from tsuzuri.model.gpt import GPT, RMSNorm
from tsuzuri.model.hf import load_model
from tsuzuri.release.sums import write_sums
from tsuzuri.release.verify import LOGIT_TOLERANCE, same_greedy, same_logits, verify
from tsuzuri.tokenizer.codec import Tokenizer


@pytest.fixture(scope="module")
def whole(build: Path) -> Path:
    """A release; tests only read it."""
    return releases.release(build)


@pytest.fixture
def release(whole: Path, tmp_path: Path) -> Path:
    """A release of its own that a test may change."""
    shutil.copytree(whole, tmp_path / "release")
    return tmp_path / "release"


def sign_again(release: Path) -> None:
    """Give a changed release new checksums, as somebody would who did not notice the change."""
    write_sums(release)
    manifest = json.loads((release / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"] = {name: sha256_file(release / name) for name in manifest["files"]}
    (release / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def test_a_whole_release_passes(whole: Path) -> None:
    verification = verify(whole)
    assert [check.name for check in verification.checks] == [
        "files",
        "parameters",
        "logits",
        "token ids",
        "greedy text",
    ]
    assert "144 tokens, the same" in str(verification)


def test_half_precision_passes_too(build: Path) -> None:
    verify(releases.release(build, "half", dtype="bfloat16"))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "README.md", "special_thanks.txt"])
def test_a_flipped_byte_is_named(release: Path, name: str) -> None:
    data = bytearray((release / name).read_bytes())
    data[len(data) // 2] ^= 1
    (release / name).write_bytes(data)
    with pytest.raises(IntegrityError, match=name):
        verify(release)


@pytest.mark.parametrize("name", ["model.safetensors", "LICENSE"])
def test_a_missing_file_is_named(release: Path, name: str) -> None:
    (release / name).unlink()
    with pytest.raises(IntegrityError, match=f"{name} is missing"):
        verify(release)


def test_a_missing_or_damaged_manifest_is_an_error(release: Path) -> None:
    (release / MANIFEST).write_text("{")
    with pytest.raises(IntegrityError, match=MANIFEST):
        verify(release)
    (release / MANIFEST).unlink()
    with pytest.raises(InputError, match=MANIFEST):
        verify(release)


def test_what_is_no_release_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no release"):
        verify(tmp_path / "absent")


def epsilon(model: GPT) -> None:
    for module in model.modules():
        if isinstance(module, RMSNorm):
            module.eps = 1e-5


def rotation(model: GPT) -> None:
    model.config = model.config.model_copy(update={"rope_theta": 11_000.0})


def one_weight(model: GPT) -> None:
    with torch.no_grad():
        model.layers[0].mlp.up_proj.weight[0, 0] += 0.01


@pytest.mark.parametrize("change", [epsilon, rotation, one_weight])
def test_a_slightly_other_function_is_noticed(whole: Path, change: Callable[[GPT], None]) -> None:
    ours, theirs = load_model(whole), AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float32)
    with torch.inference_mode():
        assert same_logits(ours, theirs) <= LOGIT_TOLERANCE
    other = load_model(whole)
    change(other)
    with torch.inference_mode(), pytest.raises(IntegrityError, match="the logits differ"):
        same_logits(other, theirs)


def test_other_greedy_text_is_noticed(whole: Path) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float32)
    config = load_model(whole).config.model_copy(update={"tie_word_embeddings": False})
    other = GPT(config, torch.Generator().manual_seed(2))
    with torch.inference_mode(), pytest.raises(IntegrityError, match="greedy text differs"):
        same_greedy(other, theirs, Tokenizer.load(whole))


def test_a_tokenizer_that_adds_to_a_text_is_noticed(release: Path) -> None:
    path = release / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["normalizer"] = {"type": "NFKC"}
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    sign_again(release)
    with pytest.raises((IntegrityError, InputError), match=r"come back|normaliz"):
        verify(release)


def test_weights_of_another_shape_are_noticed(release: Path) -> None:
    tensors = load_file(release / "model.safetensors")
    tensors["model.norm.weight"] = torch.ones(31)
    save_file(tensors, release / "model.safetensors", metadata={"format": "pt"})
    sign_again(release)
    with pytest.raises(IntegrityError, match="norm"):
        verify(release)
