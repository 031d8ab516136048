"""Batches of training rows, read ahead in a thread, each rank its own part of the same global batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import RecipeError
from tsuzuri.core.progress import say
from tsuzuri.data.sampler import Sampler

Integers = npt.NDArray[np.int64]

EPOCHS_WORTH_READING = 4
"""Up to here repeated text is nearly as good as new (Muennighoff et al. 2023, "Scaling Data-Constrained
Language Models")."""


class BatchLoader:
    """The endless batches of a sampler from row `start` on; `with` (or `close`) ends its thread."""

    def __init__(
        self,
        sampler: Sampler,
        *,
        batch_rows: int,
        start: int = 0,
        rank: int = 0,
        ranks: int = 1,
        prefetch: int = 2,
        jumps: Mapping[int, int] | None = None,
    ) -> None:
        """Global batches of `batch_rows`, this rank's equal part of each; `prefetch` (≥ 1) are read ahead.

        `jumps` skip rows: where a batch would begin with a row of theirs → the row that it begins with.
        """
        if batch_rows < 1 or batch_rows % ranks:
            raise RecipeError(f"a batch of {batch_rows} rows cannot be shared equally by {ranks} ranks")
        assert 0 <= rank < ranks
        assert prefetch >= 1
        self._sampler = sampler
        self._batch_rows = batch_rows
        self._own = slice(rank * batch_rows // ranks, (rank + 1) * batch_rows // ranks)
        self._speaks = rank == 0
        self._position = start
        self._prefetch, self._jumps = prefetch, jumps or {}
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rows")
        self._ahead: deque[tuple[int, Future[Integers]]] = deque()

    def __iter__(self) -> Iterator[tuple[int, Integers]]:
        """(global batch's first row, this rank's rows (batch_rows // ranks, length + 1)), for ever."""
        unread = self._position
        while True:
            while len(self._ahead) < self._prefetch:
                first = self._jumps.get(unread, unread)
                self._ahead.append((first, self._reader.submit(self.read, first)))
                unread = first + self._batch_rows
            first, reading = self._ahead.popleft()
            rows = reading.result()
            before, self._position = self._position, first + self._batch_rows
            if self._speaks:
                self._tell_repetition(before, self._position)
            yield first, rows

    def read(self, first: int) -> Integers:
        """This rank's rows (batch_rows // ranks, length + 1) of the global batch that begins with a row."""
        indices = np.arange(first, first + self._batch_rows, dtype=np.int64)
        return self._sampler.rows(indices[self._own])

    def state_dict(self) -> dict[str, int]:
        """{"position": the first row of the next batch}; give it as `start` to go on from there."""
        return {"position": self._position}

    def close(self) -> None:
        """End the reading thread."""
        self._reader.shutdown(cancel_futures=True)

    def __enter__(self) -> BatchLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell_repetition(self, before: int, after: int) -> None:
        earlier = self._sampler.epochs(before)
        for source, epochs in self._sampler.epochs(after).items():
            if earlier[source] <= EPOCHS_WORTH_READING < epochs:
                say(f"source {source} has been read {EPOCHS_WORTH_READING} times: more teaches little")
