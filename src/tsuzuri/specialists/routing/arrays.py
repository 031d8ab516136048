"""Arrays in a `.npz`: written whole, read with a clear error. Imports no torch."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import IntegrityError
from tsuzuri.core.files import atomic_file


def write_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write arrays by their names; the same ones give the same bytes."""
    with atomic_file(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path, names: Sequence[str]) -> list[npt.NDArray[Any]]:
    """The arrays of these names; IntegrityError where the file is something else."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise IntegrityError(f"{path} is damaged, or not of a router", hint="train it again") from error
