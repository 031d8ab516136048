"""Signatures of sets: equal in each place with the probability that is the sets' Jaccard similarity.

Fast similarity sketching (Dahlgaard, Knudsen, Thorup: FOCS 2017, arXiv 1704.04370). In round 0 every n-gram
falls into one bin and a bin keeps its smallest: one-permutation hashing, one visit per n-gram instead of one
per n-gram and place. Bins that stay empty, those of short texts, are filled in further rounds, each under
another permutation; from the round numbered like the number of bins on, all n-grams go into one chosen bin,
so that even a single n-gram fills all. Places are therefore equal with the exact probability at any length,
with no densification to bias them. Deviation from the paper: the bin is read from the same mixed number
that is kept, not from a second hash function.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled
from tsuzuri.corpus.duplicates.shingles import Hashes, mixed, ngram_hashes

_ROUND = np.uint64(0x9E3779B97F4A7C15)
_EMPTY = np.uint64(2**64 - 1)
_32 = np.uint64(32)


@compiled
def sketch(hashes: Hashes, out: Hashes) -> None:
    """Write the signature of a set of numbers (repetitions do not matter) to `out`, (bins,)."""
    bins = np.uint64(len(out))
    out[:] = _EMPTY
    for value in hashes:
        place = ((value >> _32) * bins) >> _32
        if value < out[place]:
            out[place] = value
    number = 0
    empty = out == _EMPTY
    while empty.any():
        number += 1
        for value in hashes:
            again = mixed(value + np.uint64(number) * _ROUND)
            place = ((again >> _32) * bins) >> _32
            if number >= len(out):
                place = np.uint64(number % len(out))
            if empty[place] and again < out[place]:
                out[place] = again
        empty = out == _EMPTY


@compiled
def band_keys(
    codes: npt.NDArray[np.uint32], offsets: npt.NDArray[np.int64], length: int, bands: int, rows: int
) -> Hashes:
    """(texts, bands) one number for each band of each text's signature; no text may be empty."""
    texts = len(offsets) - 1
    longest = 1
    for text in range(texts):
        longest = max(longest, offsets[text + 1] - offsets[text])
    hashes = np.empty(longest, np.uint64)
    signature = np.empty(bands * rows, np.uint64)
    keys = np.empty((texts, bands), np.uint64)
    for text in range(texts):
        count = ngram_hashes(codes[offsets[text] : offsets[text + 1]], length, hashes)
        sketch(hashes[:count], signature)
        for band in range(bands):
            key = np.uint64(band)
            for value in signature[band * rows : (band + 1) * rows]:
                key = mixed(key ^ value)
            keys[text, band] = key
    return keys
