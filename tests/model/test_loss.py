from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from tsuzuri.model.config import CHUNK_LOGITS
from tsuzuri.model.loss import (
    IGNORE,
    Gradient,
    cross_entropy_sum,
    fusible_softmax_gradient,
    softmax_gradient,
    token_losses,
)

LIMIT = CHUNK_LOGITS["cpu"]


def problem(rows: int, width: int, vocab_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states (rows, width), a head (vocab_size, width), targets (rows,); the second is ignored."""
    generator = torch.Generator().manual_seed(rows + vocab_size)
    hidden = torch.randn(rows, width, generator=generator).requires_grad_()
    head = torch.randn(vocab_size, width, generator=generator).requires_grad_()
    targets = torch.randint(0, vocab_size, (rows,), generator=generator)
    targets[1] = IGNORE
    return hidden, head, targets


def reference(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(hidden @ head.T, targets, ignore_index=IGNORE, reduction="sum")


@pytest.mark.parametrize(
    ("rows", "vocab_size"),
    [(300, 50), (5000, LIMIT // 2048), (2100, 12_000)],
    ids=["one chunk", "chunks of 2048, the last of 904", "chunks of 699, the last of 3"],
)
@pytest.mark.parametrize("gradient", [softmax_gradient, fusible_softmax_gradient])
def test_value_and_gradients_are_those_of_cross_entropy_on_full_logits(
    gradient: Gradient, rows: int, vocab_size: int
) -> None:
    """The reference is computed in float64; what F.cross_entropy itself loses in float32 is about as much."""
    hidden, head, targets = problem(rows, 3, vocab_size)
    valid = (targets != IGNORE).sum()
    exact = hidden.detach().double().requires_grad_(), head.detach().double().requires_grad_()
    expected = reference(*exact, targets) / valid
    found = cross_entropy_sum(hidden, head, targets, gradient) / valid
    assert_close(found.double(), expected, rtol=1e-6, atol=0)
    gradients = torch.autograd.grad(found, (hidden, head))
    for ours, theirs in zip(gradients, torch.autograd.grad(expected, exact), strict=True):
        assert (ours - theirs).norm() < 1e-5 * theirs.norm()


def test_a_vocabulary_above_the_limit_goes_row_by_row() -> None:
    hidden, head, targets = problem(2, 2, LIMIT + 1)
    with torch.no_grad():
        assert_close(cross_entropy_sum(hidden, head, targets), reference(hidden, head, targets))


def test_the_gradient_is_the_slope_of_the_loss() -> None:
    hidden, head, targets = problem(40, 8, 30)
    loss = cross_entropy_sum(hidden, head, targets)
    slopes = torch.autograd.grad(loss, (hidden, head))
    step = 1e-3
    with torch.no_grad():
        ahead = reference(
            *(x.double() + step * s for x, s in zip((hidden, head), slopes, strict=True)), targets
        )
        behind = reference(
            *(x.double() - step * s for x, s in zip((hidden, head), slopes, strict=True)), targets
        )
    squared_length = sum(s.double().square().sum() for s in slopes)
    assert ((ahead - behind) / (2 * step)).item() == pytest.approx(float(squared_length), rel=1e-3)


def test_bfloat16_states_give_the_loss_and_gradients_of_the_same_numbers_in_float32() -> None:
    hidden, head, targets = problem(200, 32, 500)
    rounded = hidden.detach().bfloat16().requires_grad_()
    exact = rounded.detach().float().requires_grad_()
    found = cross_entropy_sum(rounded, head, targets)
    expected = reference(exact, head.bfloat16().float(), targets)
    assert found.dtype == torch.float32
    assert_close(found, expected, rtol=1e-2, atol=0)
    ours, theirs = torch.autograd.grad(found, (rounded, head)), torch.autograd.grad(expected, (exact, head))
    assert ours[0].dtype == torch.bfloat16
    assert ours[1].dtype == torch.float32
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.float() - other).norm() < 2e-2 * other.norm()


def test_nothing_but_ignored_targets_is_a_loss_of_nought() -> None:
    hidden, head, targets = problem(5, 4, 9)
    loss = cross_entropy_sum(hidden, head, torch.full_like(targets, IGNORE))
    loss.backward()
    assert loss == 0
    assert hidden.grad is not None
    assert not hidden.grad.any()
    assert head.grad is not None
    assert not head.grad.any()


def test_token_losses_are_those_of_each_position_and_sum_to_the_loss() -> None:
    hidden, head, targets = problem(5000, 3, LIMIT // 2048)
    losses = token_losses(hidden, head, targets)
    expected = F.cross_entropy(hidden @ head.T, targets, ignore_index=IGNORE, reduction="none")
    assert_close(losses, expected.detach())
    assert losses[1] == 0
    assert_close(losses.sum(), cross_entropy_sum(hidden, head, targets).detach())


def test_a_second_backward_is_an_error_not_a_wrong_gradient() -> None:
    hidden, head, targets = problem(5, 4, 9)
    loss = cross_entropy_sum(hidden, head, targets)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace"):
        loss.backward()
