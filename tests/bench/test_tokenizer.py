"""The deciding row of the tokenizer bench, from documents to its JSON lines."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from pathlib import Path

import pytest
from tests.bench.drawn import write_documents

from _decide import CHARACTERS, FLOPS, Score, characters_per_token, comparisons, decide, open_boxes, plan
from tokenizer import TOKENS, box_name, pack_all, prepare
from tsuzuri.data.box import TokenBox
from tsuzuri.data.config import PackConfig
from tsuzuri.data.pack import pack
from tsuzuri.tokenizer.config import TokenizerConfig

DEFAULT = box_name(TokenizerConfig())


def documents_at(box: Path, seed: int) -> Path:
    """A documents box whose texts are closed by a kanji of their own each."""
    closings = [chr(ord("一") + number) for number in range(300)]
    splits = {"train": 300, "heldout": 5}
    return write_documents(box, seed, splits, characters=200, sources=("made",), closings=closings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tokenizers of every form and boundary, and the text in their tokens."""
    folder = tmp_path_factory.mktemp("deciding")
    documents = documents_at(folder / "documents", seed=1)
    prepare(TokenizerConfig(vocab_size=600), documents, folder)
    pack_all(documents, folder)
    return folder


def options(results: Path, tokens: int) -> Namespace:
    """As the command line gives them."""
    return Namespace(
        device="cpu",
        size="tiny",
        tokens=tokens,
        seeds=[1],
        workers=1,
        results=results,
        characters_too=True,
    )


def test_equal_flops_are_equal_steps_and_equal_characters_equal_text(folder: Path) -> None:
    boxes = open_boxes(folder / TOKENS)
    assert len(boxes) == 6
    worth = {option: characters_per_token(box) for option, box in boxes.items()}
    worst, best = (choose(worth, key=lambda option: worth[option]) for choose in (min, max))
    steps = plan(boxes, 1_000)
    assert set(steps[FLOPS].values()) == {1_000}
    assert steps[CHARACTERS][worst] == 1_000 > steps[CHARACTERS][best]
    for option, count in steps[CHARACTERS].items():
        assert count * worth[option] == pytest.approx(1_000 * worth[worst], abs=worth[option])


def test_every_option_is_scored_and_a_second_run_trains_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = (DEFAULT, "byte-script")
    for option in tried:
        shutil.copytree(folder / TOKENS / option, tmp_path / TOKENS / option)
    results = tmp_path / "decide.jsonl"
    printed = []
    for _ in range(2):
        decide(options(results, tokens=30 * 2_048), tmp_path / TOKENS, DEFAULT)
        printed.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("{")])
    runs = [json.loads(line)["run"] for line in results.read_text(encoding="utf-8").splitlines()]
    assert {run["option"] for run in runs} == set(tried)
    assert len(runs) == 3  # the option that packs worst makes the same steps in both tables
    assert printed[0] == printed[1]
    assert len(printed[0]) == 2 * 3  # the winner and, of the one source and of all, the default


@pytest.mark.parametrize(("default", "rival", "ratio"), [("best", "good", 1.25), ("bad", "best", 0.5)])
def test_the_default_is_compared_with_the_best_other_option(
    folder: Path, default: str, rival: str, ratio: float
) -> None:
    box = TokenBox.open(folder / TOKENS / DEFAULT)
    bits = {"best": (3.0, 5.0), "good": (5.0, 5.0), "bad": (8.0, 8.0)}
    scores = [Score(option, box, 1, [{"all": value} for value in own]) for option, own in bits.items()]
    lines = {
        line.bench.removeprefix("tokenizer deciding row, "): line
        for line in comparisons("x", scores, default)
    }
    assert [line.ratio for name, line in lines.items() if name.startswith("x: best against")] == [1.25, 2.0]
    own = lines[f"x, the default: {default} against {rival}, all"]
    assert (own.ratio, own.ours, own.peer) == (ratio, *(sum(bits[name]) / 2 for name in (default, rival)))


def test_too_few_tokens_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"steps are too few.*--tokens"):
        decide(options(tmp_path / "decide.jsonl", tokens=20 * 2_048), folder / TOKENS, DEFAULT)


def test_boxes_of_other_text_are_refused(folder: Path, tmp_path: Path) -> None:
    documents = documents_at(tmp_path / "documents", seed=2)
    for option, text in (("byte-none", folder / "sample"), ("character-none", documents)):
        pack(PackConfig(), text, folder / option, tmp_path / TOKENS / option)
    assert TokenBox.open(tmp_path / TOKENS / "byte-none").vocab_size == 600
    with pytest.raises(SystemExit, match="differ in their text"):
        open_boxes(tmp_path / TOKENS)


def test_a_folder_without_boxes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="make them with --pack"):
        open_boxes(tmp_path)
