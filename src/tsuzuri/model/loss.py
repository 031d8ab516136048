"""Cross-entropy of the next token without ever holding the logits of all positions.

The head's product, its softmax and both of its gradients are computed for a few positions at a time in the forward
pass (as Liger-Kernel's fused linear cross-entropy, Hsu et al. 2024, does it on GPUs): memory for logits is
`chunk × V` instead of `B·T × V`, and nothing is computed twice. Where the hidden states need no gradient, only the losses are
computed. The reference is `F.cross_entropy` on full logits; the tests compare values and gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

IGNORE = -100
"""Targets with this value count for nothing (padding)."""

CHUNK_LOGITS = 8_388_608
"""Logits held at once: 32 MiB in float32."""


def cross_entropy_sum(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """The summed negative log-likelihood (nats, float32 scalar) of `targets` (N,) under hidden (N, D) × head (V, D)ᵀ.

    Divide by the count of valid targets for a mean: that count is global, over all micro-batches and ranks, so it is
    the caller's to know.
    """
    return _CrossEntropySum.apply(hidden, head, targets)  # type: ignore[no-any-return, no-untyped-call]


def token_losses(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood (nats, float32) of each target (N,); 0 where the target is IGNORE. No gradient."""
    with torch.no_grad():
        losses = torch.empty(targets.shape[0], dtype=torch.float32, device=hidden.device)
        weight = head.to(hidden.dtype)
        for start, end in _chunks(hidden.shape[0], head.shape[0]):
            logits = (hidden[start:end] @ weight.T).float()
            losses[start:end] = torch.nn.functional.cross_entropy(logits, targets[start:end], reduction="none")
        return losses


def _chunks(rows: int, vocab_size: int) -> list[tuple[int, int]]:
    size = max(1, min(rows, CHUNK_LOGITS // vocab_size))
    return [(start, min(start + size, rows)) for start in range(0, rows, size)]


class _CrossEntropySum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        need_hidden, need_head = hidden.requires_grad, head.requires_grad
        weight = head.detach().to(hidden.dtype)
        hidden = hidden.detach()
        d_hidden = torch.empty_like(hidden) if need_hidden else None
        d_head = torch.zeros_like(head, dtype=torch.float32) if need_head else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start, end in _chunks(hidden.shape[0], head.shape[0]):
            total += _chunk(hidden[start:end], weight, targets[start:end], d_hidden, d_head, start)
        ctx.save_for_backward(*(x for x in (d_hidden, d_head) if x is not None))
        ctx.needed = (need_hidden, need_head)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        d_hidden, d_head = (next(saved) if needed else None for needed in ctx.needed)
        (scale,) = grad_outputs
        return (
            None if d_hidden is None else d_hidden * scale.to(d_hidden.dtype),
            None if d_head is None else d_head.mul_(scale),
            None,
        )


def _chunk(
    hidden: Tensor, weight: Tensor, targets: Tensor, d_hidden: Tensor | None, d_head: Tensor | None, start: int
) -> Tensor:
    """The summed loss of a few positions; adds their gradients into d_hidden[start:…] and d_head."""
    valid = targets != IGNORE
    index = targets.clamp(min=0)[:, None]
    log_probabilities = torch.log_softmax((hidden @ weight.T).float(), dim=-1)  # (n, V)
    loss = -(log_probabilities.gather(1, index)[:, 0] * valid).sum()
    if d_hidden is None and d_head is None:
        return loss
    d_logits = log_probabilities.exp_()  # softmax − one-hot, the gradient of the summed loss
    d_logits.scatter_add_(1, index, torch.full_like(index, -1, dtype=d_logits.dtype))
    d_logits = (d_logits * valid[:, None]).to(hidden.dtype)
    if d_hidden is not None:
        torch.mm(d_logits, weight, out=d_hidden[start : start + len(targets)])
    if d_head is not None:
        if d_logits.dtype == d_head.dtype:
            d_head.addmm_(d_logits.T, hidden)
        else:
            d_head += d_logits.T @ hidden
    return loss
