"""Every kind of optimizer makes the steps of one process on ranks that hold copies or parts of weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROUNDING, CODES, NOISE = (1e-5, 2e-5), (1e-4, 5e-3), (0.05, 0.1)
"""How far a loss, and a weight, may be off: sums in another order; codes and short numbers that they are
rounded to; weights rounded by other random numbers."""
BOUNDS = {
    "optimizer.kind=muon": ROUNDING,
    "optimizer.kind=adamw": ROUNDING,
    "optimizer.kind=adamw-bf16-states": CODES,
    "optimizer.kind=adamw-8bit": CODES,
    "optimizer.kind=adafactor": ROUNDING,
    "optimizer.kind=adagrad": ROUNDING,
    "optimizer.kind=adamw-8bit optimizer.weights=bfloat16": NOISE,
}
REFUSED = {
    "optimizer.offload=true": ("sharded", {"shard", "tensor", "shard × tensor"}),
    "optimizer.in_backward=true micro_batch_rows=4": ("one process", {"replicate", "shard", "tensor"}),
}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    """What `sharing_optimizers.py` says of each kind."""
    here = Path(__file__).parent
    places = [str(here.parent), str(here.parents[1] / "bench"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(here / "sharing_optimizers.py"), *BOUNDS, *REFUSED]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOUNDS)
def test_ranks_make_the_steps_of_one_process(kind: str, found: dict[str, dict[str, Any]]) -> None:
    assert len(found[kind]) == 4
    for layout, (loss, weight) in found[kind].items():
        assert loss <= BOUNDS[kind][0], layout
        assert weight <= BOUNDS[kind][1], layout


@pytest.mark.slow
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_for_one_device_is_refused(kind: str, found: dict[str, dict[str, Any]]) -> None:
    words, layouts = REFUSED[kind]
    for layout in layouts:
        assert found[kind][layout].startswith("RecipeError: train.optimizer.")
        assert words in found[kind][layout]
