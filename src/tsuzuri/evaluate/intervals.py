"""How far the figures of an evaluation would move with other held-out documents or other samples.

Percentile bootstrap (Efron 1979): documents are drawn again with replacement, as many as there are, within
each source; bits are the ratio of the sums of what was drawn. Tokens are not drawn alone, because those of a
document depend on each other; documents of one author or site do too, so an interval is rather too narrow.
A rate over samples has Wilson's interval (1927), which is right at 0 and 1 as well.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tsuzuri.evaluate.bits import Sums
from tsuzuri.evaluate.repetition import distinct

LEVEL = 0.95
RESAMPLES = 2000
NORMAL = statistics.NormalDist().inv_cdf((1 + LEVEL) / 2)
BATCH_DRAWS = 4_000_000
"""Documents drawn at once, all resamples together: 32 MB of places."""


def intervals(sums: Mapping[str, Sums], texts: Sequence[str], looped_rate: float) -> dict[str, Any]:
    """What stands in eval.json as `intervals`: each figure's [lowest, highest], by the names of the figures.

    `sums` are those of `heldout_sums`, `texts` the samples.
    """
    drawn = {source: _resampled(values, seed) for seed, (source, values) in enumerate(sums.items())}
    drawn["all"] = np.sum(list(drawn.values()), 0)
    bits = {
        source: {
            "bits_per_character": _bounds(_ratio(values, 3)),
            "bits_per_byte": _bounds(_ratio(values, 2)),
            "documents": sum(map(len, sums.values())) if source == "all" else len(sums[source]),
        }
        for source, values in drawn.items()
    }
    shares = np.array([distinct(text) for text in texts])
    places = np.random.default_rng(0).integers(len(shares), size=(RESAMPLES, len(shares)))
    repetition = {
        "distinct_4": _bounds(np.median(shares[places], axis=1)),
        "looped_suffix_rate": _wilson(looped_rate, len(texts)),
    }
    return {"level": LEVEL, "resamples": RESAMPLES, "bits": bits, "repetition": repetition}


def _resampled(values: Sums, seed: int) -> Sums:
    """(resamples, 4): the sums over documents drawn from one source."""
    generator = np.random.default_rng(seed)
    at_once = max(1, BATCH_DRAWS // len(values))
    parts = []
    for first in range(0, RESAMPLES, at_once):
        size = (min(at_once, RESAMPLES - first), len(values))
        parts.append(values[generator.integers(len(values), size=size)].sum(1))
    return np.concatenate(parts)


def _ratio(drawn: Sums, column: int) -> Any:
    return drawn[:, 0] / math.log(2) / np.maximum(drawn[:, column], 1)


def _bounds(values: Any) -> list[float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]


def _wilson(rate: float, count: int) -> list[float]:
    """The interval of a share of `count` independent trials."""
    square = NORMAL**2 / count
    middle = (rate + square / 2) / (1 + square)
    half = NORMAL * math.sqrt(rate * (1 - rate) / count + square / (4 * count)) / (1 + square)
    return [max(0.0, middle - half), min(1.0, middle + half)]
