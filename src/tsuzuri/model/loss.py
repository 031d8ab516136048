"""Cross-entropy of the next token without ever holding the logits of all positions.

The head's product, its softmax and both of its gradients are computed for a few positions at a time in the
forward pass (as in Liger-Kernel's fused linear cross-entropy for GPUs, Hsu et al. 2024): memory for logits is
`chunk × V` instead of `B·T × V`, and nothing is computed twice. `token_losses` computes the losses alone.
The reference is `F.cross_entropy` on full logits; the tests compare values and gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from tsuzuri.model.config import CHUNK_LOGITS

IGNORE = -100
"""Targets with this value count for nothing (padding)."""

Gradient: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


def softmax_gradient(logits: Tensor, index: Tensor, out: Tensor) -> Tensor:
    """Losses (n,) in float32 of logits (n, V) at index (n, 1); their gradient goes to out (n, V).

    Its cost is passes over (n, V), and pages of fresh memory: it makes three and asks for none where `out`
    is in float32.
    """
    if logits.dtype == torch.float32:
        log_probabilities = torch.log_softmax(logits, dim=-1, out=out)
    else:
        log_probabilities = torch.log_softmax(logits.float(), dim=-1)
    losses = -log_probabilities.gather(1, index)[:, 0]
    gradient = log_probabilities.exp_()
    gradient.scatter_add_(1, index, torch.full_like(index, -1, dtype=torch.float32))
    if gradient is not out:
        out.copy_(gradient)
    return losses


def fusible_softmax_gradient(logits: Tensor, index: Tensor, out: Tensor) -> Tensor:
    """The same for a compiler: nothing is scattered, so all becomes two passes over the logits."""
    scores = logits.float()
    log_sum = scores.logsumexp(-1, keepdim=True)
    is_target = torch.arange(logits.shape[1], device=logits.device) == index
    out.copy_((scores - log_sum).exp() - is_target.float())
    return (log_sum - scores.gather(1, index))[:, 0]


def cross_entropy_sum(
    hidden: Tensor, head: Tensor, targets: Tensor, gradient: Gradient = softmax_gradient
) -> Tensor:
    """The summed negative log-likelihood (nats, float32) of targets (N,) under hidden (N, D) × head (V, D)ᵀ.

    For a mean, divide by the count of valid targets: it is global, over all micro-batches and ranks, so the
    caller knows it. `gradient` is `softmax_gradient` or the compiled form of the fusible one.
    """
    return _CrossEntropySum.apply(hidden, head, targets, gradient)  # type: ignore[no-any-return, no-untyped-call]


def token_losses(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood (nats, float32) of each target (N,), 0 where it is IGNORE. No gradient."""
    with torch.no_grad():
        losses = torch.empty(targets.shape[0], dtype=torch.float32, device=hidden.device)
        weight = head.to(hidden.dtype)
        for start, end in _chunks(hidden, head):
            logits = (hidden[start:end] @ weight.T).float()
            losses[start:end] = torch.nn.functional.cross_entropy(
                logits, targets[start:end], reduction="none"
            )
        return losses


def _chunks(hidden: Tensor, head: Tensor) -> list[tuple[int, int]]:
    rows = hidden.shape[0]
    size = max(1, min(rows, CHUNK_LOGITS.get(hidden.device.type, CHUNK_LOGITS["cuda"]) // head.shape[0]))
    return [(start, min(start + size, rows)) for start in range(0, rows, size)]


def loss_and_gradients(
    hidden: Tensor, head: Tensor, targets: Tensor, gradient: Gradient = softmax_gradient
) -> tuple[Tensor, Tensor, Tensor]:
    """`cross_entropy_sum` with its gradients: those of hidden, in its dtype, and of head, in float32."""
    weight = head.detach().to(hidden.dtype)
    valid = targets != IGNORE
    hidden = hidden.detach() * valid[:, None]  # the others add nothing to the head's gradient
    d_hidden = torch.empty_like(hidden)
    d_head = torch.zeros_like(head, dtype=torch.float32)
    total = torch.zeros((), dtype=torch.float32, device=hidden.device)
    chunks = _chunks(hidden, head)
    scratch = hidden.new_empty(chunks[0][1], head.shape[0])  # fresh memory for each would cost 5 %
    gradients = torch.empty_like(scratch)
    for start, end in chunks:
        logits, d_logits = scratch[: end - start], gradients[: end - start]
        torch.mm(hidden[start:end], weight.T, out=logits)
        index = targets[start:end].clamp(min=0)[:, None]
        total += gradient(logits, index, d_logits) @ valid[start:end].float()
        torch.mm(d_logits, weight, out=d_hidden[start:end])
        if d_logits.dtype == d_head.dtype:
            d_head.addmm_(d_logits.T, hidden[start:end])
        else:
            d_head += d_logits.T @ hidden[start:end]
    return total, d_hidden.mul_(valid[:, None]), d_head


class _CrossEntropySum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, gradient: Gradient) -> Tensor:
        total, d_hidden, d_head = loss_and_gradients(hidden, head, targets, gradient)
        ctx.save_for_backward(d_hidden, d_head)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        d_hidden, d_head = ctx.saved_tensors
        (scale,) = grad_outputs
        return d_hidden * scale.to(d_hidden.dtype), d_head.mul_(scale), None, None
