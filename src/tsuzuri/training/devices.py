"""One table of the devices that the loop runs on, and what is chosen on them: precision and the like.

A device is a row here and nothing elsewhere: the step is the same code for all of them, of static shapes,
waits for no number, and leaves it to torch.compile which compiler is meant. `cuda` is NVIDIA's, and AMD's in
torch's builds for ROCm. `tpu` is torch_tpu's (0.2, TPU v4 and later), of which nothing but torch's interface
to any accelerator and a name is asked.

What has run on silicon: cpu, and cuda on one NVIDIA H100. What has not: tpu, AMD's cards, several cards.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field

from tsuzuri.core.config import Config
from tsuzuri.core.errors import ResourceError
from tsuzuri.core.progress import say
from tsuzuri.training.config import TrainConfig

PROBE_S = 0.25


@dataclass(frozen=True)
class Device:
    """A row of the table: what the loop must know of a kind of device."""

    kind: str
    is_available: Callable[[], bool]
    synchronize: Callable[[], None]
    name: Callable[[], str]
    peak_memory_bytes: Callable[[], int]
    """The most that was held since the process began, or since `forget_peak_memory`; 0 where the device does
    not count it."""
    forget_peak_memory: Callable[[], None]
    block_masks: bool
    """Whether packed documents are masked by flex_attention's blocks instead of a dense mask."""
    compile_repays_tokens: int
    """Tokens of a run from which compilation saves more time than it takes."""
    backend: str
    """Of torch.distributed, for the tensors of the device and those of the host."""
    count: Callable[[], int]
    """How many there are on this machine: each process of a run has one of its own."""
    select: Callable[[int], None]
    """Make the device of that number the one that this process means."""
    needs: str
    """What a machine that has none lacks."""


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(
                (line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "CPU"
            )
    except OSError:
        return "CPU"


def _cpu_peak_memory() -> int:
    import resource

    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):  # not Linux: then nothing can be forgotten either
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _forget_cpu_peak_memory() -> None:
    with suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # see proc(5)


def _has_tpu() -> bool:
    accelerator = torch.accelerator.current_accelerator()
    return accelerator is not None and accelerator.type == "tpu" and torch.accelerator.is_available()


DEVICES = {
    "cuda": Device(
        "cuda",
        torch.cuda.is_available,
        torch.cuda.synchronize,
        lambda: torch.cuda.get_device_name(),
        lambda: torch.cuda.max_memory_allocated(),
        lambda: torch.cuda.reset_peak_memory_stats(),
        block_masks=True,
        compile_repays_tokens=50_000_000,
        backend="cpu:gloo,cuda:nccl",
        count=torch.cuda.device_count,
        select=torch.cuda.set_device,
        needs="an NVIDIA or AMD card, its driver, and a build of torch for CUDA or ROCm",
    ),
    "tpu": Device(
        "tpu",
        _has_tpu,
        torch.accelerator.synchronize,
        lambda: str(torch.get_device_module("tpu").get_device_name()),
        lambda: 0,
        lambda: None,
        block_masks=False,
        compile_repays_tokens=50_000_000,
        backend="cpu:gloo,tpu:tpu_dist",
        count=torch.accelerator.device_count,
        select=torch.accelerator.set_device_index,
        needs="a TPU of version 4 or later, and the package torch_tpu beside torch",
    ),
    "cpu": Device(
        "cpu",
        lambda: True,
        lambda: None,
        _cpu_name,
        _cpu_peak_memory,
        _forget_cpu_peak_memory,
        block_masks=False,
        compile_repays_tokens=2_000_000,
        backend="gloo",
        count=lambda: sys.maxsize,  # processes share its cores
        select=lambda number: None,
        needs="nothing",
    ),
}


def choose_device(wanted: str) -> Device:
    """The device named, or the first of the table that is there."""
    if wanted != "auto" and not DEVICES[wanted].is_available():
        raise ResourceError(
            f"this machine's torch finds no {wanted} device, which takes {DEVICES[wanted].needs}",
            hint="use --set train.device=auto",
        )
    names = list(DEVICES) if wanted == "auto" else [wanted]
    return next(DEVICES[name] for name in names if DEVICES[name].is_available())


class Choices(Config):
    """What was chosen for a run where its recipe leaves it open. `run.yaml` keeps it."""

    precision: Literal["float32", "bfloat16"]
    compile: bool
    threads: int = Field(ge=1)
    """Threads of an operation on the CPU: sums are rounded otherwise with another number of them."""
    device: str = ""
    """The name of the device that the run was begun on."""


def choose(config: TrainConfig, device: Device, earlier: Choices | None) -> Choices:
    """What the recipe asks for; where it leaves it open what was chosen `earlier`, or else by a probe, now.

    Says so when a run goes on with earlier choices, and when a choice cannot be kept on this machine.
    """
    if earlier:
        say(
            f"going on as the run was begun: {earlier.precision}, {_mode(earlier)}, {earlier.threads} threads"
        )
    precision = earlier.precision if earlier else None
    compiled = (
        earlier.compile if earlier else config.steps * config.tokens_per_step >= device.compile_repays_tokens
    )
    threads, cores = earlier.threads if earlier else torch.get_num_threads(), os.cpu_count() or 1
    if earlier and threads > cores:
        say(f"only {cores} of {threads} threads are possible here: the last bits of the numbers may differ")
    return Choices(
        precision=precision or probe_precision(device) if config.precision == "auto" else config.precision,
        compile=(compiled if config.compile == "auto" else config.compile == "always")
        and can_compile(device),
        threads=min(threads, cores) if earlier else threads,
        device=earlier.device if earlier else device.name(),
    )


@contextmanager
def memory_errors(config: TrainConfig, hint: str = "") -> Iterator[None]:
    """Within it, memory that is not enough is a ResourceError with `hint`, or one that names a smaller
    micro-batch."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        is_cpu = "DefaultCPUAllocator: can't allocate memory" in str(error)
        if not (is_cpu or isinstance(error, MemoryError | torch.OutOfMemoryError)):
            raise
        rows = config.micro_batch_rows
        smaller = max((n for n in range(1, rows) if config.batch_rows % n == 0), default=0)
        amend = f"--amend train.micro_batch_rows={smaller}" if smaller else "choose a smaller model.size"
        raise ResourceError(f"out of memory with {rows} rows computed at once", hint=hint or amend) from error


def probe_precision(device: Device) -> Literal["float32", "bfloat16"]:
    """The faster of the two for a matrix product here and now: never assumed from the kind of machine.

    With AMX, or on a GPU since Ampere, bfloat16 is several times faster; on a CPU with AVX2 alone twenty
    times slower. Takes `PROBE_S` for each.
    """
    rates = {dtype: _products_per_second(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    return "bfloat16" if rates[torch.bfloat16] > 1.3 * rates[torch.float32] else "float32"


def can_compile(device: Device) -> bool:
    """Whether torch.compile works here, by trying it. Says so where it does not."""
    compilers = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
    if device.kind == "cpu" and not any(map(shutil.which, compilers)):
        say("torch.compile needs a C++ compiler: running without it (install g++ for more speed)")
        return False
    try:
        torch.compile(lambda x: x.sin() + 1, dynamic=False)(torch.ones(8, device=device.kind))
    except Exception as error:  # whatever the compiler or its headers lack, the run goes on without it
        say(f"torch.compile does not work here, running without it: {repr(error).splitlines()[0]}")
        return False
    return True


def _products_per_second(device: Device, dtype: torch.dtype) -> float:
    size = 512 if device.kind == "cpu" else 4096
    a = torch.ones(size, size, device=device.kind, dtype=dtype)
    for _ in range(2):
        a @ a
    device.synchronize()
    count, started = 0, time.perf_counter()
    while (elapsed_s := time.perf_counter() - started) < PROBE_S:
        a @ a
        device.synchronize()
        count += 1
    return count / elapsed_s


def _mode(choices: Choices) -> str:
    return "compiled" if choices.compile else "not compiled"
