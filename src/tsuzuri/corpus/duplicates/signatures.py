"""The first look at every document: its band keys, and what it is ranked by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import InputError
from tsuzuri.core.files import atomic_file
from tsuzuri.corpus.duplicates.config import NearDuplicateConfig
from tsuzuri.corpus.duplicates.folding import folded_codes
from tsuzuri.corpus.duplicates.parts import Parts
from tsuzuri.corpus.duplicates.runs import in_order, keyed, write_runs
from tsuzuri.corpus.duplicates.shingles import Hashes
from tsuzuri.corpus.duplicates.sketch import band_keys

ABOUT = np.dtype([("score", "<f8"), ("tie", "<u8")])
CHARACTERS_PER_BATCH = 1_000_000


@dataclass(frozen=True)
class Signatures:
    """The documents of a part: a task for one worker."""

    parts: Parts
    """The documents."""
    part: int
    """Which part."""
    config: NearDuplicateConfig
    """How signatures are made."""
    folder: Path
    """Where they go."""

    @property
    def about(self) -> Path:
        """A `.npy`: (rows of the part,) `ABOUT` each document; what takes no part has the score -inf."""
        return self.folder / f"about-{self.part:05}.npy"

    @property
    def keys(self) -> Path:
        """(bands) runs of (key, row)."""
        return self.folder / f"keys-{self.part:05}.run"

    def write(self) -> None:
        """Write both files, unless an earlier run did."""
        if self.keys.exists():
            return
        start, stop = self.parts.starts[self.part : self.part + 2]
        about = np.zeros(stop - start, ABOUT)
        about["score"] = -np.inf
        rows, keys = [np.empty(0, np.int64)], [np.empty((0, self.config.bands), np.uint64)]
        for found, scores, ties, batch_keys in self._batches():
            rows.append(found)
            keys.append(batch_keys)
            about["score"][found - start], about["tie"][found - start] = scores, ties
        with atomic_file(self.about) as file:
            np.save(file, about)
        all_rows, columns = np.concatenate(rows), np.ascontiguousarray(np.concatenate(keys).T)
        write_runs(self.keys, [in_order(keyed(column, all_rows)) for column in columns])

    def _batches(self) -> Iterator[tuple[npt.NDArray[np.int64], Sequence[float], list[int], Hashes]]:
        """Rows, scores, ties and band keys of the documents with text, some million characters at a time."""
        config = self.config
        columns = ["id", "text", *filter(None, [config.score_column])]
        selected = self.parts.selected(self.part)
        for rows, batch in self.parts.batches(self.part, columns, selected, CHARACTERS_PER_BATCH):
            codes, offsets = folded_codes(batch["text"])
            lengths = np.diff(offsets)
            filled = np.flatnonzero(lengths)
            scores = lengths[filled].tolist()
            if config.score_column:
                scores = [_score(batch, config.score_column, number) for number in filled.tolist()]
            bounds = np.append(offsets[filled], offsets[-1])
            keys = band_keys(codes, bounds, config.shingle_characters, config.bands, config.rows_per_band)
            yield rows[filled], scores, [_tie(batch["id"][number]) for number in filled.tolist()], keys


def _score(batch: dict[str, list[Any]], column: str, number: int) -> float:
    value = batch[column][number]
    if not isinstance(value, (int, float)) or not np.isfinite(value):
        raise InputError(
            f"the document {batch['id'][number]!r} has {value!r} in {column!r}, where a number was wanted",
            hint="give every document a finite number, or leave score_column unset",
        )
    return float(value)


def _tie(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
