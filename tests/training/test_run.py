"""Changed recipes, amendments, and the log's part of resuming."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import runs
from tsuzuri.core.boxes import METRICS
from tsuzuri.core.errors import IntegrityError, RecipeError, ResumeError
from tsuzuri.core.manifest import MANIFEST, read_manifest
from tsuzuri.training.checkpoint import newest_step
from tsuzuri.training.hooks import Hook
from tsuzuri.training.run import RunLog, open_run

LOWER = "train.optimizer.learning_rate=0.001"


class DeadError(Exception):
    """What a run dies of in these tests."""


def die_after(step: int) -> Hook:
    """A hook whose run dies after a step."""
    calls = 0

    def hook(*unused: object) -> int:
        nonlocal calls
        calls += 1
        if calls == step:
            raise DeadError
        return 0

    return Hook("dies", 1, hook)


STAYS = (Hook("dies", 1, lambda model, dtype: 0),)


@pytest.fixture
def begun(inputs: Path, tmp_path: Path) -> Path:
    """A run that died in its fifth step: its newest checkpoint is that of the fourth."""
    with pytest.raises(DeadError):
        runs.run(inputs, tmp_path / "run", hooks=[die_after(5)])
    return tmp_path / "run"


def record(box: Path) -> dict[str, Any]:
    """What `run.yaml` holds."""
    values: dict[str, Any] = yaml.safe_load((box / "run.yaml").read_text(encoding="utf-8"))
    return values


def test_a_changed_recipe_is_refused_and_its_keys_are_named(inputs: Path, begun: Path) -> None:
    before = (begun / "run.yaml").read_bytes()
    with pytest.raises(ResumeError) as error:
        runs.run(inputs, begun, "optimizer.learning_rate=0.001", "gradient_clip=0.5")
    assert "train.optimizer.learning_rate: 0.006 → 0.001" in error.value.message
    assert "from step 4 on: --amend train.gradient_clip=0.5" in error.value.hint
    assert "--amend train.optimizer.learning_rate=0.001" in error.value.hint
    assert (begun / "run.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        (["gradient_clip=0.5"], "--amend train.gradient_clip=0.5 --amend train.steps=6"),
        (["gradient_clip=0.5", "steps=2"], "--amend train.gradient_clip=0.5 --amend train.steps=6"),
        (["steps=4"], "--amend train.steps=4"),
    ],
)
def test_what_a_finished_run_is_told_works_as_it_is_typed(
    inputs: Path, tmp_path: Path, changes: list[str], options: str
) -> None:
    runs.run(inputs, tmp_path, "steps=3")
    with pytest.raises(ResumeError) as error:
        runs.run(inputs, tmp_path, "steps=3", *changes)
    assert error.value.hint.endswith(f"from step 3 on: {options}")
    runs.run(inputs, tmp_path, "steps=3", amend=shlex.split(options)[1::2])
    assert len(runs.losses(tmp_path)) == int(options.rpartition("=")[2])


def test_a_run_goes_on_that_was_begun_before_a_key_was_there(inputs: Path, begun: Path) -> None:
    values = record(begun)
    del values["recipe"]["train"]["guard"]
    del values["recipe"]["train"]["optimizer"]["offload"]
    (begun / "run.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    opened = open_run(begun, runs.MODEL, runs.train_config(), [], {})
    assert opened.recipe == values["recipe"]
    assert opened.configs()[1] == runs.train_config()


def test_a_run_that_is_to_end_earlier_needs_another_folder(inputs: Path, tmp_path: Path) -> None:
    runs.run(inputs, tmp_path, "steps=3")
    with pytest.raises(ResumeError) as error:
        runs.run(inputs, tmp_path, "steps=2")
    assert error.value.hint == "give another --out"


def test_a_misspelt_amendment_is_answered_with_its_option(inputs: Path, begun: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'steps'") as error:
        runs.run(inputs, begun, amend=["train.stps=9"])
    assert error.value.hint == "correct the --amend option"


@pytest.mark.parametrize(
    "change", ["seed=2", "batch_rows=8", "sequence_length=8", "mixture.weights={a: 1, b: 1}"]
)
def test_what_a_run_keeps_to_its_end_is_not_amended(inputs: Path, begun: Path, change: str) -> None:
    with pytest.raises(ResumeError) as error:
        runs.run(inputs, begun, change)
    assert error.value.hint == "give another --out"
    with pytest.raises(
        ResumeError, match=f"not to be changed within a run: train.{change.partition('=')[0]}"
    ):
        runs.run(inputs, begun, amend=[f"train.{change}"])


def test_the_model_is_not_amended(inputs: Path, begun: Path) -> None:
    with pytest.raises(ResumeError, match=r"model\.rope_theta"):
        runs.run(inputs, begun, amend=["model.rope_theta=5000"])
    with pytest.raises(ResumeError, match=r"model\.num_hidden_layers: 2 → 3"):
        runs.run(inputs, begun, model=runs.MODEL.model_copy(update={"num_hidden_layers": 3}))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("train.learning_rate=1", RecipeError, "did you mean 'optimizer.learning_rate'"),
        ("train.optimizer.learning_rate=-1", RecipeError, "greater than 0"),
        ("corpus.source=x", ResumeError, "a run has no 'corpus' to amend"),
        ("train.steps", RecipeError, "not of the form"),
        ("train.steps=4", ResumeError, "stands after step 4 and is to end after 4"),
        ("train.micro_batch_rows=3", RecipeError, "must be a multiple of micro_batch_rows"),
    ],
)
def test_amendments_that_cannot_be(
    inputs: Path, begun: Path, change: str, error: type[Exception], message: str
) -> None:
    before = (begun / "run.yaml").read_bytes()
    with pytest.raises(error, match=message):
        runs.run(inputs, begun, amend=[change])
    assert (begun / "run.yaml").read_bytes() == before


def test_a_refused_command_leaves_the_folder_to_the_right_one(inputs: Path, tmp_path: Path) -> None:
    other = runs.write_inputs(tmp_path / "other", seed=2)
    (other / "tokenizer").rename(tmp_path / "foreign")
    (other / "tokenizer").symlink_to(inputs / "tokenizer")
    with pytest.raises(IntegrityError, match="packed with another tokenizer"):
        runs.run(other, tmp_path / "run")
    runs.run(inputs, tmp_path / "run", "steps=2")


def test_what_hooks_depend_on_belongs_to_the_recipe(inputs: Path, tmp_path: Path) -> None:
    first, second = {"prompts": ["あ"]}, {"prompts": ["い う"]}
    with pytest.raises(DeadError):
        runs.run(inputs, tmp_path, hooks=[die_after(5)], evaluate=first)
    with pytest.raises(ResumeError, match=r"evaluate.prompts: \['あ'\] → \['い う'\]") as error:
        runs.run(inputs, tmp_path, hooks=STAYS, evaluate=second)
    change = shlex.split(error.value.hint.partition("--amend ")[2])
    with pytest.raises(ResumeError, match=r"a run has no 'evaluate.max_tokens' to amend"):
        runs.run(inputs, tmp_path, hooks=STAYS, evaluate=first, amend=["evaluate.max_tokens=1"])
    runs.run(inputs, tmp_path, hooks=STAYS, evaluate=second, amend=change)
    assert record(tmp_path)["amendments"] == [{"step": 4, "set": ["evaluate.prompts=['い う']"]}]


def test_an_amendment_is_kept_with_its_step(inputs: Path, begun: Path, tmp_path: Path) -> None:
    with pytest.raises(DeadError):
        runs.run(inputs, begun, hooks=[die_after(1)], amend=[LOWER])
    runs.run(inputs, begun, hooks=STAYS)  # the command without it: it stays in force
    assert record(begun)["amendments"] == [{"step": 4, "set": [LOWER]}]
    rates = [line["learning_rate"] for line in runs.lines(begun) if "loss" in line]
    runs.run(inputs, tmp_path / "as begun", hooks=STAYS)
    plain = [line["learning_rate"] for line in runs.lines(tmp_path / "as begun") if "loss" in line]
    assert rates[:4] == plain[:4]
    assert rates[4:] == pytest.approx([rate / 6 for rate in plain[4:]])
    assert read_manifest(begun).counts["amendments"] == [{"step": 4, "set": [LOWER]}]


def test_the_same_amendment_again_changes_nothing(inputs: Path, begun: Path) -> None:
    runs.run(inputs, begun, hooks=STAYS, amend=[LOWER])
    before = runs.contents(begun), (begun / MANIFEST).read_bytes()
    runs.run(inputs, begun, hooks=STAYS, amend=[LOWER])
    runs.run(inputs, begun, "optimizer.learning_rate=0.001", hooks=STAYS)  # written into the recipe meanwhile
    assert (runs.contents(begun), (begun / MANIFEST).read_bytes()) == before


def test_a_run_may_be_amended_from_its_first_step_on(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(DeadError):
        runs.run(inputs, tmp_path / "run", hooks=[die_after(3)], amend=[LOWER])
    runs.run(inputs, tmp_path / "run", hooks=STAYS, amend=[LOWER])
    assert record(tmp_path / "run")["amendments"] == [{"step": 0, "set": [LOWER]}]
    runs.run(inputs, tmp_path / "lower", "optimizer.learning_rate=0.001", hooks=STAYS)
    assert runs.losses(tmp_path / "run") == runs.losses(tmp_path / "lower")


def test_a_finished_run_goes_on_with_more_steps(inputs: Path, tmp_path: Path) -> None:
    runs.run(inputs, tmp_path)
    first = runs.lines(tmp_path)
    manifest = runs.run(inputs, tmp_path, amend=["train.steps=9"])
    assert manifest.counts["steps"] == 9
    assert newest_step(tmp_path / "checkpoints") == 9
    assert runs.lines(tmp_path)[: len(first)] == first
    assert [line["step"] for line in runs.lines(tmp_path) if "loss" in line] == list(range(1, 10))
    assert [line["step"] for line in runs.lines(tmp_path, "samples.jsonl")] == [6, 9]


def test_a_finished_run_is_not_amended_without_more_steps(inputs: Path, tmp_path: Path) -> None:
    manifest = runs.run(inputs, tmp_path)
    with pytest.raises(ResumeError, match=r"is to end after 6[^$]*--amend train.steps=N with more than 6"):
        runs.run(inputs, tmp_path, amend=[LOWER])
    assert read_manifest(tmp_path) == manifest


def test_what_was_made_of_a_run_does_not_belong_to_its_continuation(inputs: Path, tmp_path: Path) -> None:
    from tsuzuri.core.manifest import make_box

    run, evaluation = tmp_path / "run", tmp_path / "evaluation"

    def evaluate() -> None:
        make_box(evaluation, kind="evaluation", config={}, inputs={"model": run}, work=dict)

    runs.run(inputs, run)
    evaluate()
    runs.run(inputs, run, amend=["train.steps=8"])
    with pytest.raises(ResumeError, match=r"input model has changed[^$]*remove .*evaluation"):
        evaluate()


def test_other_tokens_than_the_run_was_begun_with_are_refused(inputs: Path, tmp_path: Path) -> None:
    other = runs.write_inputs(tmp_path / "other", seed=9)
    runs.run(inputs, tmp_path / "run")
    with pytest.raises(ResumeError, match="input tokens has changed"):
        runs.run(other, tmp_path / "run", amend=["train.steps=9"])


def test_what_was_chosen_at_the_start_is_kept(
    inputs: Path, begun: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DeadError):
        runs.run(inputs, tmp_path / "open", "precision=auto", hooks=[die_after(3)])
    values = record(tmp_path / "open")
    values["resolved"] |= {"precision": "bfloat16", "compile": False, "threads": 1}
    (tmp_path / "open" / "run.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    runs.run(inputs, tmp_path / "open", "precision=auto", hooks=STAYS)
    assert record(tmp_path / "open")["resolved"] == values["resolved"]
    said = capfd.readouterr().err
    assert "going on as the run was begun: bfloat16, not compiled, 1 threads" in said
    assert "parameters in bfloat16 on" in said


def test_what_a_smaller_machine_cannot_keep_stays_recorded(inputs: Path, begun: Path) -> None:
    values = record(begun)
    values["resolved"] = {**values["resolved"], "threads": 100_000}
    (begun / "run.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    threads = torch.get_num_threads()
    try:
        runs.run(inputs, begun, hooks=STAYS)
    finally:
        torch.set_num_threads(threads)
    assert record(begun)["resolved"] == values["resolved"]


def test_a_damaged_record_is_named(inputs: Path, begun: Path) -> None:
    (begun / "run.yaml").write_text("recipe: {model: {}, train: {}}\nresolvd: {}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"run.yaml: unknown key 'resolvd' \(did you mean 'resolved'"):
        runs.run(inputs, begun)


def test_logs_are_cut_back_to_the_step_that_a_run_goes_on_from(tmp_path: Path) -> None:
    with RunLog(tmp_path, 0) as log:
        for step in range(1, 6):
            log.write(METRICS, {"step": step, "loss": 0.1})
    with open(tmp_path / METRICS, "a", encoding="utf-8") as file:
        file.write('{"step": 6, "lo')  # the line that a killed process was writing
    with RunLog(tmp_path, 3) as log:
        log.write(METRICS, {"step": 4, "loss": 0.2})
    assert runs.lines(tmp_path) == [
        *({"step": step, "loss": 0.1} for step in (1, 2, 3)),
        {"step": 4, "loss": 0.2},
    ]


def test_opening_a_run_writes_nothing_into_it(inputs: Path, tmp_path: Path) -> None:
    open_run(tmp_path, runs.MODEL, runs.train_config(), [], {})
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
