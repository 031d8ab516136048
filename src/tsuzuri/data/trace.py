"""From training rows back to the documents that they were cut from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from tsuzuri.data.box import TokenBox, shard_stem
from tsuzuri.data.sampler import Sampler

Integers = npt.NDArray[np.int64]


def samples_of(box: TokenBox, sampler: Sampler, indices: Integers) -> list[dict[str, Any]]:
    """For each training row: its number, its source, and the ids of the documents whose tokens it predicts.

    The ids are in the order of the row. A document of a box without a table of ids is named by its place.
    """
    components, starts = sampler.places(indices)
    samples: list[dict[str, Any]] = [{} for _ in indices]
    for place, source in enumerate(sampler.sources):
        own = np.flatnonzero(components == place)
        if not len(own):
            continue
        ends = np.cumsum(box.shard("train", source).lengths, dtype=np.int64)
        predicted = starts[own].astype(np.int64)[:, None] + np.arange(1, sampler.length + 1)
        documents = np.searchsorted(ends, predicted % ends[-1], side="right")
        names = _names(box, source, np.unique(documents))
        for row, found in zip(own.tolist(), documents.tolist(), strict=True):
            ids = [names[document] for document in dict.fromkeys(found)]
            samples[row] = {"row": int(indices[row]), "source": source, "documents": ids}
    return samples


def _names(box: TokenBox, source: str, documents: Integers) -> dict[int, str]:
    stem = shard_stem(box.path, "train", source)
    table = stem.with_name(f"{stem.name}.parquet")
    if not table.exists():
        return {number: f"{source} {number}" for number in documents.tolist()}
    ids = pq.read_table(table, columns=["id"])["id"].take(documents)
    return dict(zip(documents.tolist(), ids.to_pylist(), strict=True))
