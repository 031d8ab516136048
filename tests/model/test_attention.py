"""Against the definition in float64: softmax(q kᵀ / √Dh) v over what a position may see."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from tsuzuri.model.attention import BLOCK, attend, block_attention
from tsuzuri.model.packing import document_mask

CAUSAL = "causal"
MASKS = [CAUSAL, "documents", "one mask for all rows", "any"]


def problem(length: int, *, heads: int = 4, kv_heads: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """q (3, heads, length, 8), k and v (3, kv_heads, length, 8) as projections make them: heads innermost."""
    generator = torch.Generator().manual_seed(length)
    q, k, v = (
        torch.randn(3, length, n, 8, generator=generator).transpose(1, 2) for n in (heads, kv_heads, kv_heads)
    )
    return q, k, v


def mask_of(kind: str, length: int) -> Tensor | None:
    """A mask (3 or 1, 1, length, length) in which every position sees something; None: causal."""
    generator = torch.Generator().manual_seed(length)
    if kind == CAUSAL:
        return None
    if kind == "any":
        return (torch.rand(3, 1, length, length, generator=generator) < 0.1) | torch.eye(length).bool()
    rows = torch.randint(0, 70, (3, length), generator=generator)
    mask = document_mask(rows, 0)
    return mask if kind == "documents" else mask[:1]


def reference(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    length, groups = q.shape[2], q.shape[1] // k.shape[1]
    seen = torch.ones(length, length).tril().bool() if mask is None else mask
    scores = q @ k.repeat_interleave(groups, dim=1).mT / math.sqrt(q.shape[3])
    return scores.masked_fill(~seen, -math.inf).softmax(-1) @ v.repeat_interleave(groups, dim=1)


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("length", [9, BLOCK, 2 * BLOCK + 1, 3 * BLOCK])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_values_and_gradients_are_those_of_the_definition(length: int, kv_heads: int, kind: str) -> None:
    inputs = problem(length, kv_heads=kv_heads)
    mask = mask_of(kind, length)
    ours = [x.clone().requires_grad_() for x in inputs]
    exact = [x.double().requires_grad_() for x in inputs]
    found, expected = attend(*ours, mask), reference(*exact, mask)
    assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    direction = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad(found, ours, direction)
    for mine, other in zip(gradients, torch.autograd.grad(expected, exact, direction.double()), strict=True):
        assert_close(mine.double(), other, rtol=1e-4, atol=1e-5)


def test_long_rows_on_a_cpu_go_by_blocks() -> None:
    """Not by torch's kernel: the two agree to rounding, and not to the bit."""
    q, k, v = problem(3 * BLOCK)
    assert torch.equal(attend(q, k, v, None), block_attention(q, k, v, None))
    assert not torch.equal(
        attend(q, k, v, None), torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    )


@pytest.mark.parametrize("kind", MASKS)
def test_the_blocks_are_an_operator_that_torch_can_compile_and_differentiate(kind: str) -> None:
    length = 2 * BLOCK + 5
    inputs = [x.detach().requires_grad_() for x in problem(length, kv_heads=2)]
    torch.library.opcheck(block_attention, (*inputs, mask_of(kind, length)))


def test_other_documents_are_not_read() -> None:
    """Whatever stands there, not a number included."""
    tokens = torch.ones(3, 3 * BLOCK, dtype=torch.long)
    tokens[:, 2 * BLOCK] = 0
    q, k, v = problem(3 * BLOCK)
    expected = attend(q, k, v, document_mask(tokens, 0))[:, :, 2 * BLOCK :]
    for x in (q, k, v):
        x[:, :, : 2 * BLOCK] = math.nan
    assert torch.equal(attend(q, k, v, document_mask(tokens, 0))[:, :, 2 * BLOCK :], expected)
