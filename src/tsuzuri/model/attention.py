"""Softmax attention, by the fastest exact way that a device has.

- CPU, float32, more positions than two blocks and none cached before them: `block_attention`, products of
  blocks of queries with the keys between the first and the last one that any of them may see. It is somewhat
  faster than torch's own kernel, which reaches a third of the matrix-product rate, and skips other documents.
- CUDA with a `BlockMask`: flex_attention. torch.nn.attention.varlen, which asks for the borders of documents
  instead, is not taken (torch 2.13): how many there are would be a number to wait for, or a bound to fill up,
  and it knows neither float32 nor, for the gradient, a CPU, where the tests run.
- All else, TPUs included: torch's scaled_dot_product_attention.

Shapes: B rows, H query heads, K key-value heads, T positions of queries, S of keys, Dh head_dim.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, flex_attention

Mask: TypeAlias = Tensor | BlockMask | None
"""None: causal. Tensor: (B or 1, 1, T, S) bool, true where one may look. BlockMask: for CUDA, sparse."""

FLEX_LEAST_HEAD_DIM = 16
"""Of fewer numbers a head compiled flex_attention makes nothing."""
BLOCK = 128
"""Queries that `block_attention` takes together: fewer skip more keys, more make faster products."""


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """q (B, H, T, Dh), k and v (B, K, S, Dh) → (B, H, T, Dh)."""
    grouped = q.shape[1] != k.shape[1]
    if isinstance(mask, BlockMask):
        out = flex_attention(q, k, v, block_mask=mask, enable_gqa=grouped)
        assert isinstance(out, Tensor)
        return out
    if q.device.type == "cpu" and q.dtype == torch.float32 and q.shape[2] == k.shape[2] > 2 * BLOCK:
        return block_attention(q, k, v, mask)  # type: ignore[no-any-return]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=grouped)


@torch.library.custom_op("tsuzuri::block_attention", mutates_args=())
def block_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """`attend` where T = S. Nothing of size T² is kept: the gradient computes a block's weights once more."""
    out = torch.empty_like(q)
    for block in _blocks(q, k, v, mask):
        block.of_queries(out).copy_(block.ungroup(torch.bmm(block.weights(), block.v)))
    return out


@torch.library.custom_op("tsuzuri::block_attention_gradient", mutates_args=())
def block_attention_gradient(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, out: Tensor, d_out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v (Dao et al. 2022, arXiv 2205.14135, appendix B.2)."""
    d_q, d_k, d_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
    for block in _blocks(q, k, v, mask):
        weights = block.weights()
        d_y, y = (block.group(block.of_queries(x)) for x in (d_out, out))
        d_scores = torch.bmm(d_y, block.v.mT)
        d_scores.sub_((d_y * y).sum(-1, keepdim=True)).mul_(weights)
        block.of_queries(d_q).copy_(block.ungroup(torch.bmm(d_scores, block.k).mul_(block.scale)))
        block.of_keys(d_k).add_(torch.bmm(d_scores.mT, block.q))  # these queries are scaled
        block.of_keys(d_v).add_(torch.bmm(weights.mT, d_y))
    return d_q, d_k, d_v


@block_attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    return torch.empty_like(q)


@block_attention_gradient.register_fake
def _(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, out: Tensor, d_out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor | None], output: Tensor) -> None:
    ctx.save_for_backward(*inputs, output)


def _backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
    return *block_attention_gradient(*ctx.saved_tensors, d_out), None


block_attention.register_autograd(_backward, setup_context=_save)


class _Block:
    """n queries of one row and all m keys that any of them may see.

    The H / K heads that share a key are rows of one product: q is (K, n · H / K, Dh), k and v (K, m, Dh).
    """

    def __init__(
        self, row: int, queries: slice, keys: slice, q: Tensor, k: Tensor, v: Tensor, bias: Tensor
    ) -> None:
        self.row, self.queries, self.keys, self.bias = row, queries, keys, bias
        self.kv_heads, self.scale = k.shape[1], q.shape[3] ** -0.5
        self.q = self.group(self.of_queries(q)) * self.scale
        self.k, self.v = self.of_keys(k), self.of_keys(v)

    def weights(self) -> Tensor:
        """(K, n · H / K, m): softmax over the keys."""
        scores = torch.bmm(self.q, self.k.mT)
        n, biased = self.bias.shape  # the keys before the last `biased` ones are open to all queries
        scores.view(self.kv_heads, -1, n, scores.shape[2])[..., -biased:].add_(self.bias)
        return torch.softmax(scores, dim=-1)

    def of_queries(self, x: Tensor) -> Tensor:
        """Of x (B, H, T, Dh), a view (H, n, Dh)."""
        return x[self.row, :, self.queries]

    def of_keys(self, x: Tensor) -> Tensor:
        """Of x (B, K, S, Dh), a view (K, m, Dh)."""
        return x[self.row, :, self.keys]

    def group(self, x: Tensor) -> Tensor:
        """(H, n, Dh) → (K, n · H / K, Dh)."""
        return x.reshape(self.kv_heads, -1, x.shape[2])

    def ungroup(self, x: Tensor) -> Tensor:
        """(K, n · H / K, Dh) → (H, n, Dh)."""
        return x.reshape(-1, len(self.bias), x.shape[2])


def _blocks(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Iterator[_Block]:
    """All the work, row by row."""
    rows, _, length, _ = q.shape
    for start in range(0, length, BLOCK):
        queries = slice(start, min(start + BLOCK, length))
        n = queries.stop - start
        if mask is None:
            bias = torch.full((n, n), -torch.inf).triu_(1)
            for row in range(rows):
                yield _Block(row, queries, slice(0, queries.stop), q, k, v, bias)
            continue
        for row in range(rows):
            may_look = mask[row % len(mask), 0, queries]
            seen = may_look.any(dim=0).nonzero()
            keys = slice(int(seen[0]), int(seen[-1]) + 1)
            bias = torch.zeros(n, keys.stop - keys.start).masked_fill_(~may_look[:, keys], -torch.inf)
            yield _Block(row, queries, keys, q, k, v, bias)
