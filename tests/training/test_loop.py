from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import runs
from tsuzuri.core.errors import RecipeError, ResourceError, Stopped, TrainingError
from tsuzuri.core.manifest import read_manifest
from tsuzuri.model.gpt import GPT
from tsuzuri.model.hf import load_model
from tsuzuri.training import checkpoint
from tsuzuri.training.hooks import Hook
from tsuzuri.training.run import stop_requests
from tsuzuri.training.update import Update
from tsuzuri.training.watch import Watch


def idle(model: GPT) -> None:
    """What the hook of a run does to which nothing happens."""


def saved(box: Path) -> dict[str, torch.Tensor]:
    """The state in the newest checkpoint of a run."""
    state = Update(GPT(runs.MODEL), runs.train_config(), torch.float32).state()
    checkpoint.load_newest(box / "checkpoints", state)
    return state


def test_a_run_is_made_twice_with_the_same_bytes(finished: Path, inputs: Path, tmp_path: Path) -> None:
    runs.run(inputs, tmp_path / "again")
    assert runs.contents(tmp_path / "again") == runs.contents(finished)
    runs.run(inputs, tmp_path / "other", "seed=2")
    assert runs.losses(tmp_path / "other") != runs.losses(finished)


def test_a_finished_run_is_not_made_again(inputs: Path, tmp_path: Path) -> None:
    manifest = runs.run(inputs, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != ".lock"}
    assert runs.run(inputs, tmp_path) == manifest
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != ".lock"} == before


def test_every_step_and_every_hook_is_logged(finished: Path) -> None:
    metrics = runs.lines(finished)
    assert [(line["step"], "heldout" in line) for line in metrics] == [
        (1, False),
        (2, False),
        (3, False),
        (3, True),
        (4, False),
        (5, False),
        (6, False),
        (6, True),
    ]
    assert [line["tokens"] for line in metrics if "loss" in line] == [64, 128, 192, 256, 320, 384]
    assert all(set(line) == {"step", "loss", "grad_norm", "learning_rate", "tokens"} for line in metrics[:3])
    assert [line["step"] for line in runs.lines(finished, "samples.jsonl")] == [6]
    assert [path.name for path in (finished / "checkpoints").iterdir()] != []


def test_tensorboard_reads_the_same_losses(finished: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(runs.losses(finished))
    assert [event.step for event in events.Scalars("heldout/sum")] == [3, 6]


def test_the_model_it_leaves_is_that_of_the_last_step(finished: Path) -> None:
    model = load_model(finished / "model")
    state = saved(finished)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, state[f"model.{name}"]), name
    assert (finished / "model" / "tokenizer.json").exists()


def test_the_manifest_counts(finished: Path) -> None:
    manifest = read_manifest(finished, "run")
    assert manifest.counts["steps"] == 6
    assert manifest.counts["tokens"] == 6 * 4 * 16
    assert manifest.counts["parameters"] == runs.MODEL.num_parameters
    assert manifest.counts["amendments"] == []
    assert set(manifest.counts["epochs"]) == {"a", "b"}
    assert {"run.yaml", "metrics.jsonl", "samples.jsonl", "model/model.safetensors"} <= set(manifest.files)


def test_only_the_newest_checkpoints_are_kept(finished: Path) -> None:
    assert [path.name for path in checkpoint.checkpoints(finished / "checkpoints")] == [
        "step-00000004",
        "step-00000006",
    ]


def test_a_run_learns(inputs: Path, tmp_path: Path) -> None:
    runs.run(
        inputs, tmp_path, "steps=60", "batch_rows=8", "micro_batch_rows=8", "optimizer.learning_rate=0.02"
    )
    losses = runs.losses(tmp_path)
    assert losses[0] == pytest.approx(torch.tensor(float(runs.VOCABULARY)).log().item(), rel=0.02)
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(
    ("number", "step"),
    [*((signal.SIGTERM, step) for step in range(1, 7)), (signal.SIGINT, 3), (signal.SIGUSR1, 4)],
)
def test_a_run_asked_to_stop_saves_and_goes_on(inputs: Path, tmp_path: Path, number: int, step: int) -> None:
    runs.run(inputs, tmp_path / "whole", hooks=(*runs.HOOKS, runs.at_step(0, idle)))
    stop = runs.at_step(step, lambda model: os.kill(os.getpid(), number))
    with pytest.raises(
        Stopped, match=f"{signal.Signals(number).name}, saved after step {step} of 6"
    ) as stopped:
        runs.run(inputs, tmp_path / "run", hooks=(*runs.HOOKS, stop))
    assert stopped.value.by == number
    assert checkpoint.newest_step(tmp_path / "run" / "checkpoints") == step
    runs.run(inputs, tmp_path / "run", hooks=(*runs.HOOKS, runs.at_step(0, idle)))
    assert runs.contents(tmp_path / "run") == runs.contents(tmp_path / "whole")


def test_a_run_stopped_between_hooks_has_logged_its_last_step(inputs: Path, tmp_path: Path) -> None:
    calls = 0

    def stop_in_the_fifth_step(model: torch.nn.Module, arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:  # two micro-batches a step
            os.kill(os.getpid(), signal.SIGTERM)

    def prepare(model: GPT, dtype: torch.dtype) -> int:
        model.register_forward_pre_hook(stop_in_the_fifth_step)
        return 1

    with pytest.raises(Stopped, match="after step 5"):
        runs.run(inputs, tmp_path, hooks=[Hook("third", 3, prepare)])
    assert [line["step"] for line in runs.lines(tmp_path) if "loss" in line] == [1, 2, 3, 4, 5]
    runs.run(inputs, tmp_path, hooks=[Hook("third", 3, lambda model, dtype: 1)])
    assert [line["step"] for line in runs.lines(tmp_path) if "loss" in line] == [1, 2, 3, 4, 5, 6]


def test_a_second_request_stops_at_once() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs begin without it
    try:
        with stop_requests() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop == [signal.SIGINT]
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_schedulers_warning_may_come_twice() -> None:
    with stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop == [signal.SIGUSR1, signal.SIGUSR1]


def test_milestones_outlive_the_newest(inputs: Path, tmp_path: Path) -> None:
    manifest = runs.run(inputs, tmp_path, "keep_checkpoints=1", "milestones=[1, 3]", "checkpoint_every=5")
    found = [checkpoint.step_of(path) for path in checkpoint.checkpoints(tmp_path / "checkpoints")]
    assert found == [1, 3, 4, 6]  # the fourth is the last before the learning rate falls
    assert manifest.counts["milestones"] == [1, 3, 4]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (3, r"step 4: weights are no numbers, [^$]*rank 0 is at fault"),  # seen by the next step's loss
        (
            4,
            r"after step 4 model\.embed_tokens.* no number|step 5: weights are no numbers",
        ),  # about to be saved
    ],
)
def test_weights_that_are_no_numbers_are_never_saved(
    inputs: Path, tmp_path: Path, step: int, said: str
) -> None:
    def poison(model: GPT) -> None:
        model.head.data[5] = torch.nan

    with pytest.raises(TrainingError, match=said):
        runs.run(inputs, tmp_path, hooks=[runs.at_step(step, poison)])
    assert checkpoint.newest_step(tmp_path / "checkpoints") == 2
    assert all(tensor.isfinite().all() for tensor in saved(tmp_path).values())
    manifest = runs.run(
        inputs, tmp_path, hooks=[runs.at_step(0, idle)], amend=["train.optimizer.learning_rate=0.003"]
    )
    assert manifest.counts["amendments"] == [{"step": 2, "set": ["train.optimizer.learning_rate=0.003"]}]
    assert len(runs.losses(tmp_path)) == 6


def test_speeds_are_recorded_outside_the_hashed_files(finished: Path) -> None:
    readings = runs.lines(finished, "timings.jsonl")
    assert [line["stage"] for line in readings] == ["machine", "memory", "train", "run"]
    assert "predicted_bytes" not in readings[1], "of a run whose caller makes no plans"
    assert readings[2]["tokens_per_s"] > 0
    assert readings[2]["peak_memory_bytes"] > 1e6
    assert "timings.jsonl" not in read_manifest(finished).files


def test_the_peak_that_was_predicted_stands_beside_the_measured_one(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def predicted(*facts: Any) -> float:
        asked.append(facts)
        return 3 * 2**30

    options = ("optimizer.kind=adagrad", "checkpoint_every=4")
    runs.run(inputs, tmp_path, *options, watch=Watch(predicted_memory=predicted))
    assert "measured, 3.00 GiB predicted" in capsys.readouterr().err
    assert asked == [(runs.MODEL, runs.train_config(*options), "cpu", "float32", False, 1)]
    reading = next(line for line in runs.lines(tmp_path, "timings.jsonl") if line["stage"] == "memory")
    assert reading["predicted_bytes"] == 3 * 2**30
    assert reading["held_bytes"] > 0


def test_a_run_that_was_stopped_has_told_its_peak(inputs: Path, tmp_path: Path) -> None:
    def stop(*facts: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    watch = Watch(full_speed=stop, predicted_memory=lambda *facts: 2.0**30)
    options = ("checkpoint_every=6", "optimizer.kind=adagrad")
    with pytest.raises(Stopped, match="saved after step 1 of 6"):
        runs.run(inputs, tmp_path, *options, hooks=[], watch=watch)
    told = [line for line in runs.lines(tmp_path, "timings.jsonl") if line["stage"] == "memory"]
    assert [line["predicted_bytes"] for line in told] == [2**30]


@pytest.mark.parametrize(
    ("every", "due"), [(0, [6]), (1, [1, 2, 3, 4, 5, 6]), (2, [2, 4, 6]), (4, [4, 6]), (9, [6])]
)
def test_hooks_are_due_at_their_steps_and_at_the_end(every: int, due: list[int]) -> None:
    hook = Hook("x", every, lambda model, dtype: None)
    assert [step for step in range(1, 7) if hook.is_due(step, 6)] == due


def no_memory_on_a_gpu() -> None:
    """What torch says of a GPU that is full."""
    raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    "take", [no_memory_on_a_gpu, lambda: torch.empty(1 << 60, dtype=torch.uint8), lambda: bytearray(1 << 60)]
)
def test_too_little_memory_is_named(inputs: Path, tmp_path: Path, take: Callable[[], Any]) -> None:
    hooks = [runs.at_step(3, lambda model: take())]
    with pytest.raises(ResourceError, match=r"with 2 rows[^$]*--amend train.micro_batch_rows=1"):
        runs.run(inputs, tmp_path, hooks=hooks)
    with pytest.raises(ResourceError, match=r"with 1 rows[^$]*choose a smaller model.size"):
        runs.run(
            inputs,
            tmp_path,
            hooks=[runs.at_step(1, lambda model: take())],
            amend=["train.micro_batch_rows=1"],
        )


def test_rows_longer_than_the_context_are_refused(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="rows of 33 tokens are longer than the model's context of 32"):
        runs.run(inputs, tmp_path, "sequence_length=33")


def test_tokens_beyond_the_models_vocabulary_are_refused(inputs: Path, tmp_path: Path) -> None:
    small = runs.MODEL.model_copy(update={"vocab_size": 63})
    with pytest.raises(RecipeError, match="holds tokens of 64 kinds, the model's vocabulary is 63"):
        runs.run(inputs, tmp_path, model=small)


def test_a_mixture_of_unknown_sources_is_refused(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError):
        runs.run(inputs, tmp_path, "mixture.weights={nowhere: 1}")


def test_a_bfloat16_run_comes_near(finished: Path, inputs: Path, tmp_path: Path) -> None:
    runs.run(inputs, tmp_path, "precision=bfloat16")
    assert runs.losses(tmp_path) == pytest.approx(runs.losses(finished), rel=0.01)
    assert runs.losses(tmp_path) != runs.losses(finished)
    assert "precision: bfloat16" in (tmp_path / "run.yaml").read_text()
