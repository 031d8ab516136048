"""The compiler for TPUs as another process: torchax may need another torch than training has."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tsuzuri.core.errors import InputError, ResourceError
from tsuzuri.lab.config import AotConfig

HOW = (
    "python3 -m venv aot && aot/bin/pip install 'tsuzuri[tpu]' (in a checkout: '.[tpu]'), "
    "then --aot-python aot/bin/python"
)


@dataclass(frozen=True)
class Compiled:
    """What the compiler says of a step; bytes and operations are those of one core."""

    cores: int
    core: str
    lowering_s: float
    compiling_s: float
    argument_bytes: int
    temporary_bytes: int
    output_bytes: int
    alias_bytes: int
    """Of the output, in the place of arguments."""
    code_bytes: int
    peak_bytes: int
    """Most that is held at once."""
    operations: float
    """Of one micro-batch with one block, and of the update: the compiler counts the body of a loop once."""
    collectives: dict[str, int]
    """How often each stands in the program."""


@contextmanager
def compiler(python: Path) -> Iterator[Compiler]:
    """The compiler in the environment of a Python, until the context ends.

    InputError where there is no such Python, ResourceError where it lacks what compiling needs.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as noise:
        try:
            process = subprocess.Popen(
                [python, "-m", "tsuzuri.lab.aot.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=noise,
                encoding="utf-8",
            )
        except OSError as error:
            raise InputError(f"{python} cannot be run: {error.strerror}", hint=HOW) from error
        with process:  # its input is closed at the end, with which it ends
            yield Compiler(python, process, noise)


class Compiler:
    """The process that compiles: `versions` of what it is made of, and `compile`."""

    def __init__(self, python: Path, process: subprocess.Popen[str], noise: IO[str]) -> None:
        self.python, self.process, self.noise = python, process, noise
        greeting = self._answer()
        if "missing" in greeting:
            raise ResourceError(f"{python} has no {' and no '.join(greeting['missing'])}", hint=HOW)
        self.versions: dict[str, str] = greeting["versions"]

    def compile(self, config: AotConfig) -> Compiled | str:
        """What the compiler says of a step, or why it refuses."""
        assert self.process.stdin
        with suppress(BrokenPipeError):  # that it has ended is seen where its answer should be
            self.process.stdin.write(config.model_dump_json() + "\n")
            self.process.stdin.flush()
        answer = self._answer()
        return str(answer["failed"]) if "failed" in answer else Compiled(**answer)

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.noise.seek(0)
            last = self.noise.read().strip().rpartition("\n")[2]
            raise ResourceError(f"the compiler of {self.python} has ended: {last or 'silently'}", hint=HOW)
        answer: dict[str, Any] = json.loads(line)
        return answer
