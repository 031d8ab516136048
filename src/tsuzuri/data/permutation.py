"""A keyed permutation of 0 … size − 1 that needs no memory: where item i goes is computed, never looked up.

A generalised Feistel network on pairs (l, r) with l < a, r < b and a·b barely over `size`, walked in cycles
until the result is below `size`: Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002,
methods 2 and 3. Deviations: the round function is SplitMix64's finaliser (Steele, Lea and Flood 2014), which
mixes well and is no cipher, since nobody attacks the order of training rows; there are six rounds where the
paper needs three.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

GOLDEN = 0x9E3779B97F4A7C15
ROUND_CONSTANTS = [np.uint64(number * GOLDEN % 2**64) for number in range(1, 7)]
MIX = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
LAST_SHIFT = np.uint64(31)


def key_of(*parts: object) -> int:
    """A 64-bit key made of the parts' text."""
    text = "\x00".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def mix(words: Words) -> Words:
    """Well-mixed 64-bit words, one for each (SplitMix64: a bijection of 64-bit words)."""
    for shift, factor in MIX:
        words = (words ^ (words >> shift)) * factor
    return words ^ (words >> LAST_SHIFT)


def subkeys(keys: Words, numbers: Words) -> Words:
    """The key that follows from each of `keys` (n,) under each of `numbers` (n,)."""
    return mix(keys + mix(numbers + np.uint64(GOLDEN)))


def permute(indices: Words, sizes: Words, keys: Words) -> Words:
    """The place of each of `indices` (n,) in the permutation of 0 … sizes − 1 that its key (n,) chooses."""
    left_sizes = _ceiling_roots(sizes)
    right_sizes = (sizes + left_sizes - np.uint64(1)) // left_sizes
    places = _rounds(indices, left_sizes, right_sizes, keys)
    while (outside := np.flatnonzero(places >= sizes)).size:
        places[outside] = _rounds(places[outside], left_sizes[outside], right_sizes[outside], keys[outside])
    return places


def _rounds(indices: Words, left_sizes: Words, right_sizes: Words, keys: Words) -> Words:
    right, left = np.divmod(indices, left_sizes)
    for even, odd in zip(ROUND_CONSTANTS[::2], ROUND_CONSTANTS[1::2], strict=True):
        left = (left + mix(keys + even ^ right) % left_sizes) % left_sizes
        right = (right + mix(keys + odd ^ left) % right_sizes) % right_sizes
    return right * left_sizes + left


def _ceiling_roots(sizes: Words) -> Words:
    roots = np.sqrt(sizes.astype(np.float64)).astype(np.uint64)
    return roots + (roots * roots < sizes)
