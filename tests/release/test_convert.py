"""GGUF files, read back by gguf and by llama.cpp itself."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

import builds
import releases
from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.core.files import write_text
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.hf import load_model, save_model
from tsuzuri.release.convert import convert
from tsuzuri.release.gguf_vocabulary import gguf_vocabulary, piece_bytes_of
from tsuzuri.tokenizer.codec import Tokenizer
from tsuzuri.tokenizer.config import Form, TokenizerConfig
from tsuzuri.tokenizer.train import learn_tokenizer

TEXTS = (
    "ある山里に、貧しいおじいさんとおばあさんが住んでおりました。",
    "<|endoftext|>は文字として読む。<0x0A>も。",
    "　全角の空白、  半角の空白、\tタブ、\r\n\n\n改行。ｶﾀｶﾅ",
    "12三Ⅲ①½、𠮷野家、👨‍👩‍👧、English's words don't 神\ufa19。",
)
SHAPES: dict[str, tuple[Form, dict[str, Any]]] = {
    "qwen3": (Form.CHARACTER, {"model_type": "qwen3", "head_dim": 16}),
    "llama": (Form.BYTE, {"model_type": "llama"}),
    "llama-long": (
        Form.CHARACTER,
        {"model_type": "llama", "rope_scaling": {"original_max_position_embeddings": 32, "factor": 4.0}},
    ),
    "arcee": (Form.BYTE, {"model_type": "arcee", "tie_word_embeddings": False}),
    "gpt2": (Form.BYTE, {"model_type": "gpt2", "num_key_value_heads": 4}),
}


def write_tokenizer(folder: Path, form: Form, more: tuple[str, ...] = ()) -> Tokenizer:
    """A tokenizer learnt from the made-up stories."""
    texts = [*more, *(text for pair in builds.STORIES.values() for text in pair)] * 4
    description, settings = learn_tokenizer(
        texts, TokenizerConfig(vocab_size=512, form=form, boundary="none")
    )
    write_text(folder / "tokenizer.json", description)
    write_text(folder / "tokenizer_config.json", settings)
    return Tokenizer.load(folder)


def write_folder(folder: Path, form: Form, shape: dict[str, Any], seed: int = 1) -> Path:
    """A Hugging Face folder of a random model, a few rows of whose embedding are no piece."""
    tokenizer = write_tokenizer(folder, form)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = ModelConfig.model_validate(
        {
            "vocab_size": tokenizer.vocab_size + 3,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 128,
            "initializer_range": 0.3,
            **sizes,
            **shape,
        }
    )
    save_model(GPT(config, torch.Generator().manual_seed(seed)), folder, eos_id=tokenizer.eos_id)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One model of each shape; tests only read them."""
    root = tmp_path_factory.mktemp("models")
    return {name: write_folder(root / name, form, shape) for name, (form, shape) in SHAPES.items()}


@pytest.fixture(scope="module")
def files(folders: dict[str, Path]) -> dict[str, Path]:
    """Their GGUF files in float32."""
    made = {name: folder.with_suffix(".gguf") for name, folder in folders.items()}
    for name, file in made.items():
        assert "tensors equal, " in convert(folders[name], out=file)
    return made


@torch.inference_mode()
def greedy(model: GPT, prompt: list[int], count: int) -> list[int]:
    """The likeliest tokens, one after the other."""
    tokens = torch.tensor([prompt])
    for _ in range(count):
        tokens = torch.cat([tokens, model.logits(model(tokens))[:, -1:].argmax(-1)], dim=1)
    return [int(token) for token in tokens[0, len(prompt) :]]


@pytest.mark.parametrize("name", SHAPES)
def test_every_id_reads_back_as_the_same_bytes(
    name: str, folders: dict[str, Path], files: dict[str, Path]
) -> None:
    fields = gguf.GGUFReader(files[name]).fields
    values = [fields[f"tokenizer.ggml.{key}"].contents() for key in ("model", "tokens", "token_type")]
    pieces = Tokenizer.load(folders[name]).pieces
    assert piece_bytes_of(*values) == [*pieces, b"", b"", b""]
    assert len(set(values[1])) == len(pieces) + 3  # llama.cpp takes no name twice
    assert fields["tokenizer.ggml.bos_token_id"].contents() == 0
    assert fields["tokenizer.ggml.add_bos_token"].contents()


@pytest.mark.parametrize("dtype", ["f16", "bf16", "q8_0"])
def test_smaller_types_keep_what_they_can(dtype: Any, folders: dict[str, Path], tmp_path: Path) -> None:
    assert "off by at most" in convert(folders["qwen3"], dtype=dtype, out=tmp_path / "small.gguf")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "small.gguf").tensors}
    assert tensors["blk.0.ffn_up.weight"].tensor_type.name == dtype.upper()
    assert tensors["output_norm.weight"].tensor_type.name == "F32"


@pytest.mark.skipif(find_spec("xllamacpp") is None, reason="xllamacpp, which holds llama.cpp, is absent")
def test_llama_cpp_reads_the_same_ids_and_writes_the_same_text(
    folders: dict[str, Path], files: dict[str, Path]
) -> None:
    names, count = list(files), 24
    prompt = [0, 300, 301, 302, 303]
    asked = {"files": [str(files[name]) for name in names], "texts": TEXTS, "prompt": prompt, "count": count}
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "on_llama_cpp.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    for name, answer in zip(names, json.loads(ran.stdout.splitlines()[-1]), strict=True):
        tokenizer = Tokenizer.load(folders[name])
        assert answer["ids"] == [tokenizer.encode(text) for text in TEXTS], name
        assert answer["opened"] == [0, *tokenizer.encode(TEXTS[0])]
        assert answer["greedy"] == greedy(load_model(folders[name]), prompt, count), name


def test_a_release_is_written_beside_itself_under_its_name(build: Path) -> None:
    release = releases.release(build, "converted")
    said = convert(release)
    assert said.startswith(f"{release.parent / '試作-30M-f32.gguf'}: ")
    fields = gguf.GGUFReader(release.parent / "試作-30M-f32.gguf").fields
    assert fields["general.name"].contents() == "試作 30M"


def test_a_literal_space_letter_is_told_from_a_space(tmp_path: Path) -> None:
    codec = write_tokenizer(tmp_path, Form.CHARACTER, more=("a b▁c", "▁▁ ") * 20)
    assert "▁".encode() in codec.pieces
    found = gguf_vocabulary(tmp_path, codec.vocab_size)
    assert piece_bytes_of(found.model, found.tokens, found.kinds) == codec.pieces
    assert len(set(found.tokens)) == codec.vocab_size


def test_what_llama_cpp_does_not_compute_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "odd", Form.BYTE, {"model_type": "llama", "hidden_act": "gelu"})
    with pytest.raises(InputError, match="does not compute gelu in a llama model"):
        convert(folder)


def test_another_kind_of_tokenizer_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "other", Form.BYTE, {"model_type": "llama"})
    description = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    description["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\s+"
    write_text(folder / "tokenizer.json", json.dumps(description))
    with pytest.raises(InputError, match="no name for the way in which its tokenizer splits"):
        convert(folder)


def test_a_damaged_release_is_not_converted(build: Path) -> None:
    release = releases.release(build, "damaged")
    data = bytearray((release / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (release / "model.safetensors").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        convert(release)
    assert not list(release.parent.glob("*damaged*.gguf"))


def test_a_folder_is_no_file_to_write(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        convert(folders["llama"], out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_numbers_of_half_precision_are_the_nearest(folders: dict[str, Path], tmp_path: Path) -> None:
    convert(folders["llama"], dtype="f16", out=tmp_path / "half.gguf")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "half.gguf").tensors}
    ours = load_model(folders["llama"]).layers[0].mlp.up_proj.weight.detach().numpy()
    assert np.array_equal(tensors["blk.0.ffn_up.weight"].data, ours.astype(np.float16))
