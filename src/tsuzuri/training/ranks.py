"""The processes of a run: how they begin, agree and end together.

torchrun starts them and says in the environment which is which; without it a run is one process, and all of
this is trivial. What only one may do (make the box, hold its lock, open the logs) the first rank does, and
the others hear what came of it through torch's key-value store, for as long as it takes: the first may still
be making the corpus. Collectives begin with the training and wait for `TIMEOUT` at most. A rank that dies
ends the others: torchrun stops them, and their collectives fail.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

import tsuzuri
from tsuzuri.core import ranks as environment
from tsuzuri.core.config import differences
from tsuzuri.core.errors import RecipeError, ResourceError, TsuzuriError
from tsuzuri.core.manifest import box_sha256
from tsuzuri.training.devices import Device

Result = TypeVar("Result")

WAIT = datetime.timedelta(days=7)
"""For the first rank's word, which may come after a corpus was made."""
TIMEOUT = datetime.timedelta(minutes=15)
"""For a collective: more than the ranks of a step, of an evaluation or of a compilation ever are apart."""
GOODBYE = datetime.timedelta(seconds=10)
"""For the others to hear the first rank's last word, before its store goes with it."""
HEARING = datetime.timedelta(seconds=3)
"""For the first rank's last word, where all have met the same error: it is then said once."""


class Ranks:
    """The ranks of a run. All of them make the same calls in the same order."""

    def __init__(self, rank: int = 0, world: int = 1, store: Store | None = None) -> None:
        self.rank, self.world, self.store = rank, world, store
        self._words = 0

    @property
    def is_first(self) -> bool:
        """Whether this rank writes what all of them share."""
        return self.rank == 0

    def first(self, work: Callable[[], Result]) -> Result:
        """What `work` returns on the first rank, which alone does it; its error is raised on all."""
        return self.lead(lambda begin: work(), lambda: None)

    def lead(self, make: Callable[[Callable[[], Any]], Result], work: Callable[[], Any]) -> Result:
        """What `make(work)` returns on the first rank; the others join in where it calls `work`, if it does.

        An error of `make` is raised on all; within `work` every rank meets its own.
        """
        if self.world == 1:
            return make(work)
        if not self.is_first:
            if self._hear():
                work()
            return self._hear()  # type: ignore[no-any-return]
        has_begun = False

        def begin() -> Any:
            nonlocal has_begun
            has_begun = True
            self._tell(True)
            return work()

        try:
            made = make(begin)
        except TsuzuriError as error:
            self._tell(error)
            raise
        if not has_begun:
            self._tell(False)
        self._tell(made)
        return made

    def agree(self, find: Callable[[], Mapping[str, Any]]) -> None:
        """RecipeError, on every rank, where one finds other facts (JSON values) than the first."""
        if self.store is None:
            return
        self.first(lambda: None)  # which may still be making what the others are to find
        facts = json.dumps(find())
        self.store.set(f"facts/{self.rank}", facts)
        self.first(lambda: self._compare(json.loads(facts)))

    def join(self, device: Device) -> None:
        """Take this rank's device, and begin to compute together. Ends with `ranks`."""
        if environment.local_rank() >= device.count():
            raise ResourceError(
                f"rank {self.rank} finds {device.count()} devices of kind {device.kind} and wants number "
                f"{environment.local_rank()}",
                hint="start one process for each of them: torchrun --nproc-per-node",
            )
        device.select(environment.local_rank())
        if self.store is not None:
            dist.init_process_group(
                device.backend,
                store=PrefixStore("group", self.store),
                rank=self.rank,
                world_size=self.world,
                timeout=TIMEOUT,
            )

    def part(self, error: str = "") -> bool:
        """End together what was begun together; whether the first rank ends with the same error.

        The first rank, whose store it may be, goes last.
        """
        if self.store is None:
            return False
        if self.is_first:
            self.store.set("left/0", error)
            self._hears_of(range(self.world), GOODBYE)
            return False
        said = self.store.get("left/0") if error and self._hears_of([0], HEARING) else b""
        self.store.set(f"left/{self.rank}", error)
        return bool(error) and said == error.encode()

    def _hears_of(self, ranks: Iterable[int], patience: datetime.timedelta) -> bool:
        """Whether these ranks have left; one that has died, or goes on, does not."""
        assert self.store is not None
        try:
            self.store.wait([f"left/{rank}" for rank in ranks], patience)
        except dist.DistStoreError:
            return False
        return True

    def _compare(self, expected: Mapping[str, Any]) -> None:
        assert self.store is not None
        for rank in range(1, self.world):
            changed = differences(expected, json.loads(self.store.get(f"facts/{rank}")))
            if changed:
                raise RecipeError(
                    f"rank {rank} was not started as rank 0: {'; '.join(changed)}",
                    hint="give every process the same command, package and folders",
                )

    def _key(self) -> str:
        self._words += 1
        return f"word/{self._words}"

    def _tell(self, word: Any) -> None:
        assert self.store is not None
        self.store.set(self._key(), pickle.dumps(word))  # type: ignore[arg-type]  # bytes will do

    def _hear(self) -> Any:
        assert self.store is not None
        word = pickle.loads(self.store.get(self._key()))
        if isinstance(word, TsuzuriError):
            raise word
        return word


@contextmanager
def ranks() -> Iterator[Ranks]:
    """The ranks that torchrun started, from their first word to their last; or the one process that there is.

    Within it, that the others cannot be reached any more is a ResourceError.
    """
    if environment.world() == 1:
        yield Ranks()
        return
    try:
        store, rank, world = next(iter(rendezvous("env://", timeout=WAIT)))
        found = Ranks(rank, world, store)
        try:
            yield found
        except TsuzuriError as error:
            error.is_repeated = found.part(str(error))
            raise
        found.part()
        if dist.is_initialized():
            dist.destroy_process_group()
    except RuntimeError as error:
        if not _is_of_others(error):
            raise
        raise ResourceError(
            f"rank {environment.rank()} has lost the others: {str(error).splitlines()[0]}",
            hint="the rank that ended first says why; the same command goes on from the newest checkpoint",
        ) from error


def started_with(asked: Mapping[str, Any], boxes: Mapping[str, Path]) -> dict[str, Any]:
    """What must be the same on every rank: the recipe, the code, torch and the data."""
    return {
        **asked,
        "code": code_sha256(),
        "torch": torch.__version__,
        "data": dict(map(_fact, boxes.items())),
    }


def code_sha256() -> str:
    """The hash of this package's source."""
    package = Path(tsuzuri.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _fact(item: tuple[str, Path]) -> tuple[str, str]:
    name, box = item
    try:
        return name, box_sha256(box)
    except TsuzuriError as error:  # where all of them miss it, the first one says so better
        return name, error.message


def _is_of_others(error: RuntimeError) -> bool:
    """Whether an error is that of a collective or of the store, and not of this rank."""
    return isinstance(error, dist.DistError) or any(
        sign in str(error) for sign in ("gloo/transport", "Connection closed by peer", "Timed out waiting")
    )
