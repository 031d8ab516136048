"""Functions over arrays that numba compiles: once per machine where it can write a cache, else once per
process.

The cache is numba's in its place and its form, but not in what it asks. numba's own is renewed when a
function's file has changed, though machine code holds what the function uses of other files too; and it is
two files that a killed process, or two at once, can leave at odds. Ours is one file for each signature, and
holds a hash of all that the machine code was made from: the byte code of the function, of every compiled one
that it calls, in turn, and the values of the globals that these read.
"""

from __future__ import annotations

import hashlib
import marshal
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic
from numba.core.serialize import dumps

from tsuzuri.core.files import atomic_file

Function = TypeVar("Function", bound=Callable[..., Any])

DETERMINISTIC = 2
"""The format of `marshal` up to which equal code gives equal bytes."""


def compiled(function: Function) -> Function:
    """`function` in machine code, compiled at its first call and cached beside its source or in the user's
    cache folder.

    What it uses of another module of its package it imports by name.
    """
    return _compiled(function)


def compiled_fast(function: Function) -> Function:
    """The same for arithmetic: without the interpreter's lock, and with sums in any order, as the processor
    likes it. Numbers are taken to be finite."""
    return _compiled(function, nogil=True, fastmath=True)


def compiled_parallel(function: Function) -> Function:
    """The same, with every `prange` loop on all cores."""
    return _compiled(function, nogil=True, fastmath=True, parallel=True)


def _compiled(function: Function, **options: Any) -> Function:
    dispatcher = numba.njit(**options)(function)
    with suppress(RuntimeError):  # a read-only install and no home to write to
        dispatcher._cache = MachineCode(function)  # type: ignore[no-untyped-call]
    return cast(Function, dispatcher)


class MachineCode(FunctionCache):
    """The cache of one function, one file for each signature and kind of processor."""

    def _load_overload(self, signature: Any, target: Any) -> Any:
        try:
            with open(self._path(signature, target.codegen()), "rb") as file:
                if file.read(hashlib.sha256().digest_size) != made_from(self._py_func):
                    return None
                return self._impl.rebuild(target, pickle.load(file))
        except FileNotFoundError:
            return None

    def _save_overload(self, signature: Any, result: Any) -> None:
        if self._impl.check_cachable(result):
            with atomic_file(self._path(signature, result.codegen)) as file:
                code = self._impl.reduce(result)
                file.write(made_from(self._py_func) + dumps(code))  # type: ignore[no-untyped-call]

    def _path(self, signature: Any, codegen: Any) -> Path:
        key = hashlib.sha256(repr((signature, codegen.magic_tuple())).encode()).hexdigest()
        return Path(self.cache_path) / f"{self._impl.filename_base}-{key[:16]}.nbc"


def made_from(function: FunctionType) -> bytes:
    """A hash of all that the machine code of a function comes from, as it is in this process."""
    digest = hashlib.sha256(numba.__version__.encode())
    functions = [function]

    def follow(used: FunctionType) -> None:
        if used not in functions:
            functions.append(used)

    for one in functions:  # which grows
        digest.update(marshal.dumps(one.__code__, DETERMINISTIC))
        assert not one.__closure__
        for name in sorted(_names(one.__code__) & one.__globals__.keys()):
            value = one.__globals__[name]
            if isinstance(value, Dispatcher):
                follow(value.py_func)
            elif isinstance(value, FunctionType):  # which writes machine code for an intrinsic
                follow(value)
            elif isinstance(value, _Intrinsic):
                follow(value._defn)
            elif isinstance(value, ModuleType):
                assert value.__name__.partition(".")[0] != one.__module__.partition(".")[0], value
            else:
                digest.update(pickle.dumps((name, value)))
    return digest.digest()


def _names(code: CodeType) -> set[str]:
    """Every name in the code, and in what is nested in it."""
    nested = (_names(part) for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*nested)
