"""A release beside what counts: on the same held-out text, and on none that it may have read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.bench.drawn import write_documents

from _counting import against_counting, model_bits
from _ngram import bits_per_character
from tsuzuri.core.errors import InputError
from tsuzuri.core.files import write_text
from tsuzuri.core.manifest import make_box
from tsuzuri.corpus.document import read_documents
from tsuzuri.data.box import TokenBox
from tsuzuri.data.config import PackConfig
from tsuzuri.data.pack import pack
from tsuzuri.evaluate.bits import heldout_bits
from tsuzuri.generation.language_model import LanguageModel
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.hf import save_model
from tsuzuri.tokenizer.config import TokenizerConfig
from tsuzuri.tokenizer.train import train_tokenizer


def documents_at(box: Path, seed: int) -> Path:
    """A documents box of two sources."""
    return write_documents(
        box,
        seed,
        {"train": 60, "heldout": 6},
        characters=80,
        sources=("wikipedia", "other"),
        closings="鰯",
    )


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents, tokenizer, tokens and the release of a random model."""
    build = tmp_path_factory.mktemp("build")
    documents = documents_at(build / "documents", seed=1)
    train_tokenizer(TokenizerConfig(vocab_size=512, boundary="none"), documents, build / "tokenizer")
    pack(PackConfig(), documents, build / "tokenizer", build / "tokens")

    def work() -> dict[str, int]:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            write_text(build / "release" / name, (build / "tokenizer" / name).read_text(encoding="utf-8"))
        shape = ModelConfig(vocab_size=512, hidden_size=32, num_hidden_layers=1, max_position_embeddings=256)
        save_model(GPT(shape, torch.Generator().manual_seed(1)), build / "release", eos_id=0)
        return {}

    make_box(build / "release", kind="release", config={}, inputs={"documents": documents}, work=work)
    return build


def test_all_are_scored_on_the_same_held_out_text(build: Path) -> None:
    release, documents = build / "release", build / "documents"
    train, heldout = (
        [item.text for item in read_documents(documents, split) if item.source == "wikipedia"]
        for split in ("train", "heldout")
    )
    kneser_ney, *others = against_counting(release, documents, ["wikipedia"], "cpu")
    assert kneser_ney.peer == bits_per_character(train, heldout)
    assert kneser_ney.ratio == kneser_ney.peer / kneser_ney.ours
    assert all(other.ours == kneser_ney.ours for other in others)


def test_bits_of_a_release_are_those_of_an_evaluation(build: Path) -> None:
    model = LanguageModel.load(build / "release", device="cpu")
    heldout = [item.text for item in read_documents(build / "documents", "heldout")]
    expected = heldout_bits(model.model, TokenBox.open(build / "tokens"), max_tokens=10**9)["all"]
    assert model_bits(model, heldout) == pytest.approx(expected["bits_per_character"], rel=1e-5)


def test_a_release_of_other_documents_is_refused(build: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="may have read what is held out"):
        against_counting(build / "release", documents_at(tmp_path / "documents", 2), ["wikipedia"], "cpu")


def test_a_source_that_is_not_there_is_refused_with_those_that_are(build: Path) -> None:
    with pytest.raises(InputError, match="held-out documents of news") as error:
        against_counting(build / "release", build / "documents", ["news"], "cpu")
    assert error.value.hint == "--sources: wikipedia, other"
