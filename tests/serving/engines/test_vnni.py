"""Products and attention of bytes are those of plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tsuzuri.serving.engines.ours import kernels, vnni
from tsuzuri.serving.engines.ours.kernels import Floats, LayerCache, Rows, Tokens, Turning
from tsuzuri.serving.engines.ours.linear import VnniLinear

pytestmark = pytest.mark.skipif(not vnni.is_supported(), reason="this processor has no AVX-512 VNNI")

NOTHING: Floats = np.empty(0, np.float32)
SLOTS, KV_HEADS, HEADS, CAPACITY = 5, 2, 4, 64


def unit(rows: int, width: int) -> torch.Tensor:
    """Rows whose largest number is 1."""
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(rows))
    return x / x.abs().amax(1, keepdim=True)


@pytest.mark.parametrize("shape", [(1, 4), (30, 10), (32, 64), (97, 260)], ids=str)
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 21])
def test_a_product_is_that_of_the_rounded_numbers(rows: int, shape: tuple[int, int]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    x = unit(rows, shape[1])
    scales = weight.double().abs().amax(1, keepdim=True) / 127
    rounded = (weight / scales).round() * scales
    expected = (x.double() * 127 + 0.5).floor() / 127 @ rounded.T
    step = float(weight.abs().max()) / 127  # a half may be rounded either way
    torch.testing.assert_close(VnniLinear(weight)(x).double(), expected, atol=1.01 * step, rtol=1e-5)


def test_a_row_does_not_feel_the_others() -> None:
    linear, x = VnniLinear(unit(100, 128)), unit(19, 128)
    together = linear(x)
    assert all(torch.equal(linear(x[row : row + 1])[0], together[row]) for row in range(19))


@pytest.mark.parametrize("head_dim", [64, 128])
def test_attention_is_that_of_the_portable_kernel(head_dim: int) -> None:
    random = np.random.default_rng(head_dim)
    shape = (SLOTS, KV_HEADS, CAPACITY, head_dim)
    keys, values = (random.integers(-127, 128, shape).astype(np.int8) for _ in range(2))
    key_scales, value_scales = (random.uniform(0.5, 1, shape[:3]).astype(np.float32) / 127 for _ in range(2))
    cache = LayerCache(keys, values, key_scales, value_scales, np.float32(127))
    turning = Turning(
        NOTHING, NOTHING, NOTHING, np.float32(0), *(np.ones((CAPACITY, head_dim // 2), np.float32) / 2,) * 2
    )
    tokens = Tokens(np.arange(SLOTS, dtype=np.int32), np.array([0, 2, 30, 63, 7], np.int32))
    qkv = random.standard_normal((SLOTS, (HEADS + 2 * KV_HEADS) * head_dim)).astype(np.float32)
    qkv[4, : HEADS * head_dim] = 0  # looks at everything alike

    def attended(attention: object) -> Floats:
        out = Rows(np.empty((SLOTS, HEADS * head_dim), np.float32), np.ones(SLOTS, np.float32))
        rows = Rows(qkv.copy(), np.ones(SLOTS, np.float32))
        attention(rows, tokens, turning, cache, out, False)  # type: ignore[operator]
        return out.values

    expected, found = attended(kernels.attention), attended(vnni.attention)
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()
    np.testing.assert_allclose(found[[0, 4]], expected[[0, 4]], rtol=1e-3, atol=1e-4)  # no query is rounded
