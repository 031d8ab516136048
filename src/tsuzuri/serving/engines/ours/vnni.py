"""The int8 decoder's products and attention by AVX-512's VNNI: 64 bytes' products, summed by fours.

torch's product (FBGEMM) takes half as long again for few rows, which is what writing text is. Here weights
lie as they are read: sixteen rows of the matrix beside each other, four numbers of each (`pack`), so that one
load serves every row of `x` in a tile and nothing is summed across. In attention a query is rounded to 8 bits
and the softmax's weights to 16, in two bytes; keys and values stay where `kernels` stores them. To read them
is most of the work, and the processor sees no stream in pieces of some KiB: a head's values are asked for
while its keys are read, and the next head's keys while its values are.

numba knows no such instruction: three functions are written in LLVM's language, the others are Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import llvmlite.binding  # type: ignore[import-untyped]
import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from tsuzuri.core.compiled import compiled_fast, compiled_parallel
from tsuzuri.serving.engines.ours.kernels import (
    HALF,
    LOWEST,
    ONE,
    ZERO,
    Floats,
    Integers,
    LayerCache,
    Rows,
    Tokens,
    Turning,
    exponentials,
    finish_and_store,
    scaled_row,
)

LANES, FOLD = 16, 4
"""Rows of the matrix in a vector, and numbers of each."""
PANEL = 2 * LANES
"""Rows of the matrix in a tile."""
MOST_ROWS, SOME_ROWS = 8, 4
"""Rows of `x` in a tile: as many sums as there are registers for."""
MOST, MIDDLE = np.float32(127), np.float32(128.5)
"""Of activations, which are stored with 128 added (the half rounds)."""
VECTOR = LANES * FOLD
"""Bytes in a register; heads are multiples of it."""
RAISED, FLOAT_BYTES = np.int32(128), 4
LOW, MOST_WEIGHT = np.int32(256), np.float32(65535)
"""A weight of the softmax is 256 · its high byte + its low byte."""
AHEAD = 6144
"""Bytes by which weights are asked for before they are read."""
INSTRUCTION = "llvm.x86.avx512.vpdpbusd.512"
SUM = "llvm.vector.reduce.add.v16i32"


def in_llvm(write: Callable[..., Any]) -> Callable[..., Any]:
    """A function of `write`'s parameters but the first, in the instructions that it writes."""
    return cast("Callable[..., Any]", intrinsic(prefer_literal=True)(write))


def is_supported() -> bool:
    """Whether this processor has the instruction, and numba compiles for this processor."""
    features = llvmlite.binding.get_host_cpu_features()
    is_host = numba.config.CPU_NAME is None and numba.config.CPU_FEATURES is None  # type: ignore[attr-defined]
    return bool(is_host and features.get("avx512f") and features.get("avx512vnni"))


def pack(weight: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """(out, in) → (panels, in / 4, 2, 16, 4), filled up with zeros."""
    rows, width = weight.shape
    padded = np.zeros((-(-rows // PANEL) * PANEL, -(-width // FOLD) * FOLD), np.int8)
    padded[:rows, :width] = weight
    parts = padded.reshape(-1, 2, LANES, padded.shape[1] // FOLD, FOLD)
    return np.ascontiguousarray(parts.transpose(0, 3, 1, 2, 4))


@in_llvm
def sum_tile(
    context: Any, x: Any, stride: Any, weight: Any, steps: Any, sums: Any, rows: Any
) -> tuple[Any, Any]:
    """sums (rows, 32) int32 = x (rows, 4 · steps), uint8 of that stride, · a panel of `pack`; by address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, stride, weight, steps, sums, _ = arguments
        word, vector, _ = _vectors()
        byte, product = ir.IntType(8), _product(builder)
        count = signature.args[-1].literal_value
        width = steps.type
        x_at = builder.inttoptr(x, byte.as_pointer())
        weight_at = builder.inttoptr(weight, vector.as_pointer())
        starts = [builder.gep(x_at, [builder.mul(stride, ir.Constant(width, n))]) for n in range(count)]
        before = builder.block
        loop, after = builder.append_basic_block("steps"), builder.append_basic_block("summed")
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(width)
        step.add_incoming(ir.Constant(width, 0), before)
        running = [[builder.phi(vector) for _ in range(2)] for _ in range(count)]
        pair = builder.shl(step, ir.Constant(width, 1))
        halves = [
            builder.load(builder.gep(weight_at, [builder.add(pair, ir.Constant(width, half))]), align=1)
            for half in range(2)
        ]
        at = builder.add(weight, builder.mul(step, ir.Constant(width, PANEL * FOLD)))
        for line in range(2):
            _fetch(builder, builder.add(at, ir.Constant(width, AHEAD + VECTOR * line)))
        offset = builder.mul(step, ir.Constant(width, FOLD))
        nowhere = ir.Constant(vector, ir.Undefined)
        to_all = ir.Constant(vector, [0] * LANES)
        for start, sums_of_row in zip(starts, running, strict=True):
            four = builder.load(builder.bitcast(builder.gep(start, [offset]), word.as_pointer()), align=1)
            first = builder.insert_element(nowhere, four, ir.Constant(word, 0))
            every = builder.shuffle_vector(first, nowhere, to_all)
            for sum_, half in zip(sums_of_row, halves, strict=True):
                sum_.add_incoming(ir.Constant(vector, [0] * LANES), before)
                sum_.add_incoming(builder.call(product, [sum_, every, half]), loop)
        following = builder.add(step, ir.Constant(width, 1))
        step.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
        builder.position_at_end(after)
        to = builder.inttoptr(sums, vector.as_pointer())
        for place, sum_ in enumerate(sum_ for row in running for sum_ in row):
            builder.store(sum_.incomings[1][0], builder.gep(to, [ir.Constant(width, place)]), align=1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp, types.intp, rows), generate


@compiled_fast
def to_bytes(row: Floats, to: npt.NDArray[np.uint8]) -> None:
    """Numbers between -1 and 1, filled up with zeros."""
    for i in range(len(row)):
        to[i] = np.uint8(row[i] * MOST + MIDDLE)
    for i in range(len(row), len(to)):
        to[i] = 0


@compiled_parallel
def multiply(
    x: Floats,
    weight: npt.NDArray[np.int8],
    offsets: Integers,
    scales: Floats,
    out: Floats,
) -> None:
    """out (N, out) = x (N, in), between -1 and 1, · the packed weight, each row times its scale (out).

    `offsets` (out) is 128 times the sum of each row's weights.
    """
    N, panels = len(x), len(weight)
    stride = weight.shape[1] * FOLD
    whole = np.empty((N, stride), np.uint8)
    if N > MOST_ROWS:
        for n in prange(N):
            to_bytes(x[n], whole[n])
    else:  # sooner done than divided
        for n in range(N):
            to_bytes(x[n], whole[n])
    steps, panel_bytes = stride // FOLD, stride * PANEL
    for panel in prange(panels):
        sums = np.empty((MOST_ROWS, PANEL), np.int32)
        at, to = weight.ctypes.data + panel * panel_bytes, sums.ctypes.data
        first_out = panel * PANEL
        width_out = min(PANEL, out.shape[1] - first_out)
        n = 0
        while n < N:
            from_ = whole.ctypes.data + n * stride
            if N - n >= MOST_ROWS:
                rows = MOST_ROWS
                sum_tile(from_, stride, at, steps, to, MOST_ROWS)
            elif N - n >= SOME_ROWS:
                rows = SOME_ROWS
                sum_tile(from_, stride, at, steps, to, SOME_ROWS)
            elif N - n >= 2:
                rows = 2
                sum_tile(from_, stride, at, steps, to, 2)
            else:
                rows = 1
                sum_tile(from_, stride, at, steps, to, 1)
            for row in range(rows):
                for o in range(width_out):
                    place = first_out + o
                    out[n + row, place] = np.float32(sums[row, o] - offsets[place]) * scales[place]
            n += rows


@in_llvm
def dot(context: Any, query: Any, key: Any, ahead: Any) -> tuple[Any, Any]:
    """int32: Σ query · (key + 128) over 64 int8 each, by address; the line `ahead` is asked for."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, vector, bytes_ = _vectors()
        query, key = (
            builder.load(builder.inttoptr(address, bytes_.as_pointer()), align=1) for address in arguments[:2]
        )
        _fetch(builder, arguments[2])
        raised = builder.xor(key, ir.Constant(bytes_, [0x80] * VECTOR))
        sums = builder.call(
            _product(builder),
            [
                ir.Constant(vector, [0] * LANES),
                builder.bitcast(raised, vector),
                builder.bitcast(query, vector),
            ],
        )
        add = builder.module.declare_intrinsic(SUM, (), ir.FunctionType(word, [vector]))
        return builder.call(add, [sums])

    return types.int32(types.intp, types.intp, types.intp), generate


@in_llvm
def mix(
    context: Any, high: Any, low: Any, values: Any, stride: Any, steps: Any, out: Any, ahead: Any
) -> tuple[Any, Any]:
    """out (64) float32 = Σ (256 · high + low) · values (4 · steps, 64), int8 of that stride; by address. As
    many rows `ahead` are asked for.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        high, low, values, stride, steps, out, ahead = arguments
        word, vector, bytes_ = _vectors()
        product, width = _product(builder), steps.type
        weights_at = [builder.inttoptr(part, word.as_pointer()) for part in (high, low)]
        before = builder.block
        loop, after = builder.append_basic_block("steps"), builder.append_basic_block("summed")
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(width)
        step.add_incoming(ir.Constant(width, 0), before)
        running = [[builder.phi(vector) for _ in range(4)] for _ in weights_at]
        first = builder.add(values, builder.mul(builder.shl(step, ir.Constant(width, 2)), stride))
        rows = [
            builder.load(
                builder.inttoptr(
                    builder.add(first, builder.mul(stride, ir.Constant(width, n))), bytes_.as_pointer()
                ),
                align=1,
            )
            for n in range(FOLD)
        ]
        moved = builder.sub(first, values)
        for n in range(FOLD):
            row = builder.add(moved, builder.mul(stride, ir.Constant(width, n)))
            _fetch(builder, builder.add(ahead, row))
        nowhere = ir.Constant(vector, ir.Undefined)
        fours = _interleaved(builder, rows)
        for at, sums_of_part in zip(weights_at, running, strict=True):
            four = builder.load(builder.gep(at, [step]), align=1)
            first_lane = builder.insert_element(nowhere, four, ir.Constant(word, 0))
            every = builder.shuffle_vector(first_lane, nowhere, ir.Constant(vector, [0] * LANES))
            for sum_, value in zip(sums_of_part, fours, strict=True):
                sum_.add_incoming(ir.Constant(vector, [0] * LANES), before)
                sum_.add_incoming(builder.call(product, [sum_, every, value]), loop)
        following = builder.add(step, ir.Constant(width, 1))
        step.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
        builder.position_at_end(after)
        floats, quarter = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.FloatType(), 4)
        for n, parts in enumerate(zip(*running, strict=True)):
            above, below = (builder.sitofp(sum_.incomings[1][0], floats) for sum_ in parts)
            whole = builder.fadd(builder.fmul(above, ir.Constant(floats, [float(LOW)] * LANES)), below)
            for lane in range(4):
                places = ir.Constant(ir.VectorType(word, 4), [4 * lane + place for place in range(4)])
                part = builder.shuffle_vector(whole, ir.Constant(floats, ir.Undefined), places)
                to = builder.add(out, ir.Constant(width, 4 * (16 * lane + 4 * n)))
                builder.store(part, builder.inttoptr(to, quarter.as_pointer()), align=1)
        return context.get_dummy_value()

    where = types.intp
    return types.void(where, where, where, where, where, where, where), generate


def _interleaved(builder: Any, rows: list[Any]) -> list[Any]:
    """Four rows of 64 bytes → four vectors of words, each of whose lane holds a column: n-th vector, lane l,
    word w is column 16 l + 4 n + w, which is how the processor's unpacking leaves them."""
    _, vector, _ = _vectors()
    halves = ir.VectorType(ir.IntType(16), 2 * LANES)

    def unpacked(first: Any, second: Any, *, is_high: bool) -> Any:
        count = first.type.count
        lane = count // 4
        places = [
            lane_start + (lane // 2 if is_high else 0) + place // 2 + count * (place % 2)
            for lane_start in range(0, count, lane)
            for place in range(lane)
        ]
        return builder.shuffle_vector(
            first, second, ir.Constant(ir.VectorType(ir.IntType(32), count), places)
        )

    pairs = [
        [builder.bitcast(unpacked(*two, is_high=is_high), halves) for two in (rows[:2], rows[2:])]
        for is_high in (False, True)
    ]
    return [
        builder.bitcast(unpacked(*pair, is_high=is_high), vector)
        for pair in pairs
        for is_high in (False, True)
    ]


def _vectors() -> tuple[Any, Any, Any]:
    """LLVM's types: a word, a register of words, one of bytes."""
    word = ir.IntType(32)
    return word, ir.VectorType(word, LANES), ir.VectorType(ir.IntType(8), VECTOR)


def _fetch(builder: Any, address: Any) -> None:
    """Begin to read a line of memory into the second cache, which awaits more lines at once."""
    word, place = ir.IntType(32), ir.IntType(8).as_pointer()
    fetch = builder.module.declare_intrinsic(
        "llvm.prefetch.p0", (), ir.FunctionType(ir.VoidType(), [place, word, word, word])
    )
    read, second, data = 0, 2, 1
    builder.call(
        fetch, [builder.inttoptr(address, place), *(ir.Constant(word, n) for n in (read, second, data))]
    )


def _product(builder: Any) -> Any:
    """The instruction: sums + of each word the four products of unsigned and signed bytes."""
    _, vector, _ = _vectors()
    return builder.module.declare_intrinsic(
        INSTRUCTION, (), ir.FunctionType(vector, [vector, vector, vector])
    )


@compiled_parallel
def attend(qkv: Rows, tokens: Tokens, cache: LayerCache, out: Floats) -> None:
    """`kernels.attend`, of int8 keys and values with heads of a multiple of 64."""
    N, K, Dh = len(tokens.slots), cache.keys.shape[1], cache.keys.shape[3]
    H = out.shape[1] // Dh
    for task in prange(N * H):
        i, h = task // H, task % H
        slot, k, seen = tokens.slots[i], h // (H // K), tokens.positions[i] + 1
        query, y = qkv.values[i, h * Dh : (h + 1) * Dh], out[i, h * Dh : (h + 1) * Dh]
        keys, values = cache.keys[slot, k], cache.values[slot, k]
        key_scales, value_scales = cache.key_scales[slot, k], cache.value_scales[slot, k]
        following = min(task + 1, N * H - 1)
        following_keys = cache.keys[tokens.slots[following // H], following % H // (H // K)]
        rounded, raised = np.empty(Dh, np.int8), np.int32(0)
        largest = ZERO
        for d in range(Dh):
            largest = max(largest, abs(query[d]))
        inverse = MOST / largest if largest > ZERO else ZERO
        for d in range(Dh):
            rounded[d] = np.rint(query[d] * inverse)
        for d in range(Dh):
            raised += np.int32(rounded[d])
        raised *= RAISED
        weights, bits = np.empty(seen, np.float32), np.empty(seen, np.int32)
        query_at, key_at, value_at = rounded.ctypes.data, keys.ctypes.data, values.ctypes.data
        for s in range(seen):
            score = np.int32(0)
            for d in range(0, Dh, VECTOR):
                place = s * Dh + d
                score += dot(query_at + d, key_at + place, value_at + place)
            bits[s] = score - raised
        most = LOWEST
        for s in range(seen):
            weights[s] = np.float32(bits[s]) * key_scales[s] * (largest / MOST)
            most = max(most, weights[s])
        for s in range(seen):
            weights[s] -= most
        exponentials(weights, bits)
        total, largest = ZERO, ZERO
        for s in range(seen):
            total += weights[s]
        for s in range(seen):
            weights[s] *= value_scales[s]
            largest = max(largest, weights[s])
        steps = (seen + FOLD - 1) // FOLD
        high, low = np.zeros(steps * FOLD, np.uint8), np.zeros(steps * FOLD, np.uint8)
        inverse = MOST_WEIGHT / largest if largest > ZERO else ZERO
        for s in range(seen):
            weight = np.int32(weights[s] * inverse + HALF)
            high[s] = weight // LOW
            low[s] = weight % LOW
        for d in range(0, Dh, VECTOR):
            mix(
                high.ctypes.data,
                low.ctypes.data,
                value_at + d,
                Dh,
                steps,
                y.ctypes.data + FLOAT_BYTES * d,
                following_keys.ctypes.data + d,
            )
        scale = largest / (MOST_WEIGHT * total)
        for d in range(Dh):
            y[d] *= scale


@compiled_parallel
def attention(
    qkv: Rows, tokens: Tokens, turning: Turning, cache: LayerCache, out: Rows, is_scaled: bool
) -> None:
    """`kernels.attention` with this `attend`."""
    finish_and_store(qkv, tokens, turning, cache)
    attend(qkv, tokens, cache, out.values)
    out_scale = out.scale
    for i in prange(len(out_scale)):
        out_scale[i] = scaled_row(out.values[i]) if is_scaled else ONE
