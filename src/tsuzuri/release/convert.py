"""`tsuzuri release convert --to gguf`: one file that llama.cpp and what stands on it load, and its proof.

Tensors have the names and layouts of llama.cpp's own converter: Llama and Arcee rotate neighbouring pairs
there, so the rows of queries and keys are put in that order; GPT-2's projections are turned back to
(out, in). Norms and biases, and what does not divide into blocks of a quantised type, keep more bits. The
file is read back before it gets its name: every tensor and every id is compared with the release.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from tsuzuri.core.errors import InputError, IntegrityError, MissingExtraError
from tsuzuri.core.files import TEMPORARY_PREFIX, disk_errors, fsync_file, fsync_folder
from tsuzuri.core.manifest import MANIFEST, read_manifest, verify_files
from tsuzuri.generation.rules import read_values, token_rules
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import lowered
from tsuzuri.model.hf import hf_state, load_model
from tsuzuri.release.gguf_vocabulary import Vocabulary, gguf_vocabulary, piece_bytes_of
from tsuzuri.tokenizer.codec import Tokenizer

Format = Literal["f32", "f16", "bf16", "q8_0"]
Array = npt.NDArray[Any]
FORMATS: dict[Format, tuple[str, str]] = {
    "f32": ("F32", "ALL_F32"),
    "f16": ("F16", "MOSTLY_F16"),
    "bf16": ("BF16", "MOSTLY_BF16"),
    "q8_0": ("Q8_0", "MOSTLY_Q8_0"),
}
"""What matrices are written in → gguf's names of the type and of the kind of file."""
ROUNDING: dict[Format, float] = {"f32": 0.0, "f16": 2**-11, "bf16": 2**-8, "q8_0": 1 / 254 + 2**-10}
"""The most that a number may be off, as a fraction of the largest of its matrix's; f16 also rounds what is
below 2^-14 to multiples of 2^-24."""


def convert(release: Path, to: str = "gguf", dtype: Format = "f32", out: Path | None = None) -> str:
    """Write the model of `release` as a GGUF file, by default beside it; says what was written and compared.

    Raises InputError for a model that llama.cpp does not compute, IntegrityError where the release is
    damaged or what is read back differs.
    """
    gguf = _library()
    release = Path(release)
    if (release / MANIFEST).exists():
        verify_files(release)
    model = load_model(release)
    config = model.config
    if not config.is_widely_known:
        raise InputError(
            f"llama.cpp does not compute {config.hidden_act} in a {config.model_type} model",
            hint="only Transformers and tsuzuri do; its activation is chosen by model.overrides.hidden_act",
        )
    vocabulary = gguf_vocabulary(release, config.vocab_size)
    out = out or release.absolute().parent / f"{_name(release)}-{dtype}.gguf"
    if out.is_dir():
        raise InputError(f"{out} is a folder", hint="give the file to write, for example model.gguf")
    tensors = dict(_tensors(config, {name: tensor.detach() for name, tensor in model.state_dict().items()}))
    temporary = out.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{out.name}")
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(gguf, temporary, release, config, vocabulary, tensors, dtype)
            compared = _compare(gguf, temporary, tensors, Tokenizer.load(release), dtype)
            fsync_file(temporary)
            os.replace(temporary, out)
            fsync_folder(out.parent)
        finally:
            temporary.unlink(missing_ok=True)
    return f"{out}: {out.stat().st_size:,} bytes, {config.model_type}, {dtype}; read back: {compared}"


def _library() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise MissingExtraError("gguf", "train") from error
    return gguf


def _name(release: Path) -> str:
    values = read_manifest(release).config if (release / MANIFEST).exists() else {}
    return "".join(
        c if c.isalnum() or c in "-_." else "-" for c in values.get("name") or release.absolute().name
    )


def _tensors(config: ModelConfig, state: dict[str, torch.Tensor]) -> Iterator[tuple[str, Array]]:
    """llama.cpp's name and layout of every tensor, in float32."""
    import gguf

    kind = next(kind for kind, name in gguf.MODEL_ARCH_NAMES.items() if name == config.model_type)
    names = gguf.get_tensor_name_map(kind, config.num_hidden_layers)
    for name, tensor in hf_state(config, state).items():
        array: Array = tensor.to(torch.float32).numpy()
        if config.is_classic and ".h." in name and array.ndim == 2:
            array = array.T
        if config.model_type in ("llama", "arcee") and name.endswith(("q_proj.weight", "k_proj.weight")):
            is_query = name.endswith("q_proj.weight")
            array = _interleaved(
                array, config.num_attention_heads if is_query else config.num_key_value_heads
            )
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert theirs, f"gguf has no name for {name}"
        yield theirs, np.ascontiguousarray(array)
    if config.rope_scaling is not None:
        turns = config.rope_theta ** -(
            torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
        )
        yield "rope_freqs.weight", (turns / lowered(turns, config.rope_scaling)).float().numpy()


def _interleaved(matrix: Array, heads: int) -> Array:
    """Rows of each head in pairs (0, half), (1, half + 1), …, which is how llama.cpp rotates them."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _write(
    gguf: Any,
    path: Path,
    release: Path,
    config: ModelConfig,
    vocabulary: Vocabulary,
    tensors: dict[str, Array],
    dtype: Format,
) -> None:
    writer = gguf.GGUFWriter(path, config.model_type)
    if (release / MANIFEST).exists():
        manifest = read_manifest(release)
        writer.add_name(manifest.config.get("name", release.absolute().name))
        writer.add_license(manifest.counts.get("license", manifest.config.get("license")))
    writer.add_languages(["ja"])
    _add_shape(gguf, writer, config, dtype)
    _add_vocabulary(writer, release, config, vocabulary)
    for name, array in tensors.items():
        kind = getattr(gguf.GGMLQuantizationType, _kind(name, array, dtype))
        writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_shape(gguf: Any, writer: Any, config: ModelConfig, dtype: Format) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    if config.is_classic:
        writer.add_layer_norm_eps(config.rms_norm_eps)
    else:
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_theta)
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    writer.add_file_type(getattr(gguf.LlamaFileType, FORMATS[dtype][1]))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_vocabulary(writer: Any, release: Path, config: ModelConfig, vocabulary: Vocabulary) -> None:
    rules = token_rules(Tokenizer.load(release), config.vocab_size, release)
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.split)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(rules.start)
    writer.add_eos_token_id(rules.ends[0])
    writer.add_pad_token_id(rules.ends[0])
    writer.add_add_bos_token(bool(rules.opening))
    writer.add_add_space_prefix(False)
    template = read_values(release, "tokenizer_config.json").get("chat_template")
    if template:
        writer.add_chat_template(template)


def _kind(name: str, array: Array, dtype: Format) -> str:
    """The type that a tensor is written in."""
    if array.ndim == 1 or name == "position_embd.weight":
        return "F32"
    if dtype == "q8_0" and array.shape[-1] % 32:
        return "F16"
    return FORMATS[dtype][0]


def _compare(gguf: Any, path: Path, tensors: dict[str, Array], codec: Tokenizer, dtype: Format) -> str:
    """What of the file was found as the release has it; IntegrityError where it differs."""
    reader = gguf.GGUFReader(path)
    found = {tensor.name: tensor for tensor in reader.tensors}
    if found.keys() != tensors.keys():
        raise IntegrityError(f"{path} holds other tensors: {sorted(found.keys() ^ tensors.keys())[:3]}")
    worst = 0.0
    for name, expected in tensors.items():
        numbers = gguf.quants.dequantize(found[name].data, found[name].tensor_type)
        largest = float(np.abs(expected).max()) or 1.0
        off = float(np.abs(numbers.reshape(expected.shape) - expected).max())
        if not off <= ROUNDING[dtype] * largest + (2**-25 if dtype in ("f16", "q8_0") else 0):
            raise IntegrityError(
                f"{name} reads back as other numbers: {off / largest:.1e} of the largest off"
            )
        worst = max(worst, off / largest)
    fields = {
        name: reader.fields[f"tokenizer.ggml.{name}"].contents() for name in ("model", "tokens", "token_type")
    }
    pieces = piece_bytes_of(fields["model"], fields["tokens"], fields["token_type"])
    if pieces[: codec.vocab_size] != codec.pieces or any(pieces[codec.vocab_size :]):
        raise IntegrityError(f"{path}: the ids of its vocabulary are not the release's")
    equal = "equal" if worst == 0 else f"off by at most {worst:.1e} of a matrix's largest number"
    return f"{len(tensors):,} tensors {equal}, {codec.vocab_size:,} ids with the same bytes"
