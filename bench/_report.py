"""How every bench reports: machine and versions first, then one JSON object a comparison, the worst last."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True)
class Comparison:
    """One line of a bench's result; a ratio above 1 means that we are better."""

    bench: str
    ratio: float
    ours: float
    peer: float
    unit: str


def machine(packages: Iterable[str]) -> str:
    """The processor, its cores and the versions of `packages`, in one line."""
    found = ", ".join(f"{package} {_version(package)}" for package in packages)
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {found}"


def emit(comparisons: Iterable[Comparison]) -> None:
    """Print the comparisons as JSON lines, the worst ratio last."""
    for comparison in sorted(comparisons, key=lambda item: -item.ratio):
        print(json.dumps(asdict(comparison), ensure_ascii=False), flush=True)


def is_installed(package: str) -> bool:
    """Whether a peer is there to be measured; says so where it is not."""
    if _version(package) == "absent":
        print(f"{package} is not installed: left out")
        return False
    return True


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError:
        return platform.processor()
    facts = {key.strip(): value.strip() for key, value in lines.items()}
    units = [unit for unit in ("amx_bf16", "avx512f", "avx2") if unit in facts.get("flags", "").split()]
    return f"{facts.get('model name', platform.processor())} ({', '.join(units[:1])})"
