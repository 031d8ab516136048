"""`plan --aot`: what is asked of the compiler for TPUs, what is made of its answers, and the step itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from tsuzuri.cli import main
from tsuzuri.core.errors import InputError, RecipeError, ResourceError
from tsuzuri.lab.aot.compiler import Compiled, compiler
from tsuzuri.lab.aot.forms import aot_config, forms, operations, plan_values
from tsuzuri.lab.aot.page import describe_aot
from tsuzuri.lab.config import AotConfig, PlanConfig
from tsuzuri.lab.devices import device_row
from tsuzuri.lab.memory import predict, scores_bytes
from tsuzuri.lab.plan import Plan, make_plan
from tsuzuri.lab.step import Step
from tsuzuri.model.ladder import model_config
from tsuzuri.training.memory import RECIPES

ROOT = Path(__file__).parents[2]
NEEDED = ("jax", "libtpu", "torchax")
needs_tpu_extra = pytest.mark.skipif(
    any(find_spec(name) is None for name in NEEDED), reason="needs tsuzuri[tpu]"
)
STEP = Step(
    model=model_config("gpt3-125m", vocab_size=32_000),
    recipe=RECIPES["adamw"],
    device=device_row("v5e:2x4"),
    precision="bfloat16",
    batch_tokens=524_288,
    length=2048,
    rows=32,
)
COMPILED = Compiled(
    cores=8,
    core="TPU v5 lite",
    lowering_s=4,
    compiling_s=61,
    argument_bytes=2**30,
    temporary_bytes=2**31,
    output_bytes=2**30,
    alias_bytes=2**30,
    code_bytes=2**24,
    peak_bytes=3 * 2**30,
    operations=operations(replace(STEP, rows=1, recompute=True)),
    collectives={"all-gather": 25, "reduce-scatter": 13},
)


def plan(topology: str = "v5e:2x4", **values: object) -> Plan:
    """The plan that is compiled for a topology."""
    return make_plan(PlanConfig.model_validate(plan_values(topology, {"size": "gpt3-125m", **values})))


def test_the_forms_need_less_and_less_memory_and_the_last_is_the_least() -> None:
    step = replace(STEP, device=replace(STEP.device, memory_bytes=2**50))
    every = list(forms(step))
    assert every[0] == step
    assert all(form.recompute for form in every[1:])
    assert [form.rows for form in every[1:]] == 2 * [32, 16, 8, 4, 2, 1]
    needed = [predict(form).total for form in every if form.recompute and not form.sharded]
    assert needed == sorted(needed, reverse=True)
    assert min(every, key=lambda form: predict(form).total) == every[-1]
    assert every[-1].sharded


def test_only_forms_that_are_predicted_to_fit_are_compiled_and_the_last() -> None:
    tried = list(forms(STEP))
    assert all(predict(form).total <= STEP.device.usable_bytes for form in tried)
    assert tried[0].rows < STEP.rows  # attention's scores of 32 rows are larger than a core
    small = replace(STEP, device=replace(STEP.device, memory_bytes=2**20))
    assert len(list(forms(small))) == 1


def test_a_step_whose_matrices_are_shared_is_compiled_sharded() -> None:
    assert all(form.tensor == 1 and form.sharded for form in forms(replace(STEP, tensor=2)))


def test_scores_are_kept_by_every_block_unless_it_is_recomputed() -> None:
    recomputed = scores_bytes(replace(STEP, recompute=True))
    assert scores_bytes(STEP) - recomputed == 3 * 12 * 2 * 32 * 2048**2 * 12  # layers, bytes, pairs, heads


def test_operations_are_those_of_one_block_and_the_head() -> None:
    model = STEP.model
    block = 6 * (model.num_matrix_parameters - model.vocab_size * 768) / 12 + 12 * 768 * 2048
    assert operations(STEP) == pytest.approx(STEP.micro_tokens * (6 * model.vocab_size * 768 + block))
    more = operations(replace(STEP, recompute=True)) - operations(STEP)
    assert more == pytest.approx(STEP.micro_tokens * block / 3)


@pytest.mark.parametrize(
    ("topology", "values", "message"),
    [
        ("h100", {}, "no TPUs 'h100'"),
        ("v9:2x2", {}, "no TPUs 'v9:2x2'"),
        ("v5e:2x4", {"device": "h100"}, "names its devices itself"),
    ],
)
def test_other_devices_are_refused(topology: str, values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        plan(topology, **values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"memory_recipe": "muon"}, "with adamw or adamw-bf16-states"),
        ({"graph": "plain"}, "only our own step"),
    ],
)
def test_what_cannot_be_compiled_is_refused_at_once(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        next(describe_aot(plan(**values), "v5e:2x4", Path("no/python")))


def test_a_python_that_is_not_there_is_answered_with_how_to_make_one() -> None:
    with (
        pytest.raises(InputError, match="no/python cannot be run: No such file") as error,
        compiler(Path("no/python")),
    ):
        pass
    assert "pip install 'tsuzuri[tpu]'" in error.value.hint


@pytest.mark.skipif(find_spec("jax") is not None, reason="jax is installed here")
def test_a_python_without_the_extra_is_answered_with_how_to_make_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plan", "--aot", "v5e:2x4"]) == 2
    error = capsys.readouterr().err
    assert "has no jax and no libtpu and no torchax" in error
    assert "--aot-python aot/bin/python" in error


def test_a_compiler_that_ends_is_no_answer() -> None:
    python = Path(shutil.which("false") or "false")
    with pytest.raises(ResourceError, match="has ended: silently"), compiler(python):
        pass


def stand_in(folder: Path, *answers: dict[str, object]) -> Path:
    """A program that answers as `lab.aot.worker` does, with these answers one after another."""
    lines = [{"versions": {"libtpu": "0.0"}}, *answers]
    script = folder / "python"
    body = f"import json\nfor line in {lines!r}:\n    print(json.dumps(line), flush=True)\n    input()\n"
    script.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    script.chmod(0o755)
    return script


TOO_LARGE = (
    "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for "
    "HLO temporaries (17.20G) exceeds available HBM (15.75G). HLO module: jit_step.",
    "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 17.20G of 15.75G hbm.",
)
"""As libtpu 0.0.52 words it, and as older ones did."""


@pytest.mark.parametrize("message", TOO_LARGE)
def test_the_first_form_that_fits_is_described(message: str, tmp_path: Path) -> None:
    python = stand_in(tmp_path, {"failed": message}, asdict(COMPILED))
    page = "\n".join(describe_aot(plan(), "v5e:2x4", python))
    assert "nothing ran on a TPU" in page
    assert "does not fit: needs 17.20G of the 15.75G of a core" in page
    assert page.count("form  ") == 2
    assert "per core    3.00 of 14.90 GiB of a TPU v5 lite: fits" in page
    assert "25 all-gather, 13 reduce-scatter" in page


def test_what_fits_in_no_form_says_what_is_nearest(tmp_path: Path) -> None:
    made = plan()
    python = stand_in(tmp_path, *[{"failed": TOO_LARGE[0]} for _ in forms(made.fit.step)])
    with pytest.raises(ResourceError, match=r"needs is 17\.20G of the 15\.75G") as error:
        list(describe_aot(made, "v5e:2x4", python))
    assert "--aot v5e:2x8" in error.value.hint


def test_any_other_refusal_is_shown(tmp_path: Path) -> None:
    python = stand_in(tmp_path, {"failed": "INVALID_ARGUMENT: no such topology\nat line 1"})
    with pytest.raises(ResourceError, match=r"refuses it: INVALID_ARGUMENT: no such topology\n"):
        list(describe_aot(plan(), "v5e:2x4", python))


@needs_tpu_extra
@pytest.mark.large
@pytest.mark.parametrize("topology", ["v3:2x2", "v4:2x2x1", "v5e:2x4", "v5p:2x2x1", "v6e:2x4"])
def test_the_step_compiles_for_every_generation(topology: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--size", "tiny", "--vocab-size", "512", "--aot", topology]) == 0
    page = capsys.readouterr().out
    assert "fits" in page
    assert "all-gather" in page or "all-reduce" in page


@needs_tpu_extra
@pytest.mark.large
@pytest.mark.parametrize(
    ("values", "overrides"),
    [
        ({"sharded": True, "recompute": True}, {}),
        ({"sharded": False, "recompute": False}, {}),
        ({"sharded": True, "recompute": False}, {"model_type": "gpt2"}),
    ],
)
def test_the_compiled_step_computes_what_the_loop_computes(
    values: dict[str, bool], overrides: dict[str, str]
) -> None:
    model = model_config("tiny", vocab_size=509, overrides=overrides)  # which four cores do not divide
    config = AotConfig(model=model, rows=2, micro_batches=2, length=64, precision="float32", **values)
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
    }
    program = ROOT / "tests" / "lab" / "aot_on_cpu.py"
    command = [sys.executable, program, config.model_dump_json()]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    for compiled, own in json.loads(done.stdout.splitlines()[-1]):
        assert compiled == pytest.approx(own, rel=5e-6)


def test_the_compiler_is_told_the_whole_step() -> None:
    config = aot_config(replace(STEP, rows=4, recompute=True), "v5e:2x4")
    assert AotConfig.model_validate_json(config.model_dump_json()) == config
    assert config.micro_batches * config.rows * 8 * config.length == STEP.batch_tokens
