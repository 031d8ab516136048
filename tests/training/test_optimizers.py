from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import runs
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.training.config import OptimizerConfig
from tsuzuri.training.optimizers import Muon, build_optimizers, orthogonalize, state_tensors

CLASSIC = ModelConfig.model_validate(
    {**runs.MODEL.as_mapping(), "model_type": "gpt2", "num_key_value_heads": 2, "tie_word_embeddings": False}
)


def normal(*shape: int, seed: int = 1) -> Tensor:
    """Numbers of a normal distribution."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 24, 80), (1, 80, 24), (2, 1, 16)])
def test_orthogonalize_brings_singular_values_near_one(shape: tuple[int, ...]) -> None:
    found = torch.linalg.svdvals(orthogonalize(normal(*shape)))
    assert found.max() < 1.3
    assert found.median() > 0.65
    if shape[-2] != shape[-1]:  # a square random matrix has values near nought, which stay small
        assert found.min() > 0.5


@pytest.mark.parametrize("shape", [(24, 80), (80, 24)])
def test_orthogonalize_keeps_the_singular_vectors(shape: tuple[int, int]) -> None:
    u, _, vh = torch.linalg.svd(normal(*shape), full_matrices=False)
    inner = u.T @ orthogonalize(normal(1, *shape))[0] @ vh.T
    assert torch.allclose(inner, inner.diag().diag(), atol=1e-4)


@pytest.mark.parametrize("shape", [(24, 80), (80, 24), (32, 32)])
def test_muons_update_has_the_root_mean_square_of_adamw(shape: tuple[int, int]) -> None:
    weight = nn.Parameter(torch.zeros(shape))
    weight.grad = normal(*shape)
    Muon([weight], lr=1.0, momentum=0.95, weight_decay=0.0, dtype=torch.float32).step()
    assert 0.2 * 0.65 < weight.detach().square().mean().sqrt().item() < 0.2 * 1.3  # its singular values


def plain_muon(weights: list[Tensor], gradients: list[list[Tensor]], lr: float, decay: float) -> list[Tensor]:
    """Muon as published, one matrix at a time."""
    results = []
    for index, start in enumerate(weights):
        weight, momentum = start.clone(), torch.zeros_like(start)
        for step in gradients:
            momentum = 0.95 * momentum + 0.05 * step[index]
            x = 0.05 * step[index] + 0.95 * momentum
            tall = x.shape[0] > x.shape[1]
            x = x.T if tall else x
            x = x / (x.norm() + 1e-7)
            for _ in range(5):
                a = x @ x.T
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
            x = x.T if tall else x
            weight = weight * (1 - lr * decay) - lr * 0.2 * max(weight.shape) ** 0.5 * x
        results.append(weight)
    return results


SHAPES = ((8, 12), (12, 8), (8, 12), (10, 10))


def gradients() -> list[list[Tensor]]:
    """Three steps' gradients of matrices of SHAPES."""
    return [[normal(*shape, seed=10 * step + i) for i, shape in enumerate(SHAPES)] for step in range(3)]


def stepped(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter]) -> list[Tensor]:
    """The weights after a step with each of the gradients."""
    for step in gradients():
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
    return [weight.detach() for weight in weights]


def test_muon_is_the_published_one() -> None:
    weights = [nn.Parameter(normal(*shape, seed=100 + i)) for i, shape in enumerate(SHAPES)]
    expected = plain_muon([weight.detach() for weight in weights], gradients(), 0.02, 0.1)
    muon = Muon(weights, lr=0.02, momentum=0.95, weight_decay=0.1, dtype=torch.float32)
    for found, wanted in zip(stepped(muon, weights), expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-6)


def test_muon_in_bfloat16_comes_near_torchs_own() -> None:
    ours = [nn.Parameter(normal(*shape, seed=100 + i)) for i, shape in enumerate(SHAPES)]
    theirs = [nn.Parameter(weight.detach().clone()) for weight in ours]
    muon = Muon(ours, lr=0.02, momentum=0.95, weight_decay=0.1, dtype=torch.bfloat16)
    peer = torch.optim.Muon(theirs, lr=0.02, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for found, wanted in zip(stepped(muon, ours), stepped(peer, theirs), strict=True):
        assert torch.allclose(found, wanted, atol=3e-4)


def test_a_matrix_without_a_gradient_is_left_alone() -> None:
    weights = [nn.Parameter(normal(4, 4, seed=i)) for i in range(2)]
    weights[0].grad = normal(4, 4)
    before = weights[1].detach().clone()
    Muon(weights, lr=0.1, momentum=0.9, weight_decay=0.5, dtype=torch.float32).step()
    assert torch.equal(weights[1], before)


@pytest.mark.parametrize("shape", [runs.MODEL, CLASSIC])
@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_only_the_matrices_of_the_blocks_decay(kind: str, shape: ModelConfig) -> None:
    model = GPT(shape)
    names = {parameter: name for name, parameter in model.named_parameters()}
    optimizers = build_optimizers(model, OptimizerConfig.model_validate({"kind": kind}), torch.float32)
    groups = [(optimizer, group) for optimizer in optimizers for group in optimizer.param_groups]
    decayed = {names[p] for _, group in groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {name for name in names.values() if "proj.weight" in name}
    assert sorted(names[p] for _, group in groups for p in group["params"]) == sorted(names.values())
    turned = {names[p] for optimizer, group in groups if isinstance(optimizer, Muon) for p in group["params"]}
    assert turned == (decayed if kind == "muon" else set())


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_the_state_is_all_that_the_next_step_depends_on(kind: str) -> None:
    config = OptimizerConfig.model_validate({"kind": kind})

    def made(seed: int) -> tuple[GPT, list[torch.optim.Optimizer], dict[str, Tensor]]:
        model = GPT(runs.MODEL, torch.Generator().manual_seed(seed))
        optimizers = build_optimizers(model, config, torch.float32)
        return model, optimizers, state_tensors(model, optimizers)

    def step(model: GPT, optimizers: list[torch.optim.Optimizer], seed: int) -> None:
        for place, parameter in enumerate(model.parameters()):
            parameter.grad = normal(*parameter.shape, seed=seed + place)
        for optimizer in optimizers:
            optimizer.step()

    model, optimizers, state = made(1)
    step(model, optimizers, 100)
    other, other_optimizers, other_state = made(2)
    assert state.keys() == other_state.keys()
    for name, tensor in state.items():
        other_state[name].copy_(tensor)
    step(model, optimizers, 200)
    step(other, other_optimizers, 200)
    assert all(torch.equal(tensor, other_state[name]) for name, tensor in state.items())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert any("momentum" in name for name in state) == (kind == "muon")
