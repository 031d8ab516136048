"""Text in and text out, on folders of ours and of Transformers'."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from tests.generation.conftest import SENTENCES, ByteTokenizer, random_model

import tsuzuri
from tsuzuri.core.errors import InputError, IntegrityError, RecipeError
from tsuzuri.generation.commands import generate_text
from tsuzuri.generation.generate import rows_at_once
from tsuzuri.generation.language_model import LanguageModel
from tsuzuri.generation.streaming import CharacterStream
from tsuzuri.model.config import ModelConfig

PROMPT = "むかし、むかし、"


@pytest.fixture(scope="module")
def language_model(release: Path) -> LanguageModel:
    return tsuzuri.load(release, device="cpu")


def test_a_text_is_the_same_streamed_alone_and_in_a_batch(language_model: LanguageModel) -> None:
    text = language_model.generate(PROMPT, max_new_tokens=60, seed=4)
    assert isinstance(text, str)
    assert text
    assert "".join(language_model.stream(PROMPT, max_new_tokens=60, seed=4)) == text
    assert language_model.generate(PROMPT, max_new_tokens=60, seed=2, samples=4)[2] == text
    assert language_model.generate(PROMPT, max_new_tokens=60, seed=5) != text


def test_many_samples_are_written_in_batches_that_fit(language_model: LanguageModel) -> None:
    wanted = language_model.sampling({"max_new_tokens": 3, "samples": 600, "seed": 7})
    batches = list(language_model.batches(PROMPT, wanted))
    assert [(batch.seed, batch.samples) for batch in batches] == [(7, 256), (263, 256), (519, 88)]
    texts = language_model.samples(PROMPT, wanted)
    assert len(texts) == 600
    assert texts[590] == language_model.generate(PROMPT, max_new_tokens=3, seed=597)


def test_rows_at_once_are_bounded_by_memory() -> None:
    large = ModelConfig(hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, head_dim=128)
    large = large.model_copy(update={"max_position_embeddings": 8192, "num_key_value_heads": 8})
    assert rows_at_once(large, 500, torch.bfloat16) == 16
    assert rows_at_once(large, 1_000_000, torch.float32) == 1


def test_no_part_of_a_stream_cuts_a_character() -> None:
    class KatakanaTokenizer(ByteTokenizer):
        """Bytes of which only those that occur in katakana are left."""

        pieces = (
            b"",
            *([b""] * 2),
            *(bytes([byte]) if byte in b"\xe3\x82\x83" else b"" for byte in range(256)),
        )

    model = LanguageModel(random_model(spread=0.02), KatakanaTokenizer())
    parts = list(model.stream("", max_new_tokens=300, min_new_tokens=300))
    assert any("\u30a0" <= character <= "\u30ff" for part in parts for character in part)
    assert all(parts)


def test_a_stop_text_ends_a_sample_and_is_not_shown(language_model: LanguageModel) -> None:
    options = {"max_new_tokens": 60, "min_new_tokens": 60, "seed": 4}
    whole = language_model.generate(PROMPT, **options)
    assert isinstance(whole, str)
    stop = whole[10:12]
    assert language_model.generate(PROMPT, stop=[stop], **options) == whole[: whole.index(stop)]
    assert (
        "".join(language_model.stream(PROMPT, stop=[stop, "綴り綴り"], **options))
        == whole[: whole.index(stop)]
    )


def test_a_score_is_the_sum_over_tokens_that_spell_the_text(language_model: LanguageModel) -> None:
    texts = [*SENTENCES, "", "\U0001f38f鯉のぼり"]
    for text, score in zip(texts, language_model.score(texts), strict=True):
        assert score.text == text
        assert score.log_probability == pytest.approx(sum(token.log_probability for token in score.tokens))
        assert [token.id for token in score.tokens] == language_model.tokenizer.encode_batch([text])[0]
        assert all(token.log_probability < 0 for token in score.tokens)
    spelled = [token.text for token in language_model.score(SENTENCES[0])[0].tokens]
    assert "".join(spelled) == SENTENCES[0]
    carp = [token.text for token in language_model.score("\U0001f38f")[0].tokens]
    assert "".join(carp) == "<0xF0><0x9F><0x8E><0x8F>"


def test_the_closing_piece_counts_where_it_is_asked_for(language_model: LanguageModel) -> None:
    (without,), (including,) = (language_model.score(PROMPT, include_end=end) for end in (False, True))
    assert including.tokens[:-1] == pytest.approx(without.tokens)
    assert including.tokens[-1].text == "<0>"
    assert including.log_probability < without.log_probability


def test_vectors_have_a_row_for_each_text(language_model: LanguageModel) -> None:
    both = language_model.embed([PROMPT, "川"], pool="mean", layer=1)
    assert both.shape == (2, 32)
    assert both.dtype == np.float32
    np.testing.assert_allclose(language_model.embed("川", pool="mean", layer=1)[0], both[1], atol=1e-5)


def test_an_unknown_option_names_the_closest(language_model: LanguageModel) -> None:
    with pytest.raises(RecipeError, match="did you mean 'temperature'"):
        language_model.generate(PROMPT, temprature=0.5)
    with pytest.raises(RecipeError, match="one sample"):
        language_model.stream(PROMPT, samples=2)
    with pytest.raises(RecipeError, match="must not be empty"):
        language_model.generate(PROMPT, stop=[""])
    with pytest.raises(RecipeError, match=r"min_new_tokens \(9\) exceeds max_new_tokens \(8\)"):
        language_model.generate(PROMPT, max_new_tokens=8, min_new_tokens=9)


def test_more_than_a_sample_can_hold_is_refused_with_a_way_out(language_model: LanguageModel) -> None:
    with pytest.raises(RecipeError, match=r"1,000,000,000,000\) exceeds 1,000,000 a sample: go on from"):
        language_model.generate(PROMPT, max_new_tokens=10**12)


def test_the_folder_gives_the_defaults_and_what_is_asked_for_wins(release: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(release, tmp_path / "release")
    model = tsuzuri.load(release, device="cpu")
    stop = model.generate(PROMPT, max_new_tokens=30, temperature=0, repetition_penalty=1.0)[4]
    values = {"do_sample": False, "max_new_tokens": 9, "stop_strings": [stop], "eos_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(values), encoding="utf-8")
    asked = tsuzuri.load(folder, device="cpu")
    as_the_folder = {"temperature": 0, "repetition_penalty": 1.0, "max_new_tokens": 9, "stop": [stop]}
    assert asked.generate(PROMPT) == model.generate(PROMPT, **as_the_folder)
    assert "".join(asked.stream(PROMPT)) == asked.generate(PROMPT)
    given = {"temperature": 0.9, "repetition_penalty": 1.2, "max_new_tokens": 20, "stop": [], "seed": 3}
    assert asked.generate(PROMPT, **given) == model.generate(PROMPT, **given)
    out = io.StringIO()
    generate_text(folder, {"max_new_tokens": 5}, prompt=PROMPT, device="cpu", out=out)
    assert out.getvalue() == f"{model.generate(PROMPT, **{**as_the_folder, 'max_new_tokens': 5})}\n"
    values["top_k"] = "many"
    (folder / "generation_config.json").write_text(json.dumps({**values, "do_sample": True}))
    with pytest.raises(RecipeError, match="top_k") as error:
        tsuzuri.load(folder, device="cpu").generate(PROMPT)
    assert "generation_config.json" in error.value.hint


def test_half_a_surrogate_pair_is_an_error(language_model: LanguageModel) -> None:
    with pytest.raises(InputError, match="surrogate"):
        language_model.generate("\ud83c")


@pytest.mark.parametrize("name", ["model", "release"])
def test_a_run_is_loaded_by_its_model_and_a_build_by_its_release(
    release: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(release, tmp_path / name)
    assert tsuzuri.load(tmp_path, device="cpu").generate(PROMPT, max_new_tokens=3) is not None


def test_what_is_no_model_is_an_error(release: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        tsuzuri.load(tmp_path)
    with pytest.raises(RecipeError, match="no device 'tpu9'"):
        tsuzuri.load(release, device="tpu9")
    shutil.copytree(release, tmp_path / "release")
    (tmp_path / "release" / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        tsuzuri.load(tmp_path)


def test_a_folder_with_an_older_tokenizer_is_told_how_to_make_the_newer(tmp_path: Path) -> None:
    folder = foreign_folder(tmp_path / "it's here", "gpt2")
    vocabulary, merges = (
        json.loads((folder / "tokenizer.json").read_text())["model"][part] for part in ("vocab", "merges")
    )
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("".join(f"{left} {right}\n" for left, right in merges))
    before = tsuzuri.load(folder, device="cpu").tokenizer
    (folder / "tokenizer.json").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**settings, "tokenizer_class": "GPT2Tokenizer", "unk_token": "<s>"})
    )
    with pytest.raises(InputError, match=r"no tokenizer\.json") as error:
        tsuzuri.load(folder, device="cpu")
    command = error.value.hint.removeprefix("make one of the files that are there: python ")
    subprocess.run([sys.executable, *shlex.split(command)], check=True, capture_output=True)
    after = tsuzuri.load(folder, device="cpu").tokenizer
    assert after.encode_batch([PROMPT]) == before.encode_batch([PROMPT])


def test_a_tokenizer_with_more_pieces_than_rows_is_an_error(tokenizer: ByteTokenizer) -> None:
    model = random_model()
    tokenizer_of_more = ByteTokenizer()
    tokenizer_of_more.pieces = (*tokenizer.pieces, b"a", b"b")
    with pytest.raises(IntegrityError, match="261 pieces, the model only 260 rows"):
        LanguageModel(model, tokenizer_of_more)


def foreign_folder(folder: Path, model_type: str) -> Path:
    """What Transformers writes for a small random model with GPT-2's kind of tokenizer."""
    fields = {"vocab_size": 300, "bos_token_id": 0, "eos_token_id": [0, 1], "tie_word_embeddings": True}
    if model_type == "gpt2":
        config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, **fields)
    else:
        kind = transformers.LlamaConfig if model_type == "llama" else transformers.Qwen3Config
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
        config = kind(hidden_size=32, intermediate_size=48, num_hidden_layers=2, **heads, **fields)
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(10)
    model.save_pretrained(folder)
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=290, special_tokens=special, initial_alphabet=alphabet
    )
    backend.train_from_iterator(SENTENCES, trainer)
    backend.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": model_type == "llama"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gpt2"])
def test_a_folder_of_transformers_is_used_as_transformers_does(model_type: str, tmp_path: Path) -> None:
    folder = foreign_folder(tmp_path, model_type)
    ours = tsuzuri.load(folder, device="cpu")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert ours.rules.ends == (0, 1)
    opening = [0] if model_type == "llama" else []
    ids = ours.tokenizer.encode_batch([PROMPT])[0]

    prompt = torch.tensor([opening + ids])
    unwritable = [[token] for token in ours.rules.unwritable]
    written = theirs.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        max_new_tokens=30,
        repetition_penalty=1.0,
        bad_words_ids=unwritable,
        pad_token_id=0,
    )[0, prompt.shape[1] :].tolist()
    written = written[: next((place for place, token in enumerate(written) if token in (0, 1)), None)]
    expected = CharacterStream().push(b"".join(ours.tokenizer.pieces[token] for token in written))
    assert ours.generate(PROMPT, temperature=0, repetition_penalty=1.0, max_new_tokens=30) == expected

    tokens = torch.tensor([[0, *ids]])
    with torch.no_grad():
        output = theirs(tokens, output_hidden_states=True)
    logarithms = output.logits[0, :-1].log_softmax(-1).gather(1, tokens[0, 1:, None])
    assert ours.score(PROMPT)[0].log_probability == pytest.approx(float(logarithms.sum()), rel=1e-4)
    for layer in (0, 1, -1):
        expected_vector = output.hidden_states[layer][0, -1].numpy()
        np.testing.assert_allclose(ours.embed(PROMPT, layer=layer)[0], expected_vector, atol=1e-3, rtol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_writes_and_scores_as_the_cpu_does(release: Path) -> None:
    on_gpu, on_cpu = (tsuzuri.load(release, device=device) for device in ("cuda", "cpu"))
    assert on_gpu.dtype == torch.bfloat16
    written = [on_gpu.generate(PROMPT, max_new_tokens=100, samples=4, no_repeat_ngram=4) for _ in range(2)]
    assert written[0] == written[1]
    ours, theirs = (model.score(SENTENCES)[0].log_probability for model in (on_gpu, on_cpu))
    assert ours == pytest.approx(theirs, rel=0.02)
    np.testing.assert_allclose(on_gpu.embed(PROMPT), on_cpu.embed(PROMPT), atol=0.1)
