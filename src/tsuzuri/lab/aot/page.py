"""What the compiler for TPUs says of a plan's step, as lines of text.

It proves that our step lowers and fits by way of torchax, which is not how torch_tpu lowers it; nothing runs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tsuzuri.core.errors import ResourceError
from tsuzuri.lab.aot.compiler import Compiled, compiler
from tsuzuri.lab.aot.forms import aot_config, forms, operations
from tsuzuri.lab.devices import GIB
from tsuzuri.lab.memory import predict
from tsuzuri.lab.plan import Plan
from tsuzuri.lab.step import Step

TOO_LARGE = re.compile(r"(?:Used |\()(\d[.\w]*)\)? (?:of|exceeds available HBM) \(?(\d[.\w]*)")
"""In the compiler's words: what it needs, and what a core has."""

OTHERWISE = "try another topology, or another libtpu by --aot-python"


def describe_aot(plan: Plan, topology: str, python: Path | None = None) -> Iterator[str]:
    """What the compiler says of the first of the step's forms that fits; ResourceError where none does.

    `python` is that of the environment in which the compiler is; by default this one.
    """
    step = plan.fit.step
    aot_config(step, topology)
    needed = ""
    with compiler(python or Path(sys.executable)) as process:
        made = ", ".join(f"{name} {version}" for name, version in process.versions.items())
        yield f"aot         for {step.devices} cores of {topology} by {made};"
        yield "            torchax's lowering, which is not torch_tpu's; nothing ran on a TPU"
        for form in forms(step):
            yield f"form        {describe_form(form)}"
            answer = process.compile(aot_config(form, topology))
            if isinstance(answer, Compiled):
                assert answer.cores == form.devices, f"libtpu has {answer.cores} cores in {topology}"
                yield from describe_compiled(form, answer)
                return
            used = TOO_LARGE.search(answer)
            if not used:
                raise ResourceError(f"the compiler refuses it: {answer.splitlines()[0]}", hint=OTHERWISE)
            needed = f"{used[1]} of the {used[2]} of a core"
            yield f"            does not fit: needs {needed}"
    raise ResourceError(
        f"the step does not fit {topology}: the least that the compiler needs is {needed}",
        hint=f"nearest: --aot {_doubled(topology)}, a smaller --size, or a shorter --sequence-length",
    )


def describe_form(step: Step) -> str:
    """How a core makes the step."""
    return (
        f"{step.micro_batches} × {step.rows} rows of {step.length} on each core, {step.recipe.optimizer}, "
        f"{'blocks' if step.recompute else 'nothing'} recomputed, "
        f"{'sharded' if step.sharded else 'replicated'}"
    )


def describe_compiled(step: Step, made: Compiled) -> Iterator[str]:
    """The compiler's figures beside ours."""
    own = step.device.memory_bytes
    yield f"compiled    in {made.compiling_s:.0f} s, after {made.lowering_s:.0f} s of lowering"
    yield f"per core    {_gib(made.peak_bytes)} of {_gib(own)} GiB of a {made.core}: fits"
    yield (
        f"            arguments {_gib(made.argument_bytes)}, temporaries {_gib(made.temporary_bytes)}, "
        f"output {_gib(made.output_bytes)}, of it {_gib(made.alias_bytes)} in the arguments' place, "
        f"code {_gib(made.code_bytes)}"
    )
    expected = predict(step)
    yield f"predicted   {expected.total / made.peak_bytes:.2f} of the compiler's: {expected.describe()}"
    found = ", ".join(f"{count} {name}" for name, count in sorted(made.collectives.items()))
    yield f"collectives {found or 'none'} in the program"
    yield (
        f"operations  {made.operations:.4g} of a micro-batch with one block, "
        f"{made.operations / operations(step):.2f} of 6 a weight and token, attention's and the recomputed"
    )


def _gib(size: float) -> str:
    return f"{size / GIB:.2f}"


def _doubled(topology: str) -> str:
    """The slice with twice the chips, which the same step fills less."""
    rest, _, last = topology.rpartition("x")
    return f"{rest}x{2 * int(last)}"
