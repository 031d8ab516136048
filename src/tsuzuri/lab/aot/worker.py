"""The process that compiles for TPUs: `python -m tsuzuri.lab.aot.worker`, where jax, libtpu and torchax are.

It says what it is made of, then answers each line of its standard input, an AotConfig in JSON, with a line of
JSON, and ends with that input. No TPU is looked for, and nothing is allocated for a model.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import Counter
from importlib.metadata import version
from importlib.util import find_spec
from queue import SimpleQueue
from threading import Thread
from typing import Any

from tsuzuri.core.manifest import code_version
from tsuzuri.lab.config import AotConfig

NEEDED = ("torch", "jax", "libtpu", "torchax")
COLLECTIVES = r"(all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)"
MEGACORE = "v4:"
"""Of these a chip's two cores are one device, as they are run; libtpu would take them for two."""
NO_TPU = {"TPU_SKIP_MDS_QUERY": "1", "JAX_PLATFORMS": "cpu", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
"""No metadata server is asked, no device opened, and others may compile meanwhile."""


def main() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libtpu writes where it likes

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        answer(missing=missing)
        return
    os.environ.update(NO_TPU)
    answer(versions={"tsuzuri": code_version(), **{name: version(name) for name in NEEDED}})
    lines: SimpleQueue[str] = SimpleQueue()
    Thread(target=_read, args=(lines,), daemon=True).start()
    while True:
        answer(**compiled(AotConfig.model_validate_json(lines.get())))


def compiled(config: AotConfig) -> dict[str, Any]:
    """What the compiler says of a step; `failed` is its message where it refuses."""
    from jax.errors import JaxRuntimeError

    try:
        return _compiled(config)
    except (JaxRuntimeError, NotImplementedError, ValueError) as error:
        return {"failed": str(error)}


def _compiled(config: AotConfig) -> dict[str, Any]:
    import numpy as np
    from jax.experimental.topologies import get_topology_desc
    from jax.sharding import Mesh

    from tsuzuri.lab.aot.step import CORES, Program

    options = {"chip_config_name": "megacore"} if config.topology.startswith(MEGACORE) else {}
    cores = get_topology_desc(platform="tpu", topology_name=config.topology, **options).devices
    started = time.perf_counter()
    program = Program(config, Mesh(np.array(cores), (CORES,)))
    lowered = program.jitted().lower(*program.arguments())
    lowered_at = time.perf_counter()
    made = lowered.compile()
    memory, text = made.memory_analysis(), made.as_text()
    return {
        "cores": len(cores),
        "core": cores[0].device_kind,
        "lowering_s": lowered_at - started,
        "compiling_s": time.perf_counter() - lowered_at,
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "output_bytes": memory.output_size_in_bytes,
        "alias_bytes": memory.alias_size_in_bytes,
        "code_bytes": memory.generated_code_size_in_bytes,
        "peak_bytes": memory.peak_memory_in_bytes,
        "operations": made.cost_analysis()["flops"],
        "collectives": Counter(re.findall(rf" {COLLECTIVES}(?:-start)?\(", text)),
    }


def _read(lines: SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)  # whoever asked has gone: what is being compiled is for nobody


if __name__ == "__main__":
    main()
