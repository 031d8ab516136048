"""Specialists from one corpus: what each mistake is answered with, and the whole chain at its smallest."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml

from tsuzuri.chain.domains import describe_clusters
from tsuzuri.chain.gather import passages
from tsuzuri.chain.specialize import branch_train, seed_train, train_specialists
from tsuzuri.cli import main
from tsuzuri.core.errors import InputError, RecipeError, ResumeError, TsuzuriError
from tsuzuri.core.files import sha256_file
from tsuzuri.core.lineage import walk
from tsuzuri.core.manifest import box_sha256, read_manifest
from tsuzuri.data.box import TokenBox
from tsuzuri.recipe import load_recipe
from tsuzuri.specialists.config import check_files, read_specialists
from tsuzuri.specialists.messages import Scored
from tsuzuri.specialists.routing.trained import load_router
from tsuzuri.tokenizer.codec import Tokenizer

WORDS = {
    "sea": ("船", "港", "波", "魚", "海辺", "灯台", "漁師", "嵐", "島", "帆"),
    "kitchen": ("鍋", "豆腐", "味噌", "包丁", "台所", "料理", "大根", "出汁", "皿", "火加減"),
    "tools": ("関数", "変数", "設定", "引数", "端末", "命令", "出力", "実行", "ファイル", "一覧"),
}
RECIPE = """
corpus:
  root: ROOT
  heldout_fraction: 0.2
  source: [{SEA}, {KITCHEN}, {TOOLS}]
tokenizer: {vocab_size: 600, boundary: none, form: byte}
model: {size: tiny, overrides: {hidden_size: 16, num_hidden_layers: 1, head_dim: 8}}
train:
  {steps: 16, batch_rows: 2, micro_batch_rows: 2, sequence_length: 32, checkpoint_every: 2, device: cpu,
   precision: float32, compile: never, schedule: {warmup_steps: 1}}
evaluate:
  {max_tokens: 500, max_tokens_in_training: 100, prompts: [朝、], sampling: {samples: 1, max_new_tokens: 4}}
release: {name: many}
specialists: {least_characters: 500, heldout_characters: 5000}
"""
MODELS = (*WORDS, "generalist")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe over thirty small texts of three domains; tests only read it."""
    folder = tmp_path_factory.mktemp("domains")
    draw = random.Random(3)
    for name, words in WORDS.items():
        (folder / name).mkdir()
        for number in range(10):
            text = "".join(f"{draw.choice(words)}と{draw.choice(words)}を{number}で見た。" for _ in range(30))
            (folder / name / f"{number}.txt").write_text(text, encoding="utf-8")
    text = RECIPE.replace("ROOT", str(folder))
    for name in WORDS:
        source = f"kind: files, path: {name}, license: CC0-1.0, quality: {{max_repeated_ngram_ratio: 1}}"
        text = text.replace(name.upper(), source)
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything, made in one go; tests only read it."""
    out = tmp_path_factory.mktemp("made")
    list(train_specialists(recipe, out))
    return out


class Nobody:
    """Specialists that n-grams do not ask."""

    async def score(self, specialist: str, texts: Sequence[str], befores: Sequence[str] = ()) -> Scored:
        """Never called."""
        raise AssertionError(specialist)


def sums(out: Path) -> dict[str, str]:
    """The hash of every box."""
    found = sorted(path.parent for path in out.rglob("manifest.json"))
    return {str(box.relative_to(out)): box_sha256(box) for box in found}


@pytest.mark.slow
def test_every_domain_has_a_release_that_names_its_seed(made: Path) -> None:
    for name in MODELS:
        release = made / "models" / name / "release"
        card = (release / "README.md").read_text(encoding="utf-8")
        assert f"# many-{name}" in card
        assert "A branch" in card
        assert box_sha256(made / "seed")[:12] in card
        seeds = {ancestor.path for ancestor in walk(release) if ancestor.name == "seed"}
        assert [path.name for path in seeds] == ["seed"]
    tokens = {name: read_manifest(made / "models" / name / "run").counts["tokens"] for name in MODELS}
    assert set(tokens.values()) == {2 * 2 * 32}  # 16 steps: 8 of the seed, 2 of each of four branches
    assert read_manifest(made / "models" / "sea" / "run").counts["epochs"].keys() == {"sea"}
    assert read_manifest(made / "models" / "generalist" / "run").counts["epochs"].keys() == set(WORDS)


@pytest.mark.slow
def test_what_they_are_joined_by_is_read_by_who_joins_them(made: Path) -> None:
    config = read_specialists(made / "specialists.yaml")
    check_files(config)
    assert [item.name for item in config.specialists] == list(MODELS)
    assert config.alias == "many"
    router = load_router(config.router, Nobody())
    for name, words in WORDS.items():
        choice = asyncio.run(router.choose(f"{words[0]}と{words[1]}を見た。", MODELS))
        assert choice.posterior[name] == max(choice.posterior[domain] for domain in WORDS)
    for name in WORDS:
        lines = (made / "texts" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        texts = [json.loads(line)["text"] for line in lines]
        assert texts
        assert all(any(word in text for word in WORDS[name]) for text in texts)
    report = (made / "report.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in report for name in MODELS)
    assert report.count("◎") >= 3


@pytest.mark.slow
def test_a_second_run_makes_nothing_anew(made: Path, recipe: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*.safetensors")}
    config = made / "specialists.yaml"
    config.write_text(config.read_text(encoding="utf-8") + "# by hand\n", encoding="utf-8")
    list(train_specialists(recipe, made))
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*.safetensors")} == before
    assert "# by hand" in config.read_text(encoding="utf-8")


@pytest.mark.slow
def test_machines_that_share_the_work_make_the_same(made: Path, recipe: Path, tmp_path: Path) -> None:
    """The seed on one, a domain on another, the rest and what joins them on the first."""
    one, other = tmp_path / "one", tmp_path / "other"
    list(train_specialists(recipe, one, only="seed"))
    assert not (one / "models").exists()
    shutil.copytree(one, other)
    assert list(train_specialists(recipe, other, only="sea")) == [f"sea  {other}/models/sea/release"]
    assert [path.name for path in (other / "models").iterdir()] == ["sea"]
    shutil.copytree(other / "models", one / "models")
    list(train_specialists(recipe, one))
    assert sums(one) == sums(made)


@pytest.mark.large
def test_a_command_killed_among_the_branches_goes_on_to_the_same(
    made: Path, recipe: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-m", "tsuzuri", "specialists", "train", str(recipe), "--out", str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as one:
        assert one.stderr is not None
        for line in one.stderr:
            if b"the model kitchen" in line:
                one.kill()
                break
    assert one.returncode == -signal.SIGKILL
    assert (tmp_path / "models" / "sea" / "release" / "manifest.json").exists()
    list(train_specialists(recipe, tmp_path))
    assert sums(tmp_path) == sums(made)


@pytest.mark.slow
def test_a_specialist_is_trained_again_from_the_seed_that_there_is(
    made: Path, recipe: Path, tmp_path: Path
) -> None:
    """Its texts have changed, those of the others and the seed have not."""
    before = sums(made)
    texts = tmp_path / "texts"
    shutil.copytree(recipe.parent, texts)
    (texts / "sea" / "3.txt").unlink()
    overrides, out = [f"corpus.root={texts}"], tmp_path / "again"
    list(train_specialists(recipe, out, overrides, only="sea", seed_from=made))
    found = {ancestor.name: ancestor for ancestor in walk(out / "models" / "sea" / "release")}
    assert found["seed"].sha256 == box_sha256(made / "seed")
    assert {ancestor.state for ancestor in found.values()} == {"ok"}
    name = "release/model.safetensors"
    assert sha256_file(out / "models" / "sea" / name) != sha256_file(made / "models" / "sea" / name)
    assert sums(made) == before
    with pytest.raises(InputError, match="it has no manifest"):
        list(train_specialists(recipe, tmp_path / "other", overrides, seed_from=tmp_path))


@pytest.mark.slow
def test_domains_are_found_where_none_are_named(recipe: Path, tmp_path: Path) -> None:
    overrides = ["specialists.clusters=3", "specialists.least_characters=100"]
    list(train_specialists(recipe, tmp_path, overrides, only="cluster-1"))
    lines = list(describe_clusters(tmp_path / "clusters"))
    assert [line.partition(":")[0] for line in lines] == ["cluster-1", "cluster-2", "cluster-3"]
    box, tokenizer = TokenBox.open(tmp_path / "domains"), Tokenizer.load(tmp_path / "tokenizer")
    assert box.sources == ["cluster-1", "cluster-2", "cluster-3"]
    for cluster in box.sources:
        text = "".join(tokenizer.decode(document.tolist()) for document in box.shard("train", cluster))
        assert sum(any(word in text for word in words[:6]) for words in WORDS.values()) == 1
    whole = TokenBox.open(tmp_path / "tokens")
    for split in ("train", "heldout"):
        key = f"{split}_tokens"
        assert sum(item[key] or 0 for item in box.counts.values()) == sum(
            item[key] for item in whole.counts.values()
        )


def test_all_steps_are_shared_out(recipe: Path) -> None:
    wanted = load_recipe(recipe)
    seed, own = seed_train(wanted, 8), branch_train(wanted, 2, "sea", list(WORDS))
    assert (seed.steps, seed.schedule.decay_fraction, seed.seed) == (8, 0.0, 1)
    assert (own.steps, own.schedule.decay_fraction, own.seed) == (2, 1.0, 2)
    assert own.mixture.weights == {"sea": 1.0, "kitchen": 0.0, "tools": 0.0}
    assert branch_train(wanted, 2).mixture == wanted.train.mixture


def test_a_dry_run_says_what_would_be_trained(recipe: Path, tmp_path: Path) -> None:
    said = "\n".join(train_specialists(recipe, tmp_path / "out", dry_run=True))
    assert "sea, kitchen, tools" in said
    assert "8 steps, 512 tokens of everything" in said
    assert "2 steps, 128 tokens each" in said
    assert "h of training" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["specialists.domains={wet: [sea], dry: [kitchens]}"], RecipeError, "did you mean 'kitchen'"),
        (["specialists.domains={wet: [sea], dry: [sea]}"], RecipeError, "'sea' is of two domains"),
        (["specialists.domains={wet: [sea]}"], RecipeError, "two domains at least"),
        (["specialists.domains={wet: [sea], dry: []}"], RecipeError, "'dry' has no sources"),
        (["specialists.domains={wet: [sea], generalist: [tools]}"], RecipeError, "another meaning"),
        (["specialists.domains={wet: [sea], 台所: [kitchen]}"], RecipeError, "can't be called '台所'"),
        (["specialists.clusters=1"], RecipeError, "one domain is no division"),
        (["specialists.clusters=2", "specialists.domains={a: [sea], b: [tools]}"], RecipeError, "two ways"),
        (["specialists.seedshare=0.2"], RecipeError, "did you mean 'seed_share'"),
        (["train.steps=4"], RecipeError, r"leave 2 and 0 steps"),
        (["corpus.source=sea"], RecipeError, "one source is no two domains"),
        (["train.sequence_length=100000"], RecipeError, "longer than the model's context"),
    ],
)
def test_a_mistake_stops_before_anything_is_made(
    recipe: Path, tmp_path: Path, overrides: list[str], error: type[TsuzuriError], message: str
) -> None:
    for dry_run in (True, False):
        with pytest.raises(error, match=message):
            list(train_specialists(recipe, tmp_path / "out", overrides, dry_run=dry_run))
    assert not (tmp_path / "out").exists()


def test_the_command_line_knows_it(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main(["specialists", "train", str(recipe), "--out", out, "--dry-run"]) == 0
    assert "branches" in capsys.readouterr().out
    assert main(["specialists", "train", str(recipe), "--out", out, "--only", "tool"]) == 2
    assert "did you mean 'tools'" in capsys.readouterr().err


def test_each_branch_is_a_run_of_one_process(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="2 processes were started") as error:
        list(train_specialists(recipe, tmp_path / "out"))
    assert "--only NAME" in error.value.hint


def test_a_model_that_is_none_is_named(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no model 'kitchn' to train.*did you mean 'kitchen'"):
        list(train_specialists(recipe, tmp_path / "out", only="kitchn"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (
            ["specialists.least_characters=90000"],
            InputError,
            r"'kitchen' has [\d,]+ characters to learn from",
        ),
        (["specialists.domains={wet: [sea], dry: [tools]}"], ResumeError, "domains.dry"),
        (["specialists.seed_share=0.25"], ResumeError, "train.steps: 8 → 4"),
    ],
)
def test_what_does_not_fit_what_was_made_is_refused(
    made: Path, recipe: Path, overrides: list[str], error: type[TsuzuriError], message: str
) -> None:
    before = sums(made)
    with pytest.raises(error, match=message):
        list(train_specialists(recipe, made, overrides))
    assert sums(made) == before


@pytest.mark.slow
def test_a_domain_that_holds_nothing_out_is_named(recipe: Path, made: Path, tmp_path: Path) -> None:
    overrides = ["corpus.source.0.heldout_fraction=0"]
    with pytest.raises(InputError, match="'sea' holds no document out"):
        list(train_specialists(recipe, tmp_path, overrides))
    assert not (tmp_path / "models").exists()


def test_passages_take_the_beginning_of_every_text_first() -> None:
    texts = ["あ" * 2500, "い" * 300, "う" * 1200]
    assert [(text[0], len(text)) for text in passages(texts, 10_000)] == [
        *(("あ", 1000), ("い", 300), ("う", 1000)),
        *(("あ", 1000), ("う", 200)),
        ("あ", 500),
    ]
    assert sum(map(len, passages(texts, 1500))) == 1500


def test_the_recipe_of_specialists_is_whole() -> None:
    path = Path(__file__).parents[1] / "recipes" / "specialists.yaml"
    if not path.exists():
        pytest.skip("the recipes come with the source tree")
    said = "\n".join(train_specialists(path, Path("nowhere"), dry_run=True))
    assert "branches" in said
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["specialists"]
