"""Steps that would have harmed a run: left out on the device, named, computed again, rewound."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.test_resume_ranks import output_of
from torch import Tensor

import runs
from tsuzuri.core.errors import Stopped, TrainingError
from tsuzuri.core.files import append_json_line
from tsuzuri.model.gpt import GPT
from tsuzuri.training import checkpoint
from tsuzuri.training.devices import DEVICES
from tsuzuri.training.hooks import Hook
from tsuzuri.training.incidents import Incidents
from tsuzuri.training.limits import Limits
from tsuzuri.training.step import Trainer

BEYOND = ("guard.deviations=1000",)
SPIKE = 23
"""The step that first reads of the odd document."""


@pytest.fixture(scope="module")
def spiked(odd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped and met the odd document; tests only read it."""
    box = tmp_path_factory.mktemp("spiked") / "run"
    runs.run(odd, box, *runs.GUARDED, hooks=quiet())
    return box


@pytest.fixture(scope="module")
def sound(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to which nothing happens; tests only read it."""
    box = tmp_path_factory.mktemp("sound") / "run"
    runs.run(inputs, box, *runs.GUARDED, *BEYOND, hooks=quiet())
    return box


def quiet() -> list[Hook]:
    """The same hook, which does nothing."""
    return [runs.at_step(0, lambda model: None)]


def falsify(outputs: Callable[[Tensor], Tensor], *calls: int) -> Callable[[GPT], object]:
    """What makes the first block of a model compute something else at some of its calls from then on."""

    def action(model: GPT) -> object:
        count = 0

        def change(block: torch.nn.Module, arguments: object, output: Tensor) -> Tensor:
            nonlocal count
            count += 1
            return outputs(output) if count in calls else output

        return model.layers[0].register_forward_hook(change)

    return action


def incidents(box: Path) -> list[dict[str, Any]]:
    """The incidents of a run."""
    return runs.lines(box, "incidents.jsonl") if (box / "incidents.jsonl").exists() else []


def trainer(*overrides: str) -> Trainer:
    """A trainer of a tiny model, always with the same first weights."""
    config = runs.train_config("steps=20", *overrides)
    model = GPT(runs.MODEL, torch.Generator().manual_seed(3))
    return Trainer(model, config, DEVICES["cpu"], dtype=torch.float32, compiled=False)


def rows(seed: int) -> Tensor:
    """(4, 17) tokens."""
    return torch.randint(1, runs.VOCABULARY, (4, 17), generator=torch.Generator().manual_seed(seed))


def state(made: Trainer) -> dict[str, Tensor]:
    """A copy of weights and states."""
    return {name: tensor.clone() for name, tensor in made.update.state().items()}


def is_as_before(made: Trainer, before: dict[str, Tensor]) -> bool:
    """Whether weights and states are bitwise those of before."""
    return all(torch.equal(tensor, before[name]) for name, tensor in made.update.state().items())


@pytest.mark.parametrize("limits", [Limits(loss=1.0), Limits(grad_norm=1e-3)])
def test_a_step_beyond_its_limits_changes_nothing_and_none_after_it_does(limits: Limits) -> None:
    made = trainer()
    assert made.step(0, rows(1), 0)["applied"]
    before = state(made)
    metrics = made.step(1, rows(2), 0, limits)
    assert not metrics["applied"]
    assert not made.step(2, rows(3), 0)["applied"], "the host has not heard of it yet"
    assert is_as_before(made, before)
    again = made.step(1, rows(2), 0)
    assert torch.equal(again["loss"], metrics["loss"])
    assert torch.equal(again["grad_norm"], metrics["grad_norm"])
    assert is_as_before(made, before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_a_step_beyond_its_limits_waits_for_nothing_on_a_card() -> None:
    model = GPT(runs.MODEL, torch.Generator().manual_seed(3)).to("cuda")
    made = Trainer(model, runs.train_config(), DEVICES["cuda"], dtype=torch.bfloat16, compiled=False)
    for step in range(2):  # what is made once may wait
        made.step(step, rows(step), 0)
    before = state(made)
    with runs.waiting_is_an_error():
        metrics = made.step(2, rows(2), 0, Limits(loss=1.0))
        later = made.step(3, rows(3), 0)
    assert not metrics["applied"]
    assert not later["applied"]
    assert is_as_before(made, before)


def test_limits_that_are_kept_change_no_bit() -> None:
    free, held = trainer(), trainer()
    for step in range(4):
        free.step(step, rows(step), 0)
        assert held.step(step, rows(step), 0, Limits(loss=10.0, grad_norm=100.0))["applied"]
    assert is_as_before(held, state(free))


def test_after_a_number_that_is_none_the_next_step_is_made() -> None:
    made = trainer()
    made.step(0, rows(1), 0)
    before = state(made)
    handle = made.model.layers[0].register_forward_hook(lambda *arguments: arguments[2] * torch.nan)
    metrics = made.step(1, rows(2), 0)
    assert not metrics["applied"]
    assert metrics["loss"].isnan()
    assert is_as_before(made, before)
    handle.remove()
    assert made.step(2, rows(3), 0)["applied"]
    assert made.has_sound_weights()


def test_with_steps_in_the_backward_pass_the_loss_is_held_to_its_limit() -> None:
    made = trainer("optimizer.in_backward=true", "micro_batch_rows=4")
    before = state(made)
    assert made.step(0, rows(1), 0, Limits(grad_norm=1e-3))["applied"], "its norm is known too late"
    before = state(made)
    assert not made.step(1, rows(2), 0, Limits(loss=1.0))["applied"]
    assert not made.step(2, rows(3), 0)["applied"]
    assert is_as_before(made, {**before, **kept_counts(made)})


def kept_counts(made: Trainer) -> dict[str, Tensor]:
    """What counts the steps that were asked for, not those that were made."""
    return {name: tensor for name, tensor in state(made).items() if name == "optimizer.updates"}


def test_a_spike_is_computed_again_rewound_and_its_rows_are_skipped(spiked: Path) -> None:
    first, *_ = found = incidents(spiked)
    assert first["kind"] == "spike"
    assert first["step"] == SPIKE
    assert first["loss"] > first["limits"]["loss"]
    assert first["again"] == {"loss": first["loss"], "grad_norm": first["grad_norm"]}
    assert first["cause"] == "data or optimisation"
    assert (first["rewound_to"], first["skipped_rows"]) == (20, 3 * 4)
    assert [sample["row"] for sample in first["samples"]] == [88, 89, 90, 91]
    assert all(any("b 100" in sample["documents"] for sample in line["samples"]) for line in found)
    lines = [line for line in runs.lines(spiked) if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, 41))
    assert all(line["loss"] < first["loss"] for line in lines[SPIKE - 1 :])
    assert not any(line.get("skipped") for line in lines)


def test_a_run_is_told_what_happened(
    odd: Path, spiked: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    manifest = runs.run(odd, tmp_path / "run", *runs.GUARDED, hooks=quiet())
    said = capfd.readouterr().err
    assert f"step {SPIKE} left out: loss 3.32 (limit 2.697)" in said
    assert "the same when computed again: data or optimisation. Back to step 20; 12 rows" in said
    assert manifest.counts["incidents"] == len(incidents(spiked))
    assert runs.contents(tmp_path / "run") == runs.contents(spiked)


def test_a_sound_run_is_not_touched(inputs: Path, sound: Path, tmp_path: Path) -> None:
    runs.run(inputs, tmp_path, *runs.GUARDED[:3], hooks=quiet())
    assert incidents(tmp_path) == incidents(sound) == []
    assert (tmp_path / "metrics.jsonl").read_bytes() == (sound / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("step", [SPIKE - 1, SPIKE + 1])
def test_a_run_stopped_about_its_spike_ends_as_one_that_never_was(
    odd: Path, spiked: Path, tmp_path: Path, step: int
) -> None:
    stop = [runs.at_step(step, lambda model: os.kill(os.getpid(), signal.SIGTERM))]
    with pytest.raises(Stopped):
        runs.run(odd, tmp_path / "run", *runs.GUARDED, hooks=stop)
    runs.run(odd, tmp_path / "run", *runs.GUARDED, hooks=quiet())
    assert runs.contents(tmp_path / "run") == runs.contents(spiked)


def test_numbers_that_do_not_come_again_are_the_hardwares_fault(
    inputs: Path, sound: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The block's output is turned round once, in the 20th step; of two micro-batches a step, the second."""
    fault = [runs.at_step(1, falsify(lambda output: output.flip(1), 2 * 19))]
    runs.run(inputs, tmp_path, *runs.GUARDED, "guard.deviations=6", hooks=fault)
    (incident,) = incidents(tmp_path)
    assert incident["step"] == 20
    assert incident["cause"] == "hardware"
    assert incident["again"]["loss"] < incident["limits"]["loss"] < incident["loss"]
    assert (incident["rewound_to"], incident["skipped_rows"]) == (15, 0)
    assert "THE HARDWARE IS AT FAULT" in capfd.readouterr().err
    assert (tmp_path / "metrics.jsonl").read_bytes() == (sound / "metrics.jsonl").read_bytes()


def test_a_step_whose_loss_is_no_number_is_left_out_and_named(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fault = [runs.at_step(1, falsify(lambda output: output * torch.nan, 2 * 11))]
    runs.run(inputs, tmp_path, *runs.GUARDED, *BEYOND, hooks=fault)
    (incident,) = incidents(tmp_path)
    assert (incident["kind"], incident["step"], incident["loss"]) == ("not a number", 12, "nan")
    assert incident["rows"] == [44, 47]
    assert all(sample["documents"] for sample in incident["samples"])
    assert "step 12 left out: loss nan, norm of the gradient nan" in capfd.readouterr().err
    lines = [line for line in runs.lines(tmp_path) if "loss" in line]
    assert [line["step"] for line in lines if line.get("skipped")] == [12]
    assert lines[11]["loss"] is None
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()
    assert all(line["loss"] > 0 for line in lines if line["step"] != 12)


def test_too_many_incidents_stop_a_run_until_it_is_amended(odd: Path, tmp_path: Path) -> None:
    few = (*runs.GUARDED, "guard.max_incidents=1")
    with pytest.raises(TrainingError) as stopped:
        runs.run(odd, tmp_path, *few, hooks=quiet())
    report = stopped.value.message
    assert "too much went wrong within 1,000 steps" in report
    assert f"step {SPIKE} left out: loss 3.32" in report
    assert "rows 88 to 91 (2 of a, 2 of b), documents a 10, a 11, b 66" in report
    assert "--amend train.optimizer.learning_rate=0.01" in stopped.value.hint
    before = (tmp_path / "incidents.jsonl").read_bytes()
    with pytest.raises(TrainingError) as again:
        runs.run(odd, tmp_path, *few, hooks=quiet())
    assert str(again.value) == str(stopped.value)
    assert (tmp_path / "incidents.jsonl").read_bytes() == before
    assert checkpoint.newest_step(tmp_path / "checkpoints") == 20
    amend = ["train.optimizer.learning_rate=0.01", "train.guard.deviations=1000"]
    manifest = runs.run(odd, tmp_path, *few, hooks=quiet(), amend=amend)
    assert manifest.counts["incidents"] == 1
    assert [line["step"] for line in runs.lines(tmp_path) if "loss" in line] == list(range(1, 41))


def test_a_document_that_is_at_every_spike_is_named(spiked: Path, tmp_path: Path) -> None:
    for line in incidents(spiked):
        append_json_line(tmp_path / "incidents.jsonl", line)
    with pytest.raises(TrainingError) as stopped:
        Incidents(tmp_path, runs.train_config("guard.max_incidents=2"), amendments=0)
    assert stopped.value.message.endswith("read more than once: b 100 (2 times)")


def test_where_the_hardware_failed_other_advice_is_given(inputs: Path, tmp_path: Path) -> None:
    fault = [runs.at_step(1, falsify(lambda output: output.flip(1), 2 * 19))]
    with pytest.raises(TrainingError) as stopped:
        runs.run(inputs, tmp_path, *runs.GUARDED, "guard.deviations=6", "guard.max_incidents=1", hooks=fault)
    assert "test this machine's memory" in stopped.value.hint


def test_a_spike_before_the_first_checkpoint_goes_back_to_the_first_weights(
    inputs: Path, sound: Path, tmp_path: Path
) -> None:
    fault = [runs.at_step(1, falsify(lambda output: output.flip(1), 2 * 19))]
    late = (*runs.GUARDED, "guard.deviations=6", "checkpoint_every=40")
    runs.run(inputs, tmp_path, *late, hooks=fault)
    assert [line["rewound_to"] for line in incidents(tmp_path)] == [0]
    assert runs.losses(tmp_path) == runs.losses(sound)


def test_weights_that_went_bad_before_a_checkpoint_are_left_behind(inputs: Path, tmp_path: Path) -> None:
    """The newest checkpoint holds them already, so that any rows are a spike after it."""
    spoil = [runs.at_step(20, lambda model: model.head.data.mul_(-4))]
    runs.run(inputs, tmp_path, *runs.GUARDED, hooks=spoil)
    first, second, *_ = found = incidents(tmp_path)
    assert [(line["step"], line["cause"]) for line in found] == [(21, "data or optimisation")] * 2
    assert (first["rewound_to"], first["skipped_rows"], first["rows"]) == (20, 4, [80, 83])
    assert (second["rewound_to"], second["skipped_rows"], second["rows"]) == (15, 28, [84, 87])
    assert [line["step"] for line in runs.lines(tmp_path) if "loss" in line] == list(range(1, 41))
    assert max(runs.losses(tmp_path)[15:]) < first["limits"]["loss"]


def test_what_was_skipped_from_a_step_is_forgotten_by_who_goes_back_behind_it(tmp_path: Path) -> None:
    for step, rewound_to, skipped in ((23, 20, 12), (25, 20, 8), (22, 15, 48), (31, 30, 4)):
        line = {"step": step, "rewound_to": rewound_to, "skipped_rows": skipped, "amendments": 0}
        append_json_line(tmp_path / "incidents.jsonl", line)
    found = Incidents(tmp_path, runs.train_config("guard.max_incidents=9"), amendments=0)
    assert [found.first_row(step) for step in (14, 15, 20, 29, 30)] == [
        56,
        60 + 48,
        80 + 48,
        116 + 48,
        120 + 52,
    ]
    assert found.jumps() == {60: 108, 168: 172}
    assert found.tried() == {15, 30}
    assert Incidents(tmp_path, runs.train_config("guard.max_incidents=9"), amendments=1).tried() == set()


def test_rows_are_a_function_of_the_step_and_of_what_is_skipped(tmp_path: Path) -> None:
    for step, rewound_to, skipped in ((7, 4, 12), (6, 4, 8), (11, 10, 0), (23, 20, 12)):
        line = {"step": step, "rewound_to": rewound_to, "skipped_rows": skipped, "amendments": 0}
        append_json_line(tmp_path / "incidents.jsonl", line)
    append_json_line(tmp_path / "incidents.jsonl", {"step": 30, "amendments": 0})
    found = Incidents(tmp_path, runs.train_config("guard.max_incidents=9"), amendments=0)
    assert [found.first_row(step) for step in (0, 3, 4, 9, 10, 19, 20, 30)] == [
        *(0, 12, 16 + 20, 36 + 20, 40 + 20, 76 + 20, 80 + 32, 120 + 32)
    ]
    assert found.jumps() == {16: 36, 100: 112}
    position, jumps = 0, found.jumps()
    for step in range(31):
        position = jumps.get(position, position)
        assert found.first_row(step) == position, step
        position += 4


def test_incidents_far_apart_or_before_an_amendment_stop_nothing(tmp_path: Path) -> None:
    config = runs.train_config("guard.max_incidents=2")
    line = {"kind": "not a number", "loss": "nan", "grad_norm": "nan", "rows": [0, 3], "samples": []}
    for step, amendments in ((10, 0), (2000, 0), (2001, 1)):
        append_json_line(tmp_path / "incidents.jsonl", {**line, "step": step, "amendments": amendments})
    Incidents(tmp_path, config, amendments=1)
    with pytest.raises(TrainingError, match="too much went wrong within 1,000 steps"):
        Incidents(tmp_path, config, amendments=1).add({**line, "step": 2900})


def test_ranks_leave_the_same_steps_out_together(odd: Path, tmp_path: Path) -> None:
    found = output_of("sharing_guard.py", str(odd), str(tmp_path))
    assert found["ended"] == {"one": ["ended"], "two": ["ended"] * 2}
    one, two = found["incidents"]["one"], found["incidents"]["two"]
    assert len(one) == len(two) == 2
    for alone, shared in zip(one, two, strict=True):
        assert shared["loss"] == pytest.approx(alone["loss"], abs=1e-5)
        assert shared["cause"] == "data or optimisation"
        for name in ("step", "rewound_to", "skipped_rows", "rows", "samples"):
            assert shared[name] == alone[name], name
    assert found["losses"]["two"] == pytest.approx(found["losses"]["one"], abs=1e-4)
