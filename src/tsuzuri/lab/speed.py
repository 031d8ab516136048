"""Tokens a second of a training step: the slowest of products, memory and links, and what waits for it.

Products: six operations for each matrix weight and token, and attention's (Chowdhery et al. 2022,
arXiv 2204.02311, appendix B; half of them where the mask is causal and its blocks are skipped), a third more
where blocks are recomputed, at the share of the peak that the device's row gives. Links: a ring moves each
byte once through each device; gradients are reduced in float32, weights gathered in the activations'
precision, forward and backward, for each micro-batch, all of it while products are made. What tensor parallel
sends between two products, and the optimizer, nothing hides.
"""

from __future__ import annotations

from dataclasses import dataclass

from tsuzuri.lab.devices import PCIE_4, peak_of
from tsuzuri.lab.step import Step
from tsuzuri.model.config import ModelConfig

UNCOMPILED = {
    "cuda": (0.20, "GPT-2 163M without compile on an RTX 3090: 12,000 to 20,000 tokens/s (gilesthomas.com)"),
    "cpu": (0.65, "Transformers' model of 15M without compile: 1 / 1.41 of the compiled one"),
}
"""Share of the peak that code which is not compiled reaches, with its source."""


@dataclass(frozen=True)
class Speed:
    """How fast a step is."""

    step_s: float
    tokens_per_s: float
    """Of all devices."""
    mfu: float
    """Share of the peak that the model's own operations make, recomputation not counted."""
    bound: str
    """What takes longest: products, memory or links."""


def flops_per_token(model: ModelConfig, length: int, *, causal: bool = True) -> float:
    """Operations of training a token in rows of `length`."""
    inner = model.num_attention_heads * model.head_dim
    attention = 12 * model.num_hidden_layers * inner * length
    return 6 * model.num_matrix_parameters + (attention / 2 if causal else attention)


def full_speed(model: ModelConfig, length: int, torch_name: str, precision: str) -> float | None:
    """Tokens a second at the peak of the card that torch calls so: MFU is the real speed over it."""
    peak = peak_of(torch_name, precision)
    return peak / flops_per_token(model, length) if peak else None


def predict_speed(step: Step, efficiency: float | None = None) -> Speed:
    """The speed of a step; `efficiency` overrides the share of the peak of the device's row."""
    peak = step.devices * step.device.peaks[step.precision]
    share = efficiency or reachable(step)[0]
    flops = flops_per_token(step.model, step.length, causal=step.graph != "plain") * step.tokens
    products_s = flops * (4 / 3 if step.recompute else 1) / (peak * share)
    times = {"products": products_s, "memory": _weights_s(step), "links": _links_s(step)}
    bound = max(times, key=lambda name: times[name])
    step_s = times[bound] + _shared_s(step) + _update_s(step)
    return Speed(step_s, step.tokens / step_s, flops / (peak * step_s), bound)


def reachable(step: Step) -> tuple[float, str]:
    """The share of the peak that products reach, and where that is from.

    The table's is of the fastest products; slower ones leave what else takes time as it is. What is not
    compiled passes more bytes in a wider precision too, and is given no more for it.
    """
    share, source = step.device.efficiency, step.device.efficiency_source
    if step.graph != "compiled":
        return min((share, source), UNCOMPILED.get(step.device.kind, (share, source)))
    slower = step.device.peaks[step.precision] / max(step.device.peaks.values())
    return 1 / (1 + (1 / share - 1) * slower), source


def _weights_s(step: Step) -> float:
    """Reading weights thrice and adding up gradients, for each micro-batch."""
    parameters = step.model.num_parameters / step.tensor
    a_pass = 3 * step.activation_bytes + 3 * step.recipe.weight_bytes
    return step.micro_batches * a_pass * parameters / step.device.bandwidth


def _update_s(step: Step) -> float:
    """Reading and writing weights and states, and reading gradients, once.

    Offloaded, gradients and weights cross PCIe; the host's own arithmetic is not counted.
    """
    parameters = step.model.num_parameters / step.shards
    size = step.recipe.weight_bytes
    if step.recipe.offload:
        return 2 * size * parameters / PCIE_4
    return (3 * size + 2 * step.recipe.memory.matrices) * parameters / step.device.bandwidth


def _shared_s(step: Step) -> float:
    """Four all-reduces of activations a block and pass pair (Shoeybi et al. 2019, arXiv 1909.08053, §3)."""
    if step.tensor == 1:
        return 0.0
    activations = step.activation_bytes * step.model.hidden_size * step.micro_tokens
    share = 2 * (step.tensor - 1) / step.tensor
    return step.micro_batches * 4 * step.model.num_hidden_layers * share * activations / step.device.link


def _links_s(step: Step) -> float:
    ranks = step.data_ranks
    parameters = step.model.num_parameters / step.tensor
    size = step.activation_bytes
    if step.sharded:
        moved = step.micro_batches * (2 * size + 4) * parameters * (ranks - 1) / ranks
    else:
        moved = 2 * step.recipe.weight_bytes * parameters * (ranks - 1) / ranks
    seconds = 0.0
    if step.device.count > step.tensor:
        seconds += moved / step.device.link
    if step.servers > 1:
        between = moved * (step.servers - 1) / step.servers * step.tensor
        seconds = max(seconds, between / step.device.network)
    return seconds
