"""Functions over arrays that numba compiles: once per machine where it can write a cache, else once per
process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`function` in machine code, compiled at its first call and cached beside its source or in the user's
    cache folder."""
    try:
        return cast(Function, numba.njit(cache=True)(function))
    except RuntimeError:  # a read-only install and no home to write to
        return cast(Function, numba.njit(function))
