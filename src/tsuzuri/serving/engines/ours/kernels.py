"""What the decoder does between its matrix products, as numba compiles it: norms, attention, activations.

torch's operators would take longer to be called than to run (one row), or read keys and values in float32
(many rows). Each function here is called once a layer. Sums are in float32.

Rows that go into a product of int8 are scaled so that the largest of each is 1, and their scales go round the
product: `quantized.linear_dynamic` has one range for all of its rows, and a row should not feel the others.
Arrays that a `prange` loop writes to have names of their own: numba (0.68) drops what is written there to a
field of a tuple.

Shapes: N tokens of this step, each at its position of its slot; D hidden_size, H query heads, K key-value
heads, Dh head_dim, F intermediate_size, C capacity of a slot in positions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from numba import prange

from tsuzuri.core.compiled import compiled_fast, compiled_parallel

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]

SILU, GELU, SQUARED_RELU, TANH_GELU = range(4)
"""Activations."""

ZERO, ONE, TWO, HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
LOWEST = np.float32(-1e30)
ROWS_AT_ONCE = 16
LOG2_E = np.float32(1.4426950408889634)
LEAST_POWER = np.float32(-126)
EXPONENT_BIAS, MANTISSA_BITS = np.int32(127), np.int32(23)
SQRT_HALF, SQRT_2_OVER_PI, GELU_CUBE = np.float32(0.5**0.5), np.float32(0.7978845608), np.float32(0.044715)
E0, E1, E2 = np.float32(0.9999999), np.float32(0.69315462), np.float32(0.24014077)
E3, E4, E5 = np.float32(0.05586328), np.float32(0.00894621), np.float32(0.00189511)
"""2^f = E0 + E1 f + … for f in [0, 1), fitted in the Chebyshev nodes: within a ten-millionth."""


class Rows(NamedTuple):
    """What a product takes or gives: the rows (N, width) are still to be multiplied by `scale` (N)."""

    values: Floats
    scale: Floats


class Norm(NamedTuple):
    """RMSNorm, or LayerNorm where there is a bias."""

    weight: Floats
    """(D)."""
    bias: Floats
    """(D or 0)."""
    eps: np.float32


class Tokens(NamedTuple):
    """Where the tokens of this step belong."""

    slots: Integers
    """(N)."""
    positions: Integers
    """(N)."""


class Turning(NamedTuple):
    """What becomes of queries and keys before they meet; arrays are empty where a model has no such thing."""

    bias: Floats
    """((H + 2K) · Dh or 0)."""
    query_norm: Floats
    """(Dh or 0)."""
    key_norm: Floats
    """(Dh or 0)."""
    eps: np.float32
    cos: Floats
    """(context, Dh / 2 or 0)."""
    sin: Floats


class LayerCache(NamedTuple):
    """Keys and values of one layer, float32, or int8 to be multiplied by their scales."""

    keys: npt.NDArray[np.generic]
    """(slots, K, C, Dh)."""
    values: npt.NDArray[np.generic]
    key_scales: Floats
    """(slots, K, C)."""
    value_scales: Floats
    most: np.float32
    """The largest number in it: 127 for int8, 0 for float32, which has no scales."""


def set_threads(threads: int) -> None:
    """How many cores these functions take, called from this thread."""
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]


@compiled_fast
def exponentials(x: Floats, bits: Integers) -> None:
    """x becomes exp(x), for x of at most 0; `bits` is room of the same length. The compiler vectorises it."""
    for i in range(len(x)):
        power = max(x[i] * LOG2_E, LEAST_POWER)
        whole = np.floor(power)
        f = power - whole
        x[i] = E0 + f * (E1 + f * (E2 + f * (E3 + f * (E4 + f * E5))))
        bits[i] = (np.int32(whole) + EXPONENT_BIAS) << MANTISSA_BITS
    scale = bits.view(np.float32)
    for i in range(len(x)):
        x[i] *= scale[i]


@compiled_parallel
def multiply_row(x: Floats, weight: npt.NDArray[np.int8], scales: Floats, out: Floats) -> None:
    """out (out) = weight (out, in), each row times its scale (out), · x (in)."""
    blocks = (len(weight) + ROWS_AT_ONCE - 1) // ROWS_AT_ONCE
    for block in prange(blocks):
        for row in range(block * ROWS_AT_ONCE, min(len(weight), (block + 1) * ROWS_AT_ONCE)):
            sum_ = ZERO
            for i in range(len(x)):
                sum_ += x[i] * np.float32(weight[row, i])
            out[row] = sum_ * scales[row]


@compiled_fast
def scaled_row(row: Floats) -> np.float32:
    """The largest absolute value of the row, which is divided by it; 1 and nothing for zeros."""
    most = ZERO
    for d in range(len(row)):
        most = max(most, abs(row[d]))
    if most == ZERO:
        return ONE
    inverse = ONE / most
    for d in range(len(row)):
        row[d] *= inverse
    return most


@compiled_parallel
def add_and_norm(x: Floats, added: Rows, added_bias: Floats, norm: Norm, out: Rows, is_scaled: bool) -> None:
    """x (N, D) += added, plus its bias (D or 0); out = norm(x). An `added` without rows adds nothing."""
    size, out_scale = x.shape[1], out.scale
    for i in prange(len(x)):
        row, to = x[i], out.values[i]
        if len(added.values) > 0:
            for d in range(size):
                row[d] += added.values[i, d] * added.scale[i]
        for d in range(len(added_bias)):
            row[d] += added_bias[d]
        mean = ZERO
        if len(norm.bias) > 0:
            for d in range(size):
                mean += row[d]
            mean /= np.float32(size)
        square = ZERO
        for d in range(size):
            square += (row[d] - mean) * (row[d] - mean)
        factor = ONE / np.sqrt(square / np.float32(size) + norm.eps)
        for d in range(size):
            to[d] = (row[d] - mean) * factor * norm.weight[d]
        for d in range(len(norm.bias)):
            to[d] += norm.bias[d]
        out_scale[i] = scaled_row(to) if is_scaled else ONE


@compiled_fast
def turn(head: Floats, norm: Floats, eps: np.float32, cos: Floats, sin: Floats) -> None:
    """Normalise a head's vector (Dh) by `norm` (Dh or 0) and turn it by the angles (Dh / 2 or 0)."""
    if len(norm) > 0:
        square = ZERO
        for d in range(len(head)):
            square += head[d] * head[d]
        factor = ONE / np.sqrt(square / np.float32(len(head)) + eps)
        for d in range(len(head)):
            head[d] *= factor * norm[d]
    half = len(cos)
    for d in range(half):
        first, second = head[d], head[d + half]
        head[d] = first * cos[d] - second * sin[d]
        head[d + half] = second * cos[d] + first * sin[d]


@compiled_fast
def store(vector: Floats, most: np.float32, to: npt.NDArray[np.generic]) -> np.float32:
    """Write a head's vector (Dh) into the cache; its scale there."""
    if most == ZERO:
        for d in range(len(vector)):
            to[d] = vector[d]
        return ONE
    largest = ZERO
    for d in range(len(vector)):
        largest = max(largest, abs(vector[d]))
    inverse = most / largest if largest > ZERO else ZERO
    for d in range(len(vector)):
        to[d] = np.rint(vector[d] * inverse)
    return largest / most


@compiled_parallel
def finish_and_store(qkv: Rows, tokens: Tokens, turning: Turning, cache: LayerCache) -> None:
    """Make of each row of qkv its queries, in place and over √Dh, and its keys and values, in the cache."""
    K, Dh = cache.keys.shape[1], cache.keys.shape[3]
    queries = qkv.values.shape[1] - 2 * K * Dh
    temper = ONE / np.sqrt(np.float32(Dh))
    has_angles = turning.cos.shape[1] > 0
    key_scales, value_scales = cache.key_scales, cache.value_scales
    for i in prange(len(tokens.slots)):
        row, slot, position = qkv.values[i], tokens.slots[i], tokens.positions[i]
        for d in range(len(row)):
            row[d] *= qkv.scale[i]
        for d in range(len(turning.bias)):
            row[d] += turning.bias[d]
        place = position if has_angles else 0
        cos, sin = turning.cos[place], turning.sin[place]
        for start in range(0, queries, Dh):
            head = row[start : start + Dh]
            turn(head, turning.query_norm, turning.eps, cos, sin)
            for d in range(Dh):
                head[d] *= temper
        for k in range(K):
            key = row[queries + k * Dh : queries + (k + 1) * Dh]
            value = row[queries + (K + k) * Dh : queries + (K + k + 1) * Dh]
            turn(key, turning.key_norm, turning.eps, cos, sin)
            key_scales[slot, k, position] = store(key, cache.most, cache.keys[slot, k, position])
            value_scales[slot, k, position] = store(value, cache.most, cache.values[slot, k, position])


@compiled_parallel
def attend(qkv: Rows, tokens: Tokens, cache: LayerCache, out: Floats) -> None:
    """out (N, H · Dh): each head's mean of the values up to its token's position, by softmax of q · k."""
    N, K, Dh = len(tokens.slots), cache.keys.shape[1], cache.keys.shape[3]
    H = out.shape[1] // Dh
    for task in prange(N * H):
        i, h = task // H, task % H
        slot, k, seen = tokens.slots[i], h // (H // K), tokens.positions[i] + 1
        query, y = qkv.values[i, h * Dh : (h + 1) * Dh], out[i, h * Dh : (h + 1) * Dh]
        keys, values = cache.keys[slot, k], cache.values[slot, k]
        key_scales, value_scales = cache.key_scales[slot, k], cache.value_scales[slot, k]
        weights, bits = np.empty(seen, np.float32), np.empty(seen, np.int32)
        most = LOWEST
        for s in range(seen):
            score = ZERO
            for d in range(Dh):
                score += query[d] * np.float32(keys[s, d])
            weights[s] = score * key_scales[s]
            most = max(most, weights[s])
        for s in range(seen):
            weights[s] -= most
        exponentials(weights, bits)
        total = ZERO
        for s in range(seen):
            total += weights[s]
        for s in range(seen):
            weights[s] *= value_scales[s] / total
        for d in range(Dh):
            y[d] = ZERO
        fours = seen - seen % 4
        for s in range(0, fours, 4):  # four at once, for each look at y
            w0, w1, w2, w3 = weights[s], weights[s + 1], weights[s + 2], weights[s + 3]
            for d in range(Dh):
                y[d] += (
                    w0 * np.float32(values[s, d])
                    + w1 * np.float32(values[s + 1, d])
                    + w2 * np.float32(values[s + 2, d])
                    + w3 * np.float32(values[s + 3, d])
                )
        for s in range(fours, seen):
            for d in range(Dh):
                y[d] += weights[s] * np.float32(values[s, d])


@compiled_parallel
def attention(
    qkv: Rows, tokens: Tokens, turning: Turning, cache: LayerCache, out: Rows, is_scaled: bool
) -> None:
    """The whole of a layer's attention between its two products; `qkv` is used up."""
    finish_and_store(qkv, tokens, turning, cache)
    attend(qkv, tokens, cache, out.values)
    out_scale = out.scale
    for i in prange(len(out_scale)):
        out_scale[i] = scaled_row(out.values[i]) if is_scaled else ONE


@compiled_parallel
def activate(inner: Rows, bias: Floats, kind: int, out: Rows, is_scaled: bool) -> None:
    """out (N, F) of inner (N, 2F), gate and value, or (N, F) without a gate, whose bias is (F or 0)."""
    F = out.values.shape[1]
    is_gated, out_scale = inner.values.shape[1] > F, out.scale
    for i in prange(len(inner.values)):
        row, to, scale = inner.values[i], out.values[i], inner.scale[i]
        for f in range(F):
            row[f] *= scale
        for f in range(len(bias)):
            row[f] += bias[f]
        if kind == SQUARED_RELU:
            for f in range(F):
                to[f] = max(row[f], ZERO) * max(row[f], ZERO)
        elif kind == GELU:
            for f in range(F):
                to[f] = HALF * row[f] * (ONE + np.float32(math.erf(row[f] * SQRT_HALF)))
        else:  # x · sigmoid(z), with z = x for SiLU; the tanh of GELU is such a sigmoid
            bits = np.empty(F, np.int32)
            for f in range(F):
                z = row[f]
                if kind == TANH_GELU:
                    z = TWO * SQRT_2_OVER_PI * (z + GELU_CUBE * z * z * z)
                to[f] = -abs(z)
            exponentials(to, bits)
            for f in range(F):
                is_positive = row[f] >= ZERO
                to[f] = row[f] * (ONE if is_positive else to[f]) / (ONE + to[f])
        if is_gated:
            for f in range(F):
                to[f] *= row[F + f] * scale
        out_scale[i] = scaled_row(to) if is_scaled else ONE
