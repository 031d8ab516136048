from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import builds
from tsuzuri.chain.build import build, link_boxes, remove_outdated
from tsuzuri.chain.stages import corpus
from tsuzuri.core.errors import InputError, RecipeError, ResourceError, ResumeError, TsuzuriError
from tsuzuri.core.manifest import read_manifest, reopen
from tsuzuri.report.boxes import boxes_of

QUICKSTART = Path(__file__).parent.parent / "recipes" / "quickstart.yaml"


def test_what_was_made_of_an_amended_run_is_made_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    builds.make_all(tmp_path)
    boxes = boxes_of(tmp_path)
    path = boxes["run"] / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, "code_version": "another"}), encoding="utf-8")
    remove_outdated(boxes)
    with pytest.raises(ResumeError, match="input model has changed"):  # another run, not one that went on
        builds.make_evaluation(tmp_path)
    manifest["counts"]["amendments"] = [{"step": 600, "set": ["train.steps=700"]}]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    remove_outdated(boxes)
    assert "evaluation was made of the run before it went on: removed" in capfd.readouterr().err
    assert not boxes["evaluation"].exists()
    builds.make_evaluation(tmp_path)
    remove_outdated(boxes)
    assert boxes["evaluation"].exists()


def test_what_was_being_made_of_an_amended_run_is_made_again(tmp_path: Path) -> None:
    builds.make_all(tmp_path)
    boxes = boxes_of(tmp_path)
    reopen(boxes["evaluation"])
    path = boxes["run"] / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["counts"]["amendments"] = [{"step": 600, "set": ["train.steps=700"]}]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    remove_outdated(boxes)
    assert not boxes["evaluation"].exists()


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("model.size=gpt3-125", RecipeError, "did you mean 'gpt3-125m'"),
        ("model.overrides={hidden_sizes: 8}", RecipeError, "did you mean 'hidden_size'"),
        ("model.overrides={vocab_size: 8000}", RecipeError, "8,000 is smaller than the tokenizer's 8,192"),
        ("corpus.source=nowhere", InputError, "there is nothing at nowhere"),
        ("corpus.source={kind: aozora, path: ., index: no.csv}", InputError, "there is nothing at no.csv"),
        ("corpus.source=[recipes, recipes]", RecipeError, "two sources or benchmarks are named 'recipes'"),
        ("train.sequence_length=100000", RecipeError, "longer than the model's context"),
        ("release.supporters=nobody.txt", InputError, "no readable list of supporters at nobody.txt"),
    ],
)
def test_a_mistake_that_concerns_a_late_stage_stops_the_build_before_the_first(
    tmp_path: Path, override: str, error: type[TsuzuriError], message: str
) -> None:
    for dry_run in (True, False):
        with pytest.raises(error, match=message):
            list(build(QUICKSTART, tmp_path / "out", [override], dry_run=dry_run))
    assert not (tmp_path / "out").exists()


def test_boxes_of_another_build_need_no_sources(tmp_path: Path) -> None:
    builds.make_all(tmp_path / "general")
    moved = ["corpus.source=nowhere"]
    with pytest.raises(InputError, match="there is nothing at nowhere"):
        list(build(QUICKSTART, tmp_path / "out", moved, dry_run=True))
    assert list(build(QUICKSTART, tmp_path / "out", moved, boxes_from=tmp_path / "general", dry_run=True))


def test_a_device_that_is_not_there_stops_the_build_before_the_first_stage(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(ResourceError, match="no cuda device"):
        list(build(QUICKSTART, tmp_path / "out", ["train.device=cuda"]))
    assert not (tmp_path / "out").exists()
    assert list(build(QUICKSTART, tmp_path / "out", ["train.device=cuda"], dry_run=True))


@pytest.mark.parametrize(
    ("license_name", "mixture", "error", "message"),
    [
        ("CC0-1.0", "{weights: {book: 1}}", RecipeError, "a source 'book'.*did you mean 'books'"),
        (
            "CC-BY-NC-4.0",
            "{weights: {books: 1}}",
            InputError,
            r"books: CC-BY-NC-4\.0 \(\d+ documents\) forbids commercial use",
        ),
    ],
)
def test_what_does_not_suit_the_sources_stops_the_build_before_the_tokenizer(
    tmp_path: Path, license_name: str, mixture: str, error: type[TsuzuriError], message: str
) -> None:
    (tmp_path / "books").mkdir()
    for number in range(30):
        text = f"{number}番目の本です。春は曙。夏は夜、月の頃はさらなり、闇もなほ。秋は夕暮れ。冬は早朝。" * 2
        (tmp_path / "books" / f"{number}.txt").write_text(text, encoding="utf-8")
    recipe = f"""
        corpus:
          source:
            {{kind: files, path: books, license: {license_name}, quality: {{max_repeated_ngram_ratio: 1}}}}
          root: {tmp_path}
          heldout_fraction: 0.3
        train: {{mixture: {mixture}}}
    """
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    with pytest.raises(error, match=message):
        list(build(tmp_path / "recipe.yaml", tmp_path / "out"))
    assert (tmp_path / "out" / "documents" / "manifest.json").exists()
    assert not (tmp_path / "out" / "tokenizer").exists()


def test_two_builds_share_their_data(tmp_path: Path) -> None:
    builds.make_all(tmp_path / "general")
    found, wanted = boxes_of(tmp_path / "general"), boxes_of(tmp_path / "novels")
    link_boxes(found, wanted)
    link_boxes(found, wanted)
    assert {stage: box.exists() for stage, box in wanted.items()} == {
        **dict.fromkeys(("documents", "tokenizer", "tokens"), True),
        **dict.fromkeys(("run", "evaluation", "release"), False),
    }
    (tmp_path / "moved").mkdir()
    for name in ("general", "novels"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    assert read_manifest(boxes_of(tmp_path / "moved" / "novels")["tokens"], "tokens").counts
    builds.make_all(tmp_path / "other")
    with pytest.raises(InputError, match="is there already and is not"):
        link_boxes(found_in := boxes_of(tmp_path / "other"), boxes_of(tmp_path / "moved" / "novels"))
    (found_in["tokens"] / "manifest.json").unlink()
    with pytest.raises(InputError, match="tokens"):
        link_boxes(found_in, boxes_of(tmp_path / "new"))


def test_what_fell_out_is_said_at_the_end_of_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    for number in range(9):
        seasons = "春は曙。夏は夜、月の頃はさらなり。秋は夕暮れ。冬は早朝、雪の降りたるは言うまでもない。"
        text = f"{number}番目の本です。{seasons}" if number else "短い。"
        (tmp_path / "books" / f"{number}.txt").write_text(text, encoding="utf-8")
    recipe = f"corpus: {{source: {{kind: files, path: {tmp_path / 'books'}}}, heldout_fraction: 0.3}}\n"
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    said = corpus(tmp_path / "recipe.yaml", tmp_path / "documents")
    assert "documents 8, " in said
    assert said.endswith("\nfallen out  min_characters 1")
