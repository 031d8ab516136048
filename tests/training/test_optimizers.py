"""Every kind of optimizer: against a plain or torch's own one, its states, and what it refuses."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

import runs
from tsuzuri.model.config import ModelConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.training.config import OptimizerConfig
from tsuzuri.training.memory import OPTIMIZERS
from tsuzuri.training.optimizers import build_optimizers, state_tensors
from tsuzuri.training.optimizers.eight_bits import EightBits, dynamic_values
from tsuzuri.training.optimizers.elementwise import AdamW
from tsuzuri.training.optimizers.muon import Muon, orthogonalize
from tsuzuri.training.optimizers.rounding import Rounding, write

CLASSIC = ModelConfig.model_validate(
    {**runs.MODEL.as_mapping(), "model_type": "gpt2", "num_key_value_heads": 2, "tie_word_embeddings": False}
)
KINDS = get_args(OptimizerConfig.model_fields["kind"].annotation)
SHAPES = ((8, 12), (12, 8), (8, 12), (10, 10), (6, 600), (5,))


def normal(*shape: int, seed: int = 1) -> Tensor:
    """Numbers of a normal distribution."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def config(kind: str, **values: object) -> OptimizerConfig:
    """The configuration of a kind."""
    return OptimizerConfig.model_validate({"kind": kind, **values})


def built(parameters: dict[str, Tensor], chosen: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """The optimizers of parameters, Muon in float32."""
    return build_optimizers(parameters, chosen, torch.float32, Rounding(1, parameters.values()))


def weights(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Parameters of all SHAPES, as matrices and vectors of blocks."""
    each = (normal(*shape, seed=100 + place).to(dtype) for place, shape in enumerate(SHAPES))
    return {f"layers.{place}.weight": nn.Parameter(weight) for place, weight in enumerate(each)}


def steps(parameters: dict[str, Tensor], optimizers: list[torch.optim.Optimizer]) -> None:
    """Three steps with made-up gradients of growing size."""
    for step in range(3):
        for place, parameter in enumerate(parameters.values()):
            parameter.grad = normal(*parameter.shape, seed=10 * step + place).to(parameter.dtype) * 10**step
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize(
    ("kind", "decay"),
    [("adamw", 0.0), ("adamw", 0.1), ("adafactor", 0.0), ("adafactor", 0.1), ("adagrad", 0.0)],
)
def test_a_kind_is_torchs_own(kind: str, decay: float) -> None:
    ours, theirs = weights(), weights()
    chosen = config(kind, learning_rate=0.02, weight_decay=decay, beta1=0.8, beta2=0.9)
    optimizers = built(ours, chosen)
    for group in optimizers[0].param_groups:  # torch's decay vectors too
        group["weight_decay"] = decay
    steps(ours, optimizers)
    of = list(theirs.values())
    peer: torch.optim.Optimizer
    if kind == "adamw":
        peer = torch.optim.AdamW(of, lr=0.02, betas=(0.8, 0.9), eps=1e-8, weight_decay=decay, foreach=False)
    elif kind == "adagrad":
        peer = torch.optim.Adagrad(of, lr=0.02, eps=1e-8)
    else:
        peer = torch.optim.Adafactor(of, lr=0.02, weight_decay=decay)
    steps(theirs, [peer])
    for name, weight in ours.items():
        assert torch.allclose(weight, theirs[name], atol=2e-6), name


def test_adamw_in_pieces_is_the_fused_one() -> None:
    ours, theirs = weights(), weights()
    groups = [{"params": list(ours.values()), "weight_decay": 0.1}]
    betas, rounding = (0.9, 0.95), Rounding(1, ours.values())
    own = AdamW(groups, lr=0.01, betas=betas, epsilon=1e-8, moments="float32", rounding=rounding)
    peer = torch.optim.AdamW(list(theirs.values()), lr=0.01, betas=betas, weight_decay=0.1, fused=True)
    steps(ours, [own])
    steps(theirs, [peer])
    for name, weight in ours.items():
        assert torch.allclose(weight, theirs[name], atol=2e-6), name


@pytest.mark.parametrize(("kind", "tolerance"), [("adamw-bf16-states", 0.02), ("adamw-8bit", 0.1)])
def test_compact_moments_come_near_those_in_float32(kind: str, tolerance: float) -> None:
    """The bounds are of the whole way that a weight went, in its root mean square."""
    start, ours, exact = weights(), weights(), weights()
    steps(ours, built(ours, config(kind)))
    steps(exact, built(exact, config("adamw")))
    for name, weight in ours.items():
        way = exact[name] - start[name]
        assert 0 < (weight - exact[name]).norm() <= tolerance * way.norm() or weight.dim() == 1, name


@pytest.mark.parametrize("signed", [True, False])
def test_the_nearest_code_is_found(signed: bool) -> None:
    bits, numbers = EightBits(torch.device("cpu"), signed=signed), normal(64, 700)
    numbers = numbers if signed else numbers.square()
    codes, scales = bits.stored(numbers)
    assert scales.shape == (64, 3)
    read = bits.read(codes, scales)
    scale = scales.repeat_interleave(256, 1)[:, :700]
    nearest = (numbers / scale)[..., None].sub(bits.values).abs().amin(-1)
    assert ((read - numbers) / scale).abs().sub(nearest).max() < 2**-11  # half a place of float16
    assert bits.values[bits.zero] == 0


def test_eight_bits_are_torchaos() -> None:
    subclass = pytest.importorskip("torchao.optim.subclass_8bit", reason="torchao is not installed")
    for signed in (True, False):
        qmap = subclass.get_qmap_signed() if signed else subclass.get_qmap_unsigned()
        assert torch.equal(dynamic_values(signed=signed), torch.tensor(qmap))
    ours = {"layers.0.weight": nn.Parameter(normal(8, 1024))}
    steps(ours, built(ours, config("adamw-8bit", learning_rate=0.01)))
    theirs = nn.Parameter(normal(8, 1024))
    mean = subclass.OptimState8bit.zeros((8, 1024), True)
    square = subclass.OptimState8bit.zeros((8, 1024), False)
    with torch.no_grad():
        for step in range(3):  # what torchao.optim.AdamW8bit computes, without the compiler that it needs
            gradient = normal(8, 1024, seed=10 * step) * 10**step
            first = mean.dequantize().lerp(gradient, 0.1)
            second = square.dequantize().lerp(gradient.square(), 0.05)
            mean.copy_(first)
            square.copy_(second)
            root = (second / (1 - 0.95 ** (step + 1))).sqrt() + 1e-8
            theirs.mul_(1 - 0.01 * 0.1).sub_(0.01 * first / (1 - 0.9 ** (step + 1)) / root)
    apart = (ours["layers.0.weight"] - theirs).abs()
    assert apart.mean() < 1e-5
    assert apart.max() < 3e-3


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


MATRICES = SHAPES[:4]


def gradients() -> list[list[Tensor]]:
    """Three steps' gradients of MATRICES."""
    return [[normal(*shape, seed=10 * step + i) for i, shape in enumerate(MATRICES)] for step in range(3)]


def stepped(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter]) -> list[Tensor]:
    """The weights after a step with each of the gradients."""
    for step in gradients():
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
    return [weight.detach() for weight in weights]


def test_muon_is_the_published_one() -> None:
    weights = [nn.Parameter(normal(*shape, seed=100 + i)) for i, shape in enumerate(MATRICES)]
    expected = plain_muon([weight.detach() for weight in weights], gradients(), 0.02, 0.1)
    muon = Muon(weights, lr=0.02, momentum=0.95, weight_decay=0.1, dtype=torch.float32)
    for found, wanted in zip(stepped(muon, weights), expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-6)


def test_muon_in_bfloat16_comes_near_torchs_own() -> None:
    ours = [nn.Parameter(normal(*shape, seed=100 + i)) for i, shape in enumerate(MATRICES)]
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
@pytest.mark.parametrize("kind", KINDS)
def test_only_the_matrices_of_the_blocks_decay(kind: str, shape: ModelConfig) -> None:
    parameters = dict(GPT(shape).named_parameters())
    names = {parameter: name for name, parameter in parameters.items()}
    optimizers = built(parameters, config(kind))
    groups = [(optimizer, group) for optimizer in optimizers for group in optimizer.param_groups]
    decayed = {names[p] for _, group in groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {name for name in names.values() if "proj.weight" in name}
    assert sorted(names[p] for _, group in groups for p in group["params"]) == sorted(names.values())
    turned = {names[p] for optimizer, group in groups if isinstance(optimizer, Muon) for p in group["params"]}
    assert turned == (decayed if kind == "muon" else set())


@pytest.mark.parametrize("kind", KINDS)
def test_the_states_take_the_bytes_that_are_declared(kind: str) -> None:
    shape = runs.MODEL.model_copy(
        update={"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "head_dim": 64}
    )
    parameters = dict(GPT(shape).named_parameters())
    states = state_tensors(parameters, built(parameters, config(kind)))
    row = OPTIMIZERS[kind]
    for name, parameter in parameters.items():
        own = [state for key, state in states.items() if key.startswith(f"optimizer.{name}.")]
        if parameter.dim() == 1:
            continue  # norms: nothing beside the matrices
        found = sum(state.numel() * state.element_size() for state in own if state.dim()) / parameter.numel()
        declared = row.matrices if ".layers." in f".{name}" else row.others
        if row.factored:
            declared = 4 * sum(parameter.shape) / parameter.numel()
        assert found == pytest.approx(declared, rel=1e-6), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_state_is_all_that_the_next_step_depends_on(kind: str, dtype: torch.dtype) -> None:
    chosen = config(kind)

    def made(seed: int) -> tuple[dict[str, Tensor], list[torch.optim.Optimizer], dict[str, Tensor]]:
        model = GPT(runs.MODEL, torch.Generator().manual_seed(seed)).to(dtype)
        parameters = dict(model.named_parameters())
        optimizers = built(parameters, chosen)
        return parameters, optimizers, state_tensors(parameters, optimizers)

    one, optimizers, state = made(1)
    steps(one, optimizers)
    other, other_optimizers, other_state = made(2)
    assert state.keys() == other_state.keys()
    for name, tensor in state.items():
        other_state[name].copy_(tensor)
    steps(one, optimizers)
    steps(other, other_optimizers)
    assert all(torch.equal(tensor, other_state[name]) for name, tensor in state.items())
    assert any("momentum" in name for name in state) == (kind == "muon")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_changes_nothing(kind: str, dtype: torch.dtype, bad: float) -> None:
    parameters = weights(dtype)
    optimizers = built(parameters, config(kind))
    steps(parameters, optimizers)
    before = {name: tensor.clone() for name, tensor in state_tensors(parameters, optimizers).items()}
    for found_inf in (1.0, 0.0):
        for parameter in parameters.values():
            parameter.grad = normal(*parameter.shape, seed=7).to(dtype)
            parameter.grad.view(-1)[3] = bad if found_inf else 0.5
        for optimizer in optimizers:
            optimizer.found_inf = torch.tensor(found_inf)  # type: ignore[attr-defined]
            optimizer.step()
        after = state_tensors(parameters, optimizers)
        assert all(torch.isfinite(tensor).all() for tensor in after.values())
        same = {name for name, tensor in after.items() if torch.equal(tensor, before[name])}
        assert same == after.keys() if found_inf else not any(name.startswith("model.") for name in same)


def test_muon_in_chunks_is_muon_at_once() -> None:
    shape = (1024, 4096)  # 2²² elements: four of them are a chunk
    one, other = [[nn.Parameter(normal(*shape, seed=place)) for place in range(5)] for _ in range(2)]
    for parameters in (one, other):
        for place, parameter in enumerate(parameters):
            parameter.grad = normal(*shape, seed=10 + place)
    Muon(one, lr=0.1, momentum=0.9, weight_decay=0.1, dtype=torch.float32).step()
    for parameter in other:  # each by itself
        Muon([parameter], lr=0.1, momentum=0.9, weight_decay=0.1, dtype=torch.float32).step()
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_rounding_keeps_the_mean_and_goes_to_a_neighbour() -> None:
    value = torch.full((200_000,), 1 + 0.3 * 2**-7)  # between 1 and the next bfloat16
    weight = nn.Parameter(torch.zeros(200_000, dtype=torch.bfloat16))
    rounding = Rounding(1, [weight])
    generator = rounding.generator(weight)
    with torch.no_grad():
        write(weight, value, generator)
        write(weight, -value, generator)
    assert set(weight.tolist()) == {-1.0, -1 - 2**-7}
    assert weight.detach().float().mean().item() == pytest.approx(-(1 + 0.3 * 2**-7), abs=4e-5)


def test_the_noise_is_a_function_of_seed_update_and_parameter() -> None:
    parameters = [nn.Parameter(torch.zeros(64, dtype=torch.bfloat16)) for _ in range(2)]

    def noise(seed: int, updates: int, number: int) -> tuple[int, ...]:
        rounding = Rounding(seed, parameters)
        rounding.updates.fill_(updates)
        generator = rounding.generator(parameters[number])
        return tuple(torch.randint(2**16, (64,), generator=generator).tolist())

    assert noise(1, 5, 0) == noise(1, 5, 0)
    assert len({noise(*words) for words in ((1, 5, 0), (2, 5, 0), (1, 6, 0), (1, 5, 1))}) == 4


def test_exact_weights_are_not_rounded() -> None:
    weight = nn.Parameter(normal(1000).to(torch.bfloat16))
    before = weight.detach().clone()
    with torch.no_grad():
        write(weight, before.float(), Rounding(1, [weight]).generator(weight))
    assert torch.equal(weight, before)
