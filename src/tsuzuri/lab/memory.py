"""Memory of a training step by part, at the moment when it is largest.

Bytes of activations are counted from our own model's code: what autograd keeps for the backward pass, and in
the compiled graph what the minimal cut of torch.compile keeps: the residual stream, the inputs and outputs of
products, and the weights as they were cast. Tests compare both with autograd itself, on a CPU; what an H100
held without compilation was 6 to 10 % more (`bench/memory.py`). The plain graph adds what attention without a
fused kernel keeps (Korthikanti et al. 2022, arXiv 2205.05198, §4.1) and the steps of GELU's formula. Of TPUs
nothing is known that would spare attention's scores: they are counted as libtpu's compiler holds them.

Sharding is that of FSDP2: a block's weights are gathered while it is computed, with those of the next one.
Devices that share tensors are taken to share the sequence of the activations too, and those that share Muon's
matrices its work.
"""

from __future__ import annotations

from dataclasses import dataclass

from tsuzuri.lab.devices import GIB
from tsuzuri.lab.step import Graph, Step
from tsuzuri.model.config import CHUNK_LOGITS, ModelConfig
from tsuzuri.training.memory import CHUNK, PIECE

FLOAT32 = 4
SCORES = 3
"""Numbers for each head and pair of positions that a TPU holds in a block's backward pass, and as many that
it keeps where the block is not recomputed: of 125M and 2.7B, compiled for v3 and v5e by libtpu 0.0.52."""
NOT_IN_STEPS = ("framework", "checkpoint copy")
"""Parts that a process holds before its first step, or from its first checkpoint on."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device by part, when most is held."""

    moment: str
    parts: dict[str, float]
    host_bytes: float = 0.0
    """In the host's memory, for all devices of a server: masters of what is offloaded, and what a checkpoint
    is written from."""

    @property
    def total(self) -> float:
        """All parts."""
        return sum(self.parts.values())

    @property
    def held_bytes(self) -> float:
        """What a process comes to hold in its steps above what it held before them."""
        return self.total - sum(self.parts.get(part, 0.0) for part in NOT_IN_STEPS)

    def describe(self) -> str:
        """The parts in GiB on one line."""
        parts = [f"{name} {value / GIB:.2f}" for name, value in self.parts.items() if value >= GIB / 200]
        return f"{self.total / GIB:.2f} GiB {self.moment}: {', '.join(parts)}"


def predict(step: Step) -> Memory:
    """The memory of a step on one device."""
    model, recipe = step.model, step.recipe
    local = model.num_parameters / step.shards
    weights = recipe.weight_bytes * local
    gradients = _gradients(step)
    always = {"weights": weights, "optimizer states": _states(step)}
    kept = kept_bytes(model, step.graph, step.activation_bytes, step.length)
    tokens = step.micro_tokens / step.tensor
    block_input = step.activation_bytes * model.hidden_size
    layers = model.num_hidden_layers
    activations = {
        "activations": tokens * layers * (block_input if step.recompute else kept),
        "cast weights": _casts(step),
        "gathered blocks": _gathered(step),
    }
    block = tokens * ((kept if step.recompute else 0) + working_bytes(step))
    is_kept = step.micro_batches > 1 or step.graph == "plain"
    accumulated = {"gradients": gradients if is_kept else 0.0}
    update = {"update": update_bytes(step)}
    within = update if step.recipe.in_backward else {}
    moments = [
        Memory("in the loss", {**always, **accumulated, **activations, "loss": _loss(step)}),
        Memory(
            "as the backward pass begins",
            {**always, **accumulated, **activations, "block": block, "loss": _head_gradient(step), **within},
        ),
        Memory(
            "as it ends",
            {
                **always,
                "gradients": gradients,
                "gathered blocks": activations["gathered blocks"],
                "block": block + tokens * kept,
                "embedding": recipe.weight_bytes * model.vocab_size * model.hidden_size / step.tensor,
                **within,
            },
        ),
        Memory("in the optimizer", {**always, "gradients": gradients, **update}),
    ]
    largest = max(moments, key=lambda moment: moment.total)
    parts = {**largest.parts, "framework": float(step.device.overhead_bytes)}
    if step.device.kind == "tpu":
        parts["attention's scores"] = scores_bytes(step)
    masters = recipe.host_bytes_per_parameter * model.num_parameters
    copy = stored_bytes(step) / step.devices
    if step.device.kind == "cpu":  # its memory is the host's
        return Memory(largest.moment, {**parts, "masters": masters, "checkpoint copy": copy})
    return Memory(largest.moment, parts, step.device.count * (masters + copy))


def stored_bytes(step: Step) -> float:
    """Bytes of a checkpoint, of which each process copies its share into the host's memory to write it:
    weights, float32 masters where they are offloaded, and the optimizer's states."""
    recipe = step.recipe
    masters = FLOAT32 if recipe.offload else 0
    return (recipe.weight_bytes + masters) * step.model.num_parameters + _all_states(step)


def scores_bytes(step: Step) -> float:
    """Bytes of attention's scores of the block that is computed, and of those that all others keep, where no
    fused kernel spares them."""
    pairs = step.rows * step.length**2 * step.model.num_attention_heads / step.tensor
    kept = 0 if step.recompute else step.model.num_hidden_layers
    return SCORES * step.activation_bytes * pairs * (1 + kept)


def kept_bytes(model: ModelConfig, graph: Graph, size: int, length: int) -> float:
    """Bytes a token that a block keeps for its backward pass, activations being of `size` bytes."""
    d, f = model.hidden_size, model.intermediate_size
    q, kv = model.num_attention_heads * model.head_dim, model.num_key_value_heads * model.head_dim
    heads = model.num_attention_heads
    attention = size * (2 * q + 2 * kv)  # queries, keys, values and the output, which the next product reads
    if graph == "compiled":
        raw = q + kv if model.model_type == "qwen3" else 0  # before their norms
        mlp = size * f * (3 if model.is_gated else 2)
        return size * (4 * d + raw) + attention + mlp + FLOAT32 * heads
    norms = 2 * (FLOAT32 + size) * d if model.is_classic else 2 * (2 * FLOAT32 + size) * d
    head_norms = 2 * FLOAT32 * (q + kv) if model.model_type == "qwen3" else 0
    mlp = size * f * (4 if model.is_gated else 2)
    eager = norms + head_norms + attention + mlp + FLOAT32 * heads
    if graph == "eager":
        return eager
    scores = (2 * size + 1) * heads * length  # softmax, the mask of dropout, and what it leaves
    gelu = 3 * size * f if model.is_classic else 0  # tanh, 1 + tanh, x / 2
    return eager + scores + gelu + 3 * d  # two masks of dropout in the residual stream, one more in the MLP


def working_bytes(step: Step) -> float:
    """Bytes a token that the backward pass of a block holds beside what was kept."""
    model, size = step.model, step.activation_bytes
    scores = 2 * size * model.num_attention_heads * step.length if step.graph == "plain" else 0
    return size * (3 * model.intermediate_size + 2 * model.hidden_size) + scores


def _states(step: Step) -> float:
    """On a device."""
    return 0.0 if step.recipe.offload else _all_states(step) / step.shards


def _all_states(step: Step) -> float:
    memory = step.recipe.memory
    blocks = _matrices(step.model)
    others = step.model.num_parameters - blocks
    if memory.factored:
        embedding = step.model.vocab_size + step.model.hidden_size
        return FLOAT32 * (_edges(step.model) + embedding)
    return memory.matrices * blocks + memory.others * others


def _gradients(step: Step) -> float:
    size = step.recipe.weight_bytes
    if not step.recipe.in_backward:
        return size * step.model.num_parameters / step.shards
    return size * max(count for count, _, _ in _shapes(step.model)) / step.shards


def _casts(step: Step) -> float:
    """Weights in the precision of the activations, kept for the backward pass."""
    if step.activation_bytes == step.recipe.weight_bytes or step.sharded:
        return 0.0  # sharded weights are gathered in that precision
    layers = 1 if step.recompute else step.model.num_hidden_layers
    blocks = _matrices(step.model) / step.model.num_hidden_layers * layers
    return step.activation_bytes * blocks / step.tensor


def _gathered(step: Step) -> float:
    if not step.sharded:
        return 0.0
    block = _matrices(step.model) / step.model.num_hidden_layers
    embedding = step.model.vocab_size * step.model.hidden_size
    gathered = step.activation_bytes * (2 * block + embedding)
    return (gathered + FLOAT32 * block) / step.tensor  # and a block's whole gradient before it is scattered


def _head_gradient(step: Step) -> float:
    if step.graph == "plain":
        return 0.0
    return FLOAT32 * step.model.vocab_size * step.model.hidden_size / step.tensor


def _loss(step: Step) -> float:
    vocab, size = step.model.vocab_size, step.activation_bytes
    tokens = step.micro_tokens / step.tensor
    if step.graph == "plain":  # logits, the copy without the last position, log-probabilities, gradient
        return 4 * size * tokens * vocab
    limit = CHUNK_LOGITS.get(step.device.kind, CHUNK_LOGITS["cuda"])
    chunk = min(step.micro_tokens * vocab, limit)
    copies = 0 if size == FLOAT32 else (1 if step.graph == "compiled" else 2)
    cast = 0 if size == step.recipe.weight_bytes else size * vocab * step.model.hidden_size / step.tensor
    hidden = 3 * size * tokens * step.model.hidden_size
    return (2 * size + FLOAT32 * copies) * chunk + cast + hidden + _head_gradient(step)


def update_bytes(step: Step) -> float:
    """What the optimizer holds beside weights, gradients and states."""
    if step.recipe.offload:
        return 0.0
    memory, shapes = step.recipe.memory, _shapes(step.model)
    largest = max(count for count, _, _ in shapes)
    matrix = max(count for count, _, _ in shapes[1:])
    alike = max(count * number for count, number, _ in shapes[1:])
    at_once = {
        "piece": min(PIECE[step.device.kind], largest / step.shards),
        "chunk": matrix if step.recipe.in_backward else max(matrix, min(CHUNK, alike / step.shards)),
    }[memory.at_once]
    copies = 0 if step.recipe.weights == "float32" else 2 * FLOAT32  # of weight and gradient
    return (memory.temporary + copies) * at_once


def _shapes(model: ModelConfig) -> list[tuple[int, int, int]]:
    """(parameters, number, rows + columns) of the embedding, then of the matrices of blocks by shape."""
    d, f, layers = model.hidden_size, model.intermediate_size, model.num_hidden_layers
    q, kv = model.num_attention_heads * model.head_dim, model.num_key_value_heads * model.head_dim
    by_shape: dict[tuple[int, int], int] = {}
    into_mlp = [(f, d), (f, d)] if model.is_gated else [(f, d)]
    for shape in [(q, d), (kv, d), (kv, d), (d, q), *into_mlp, (d, f)]:
        by_shape[shape] = by_shape.get(shape, 0) + layers
    embedding = (model.vocab_size * d, 2 - model.tie_word_embeddings, model.vocab_size + d)
    return [embedding, *((rows * columns, n, rows + columns) for (rows, columns), n in by_shape.items())]


def _matrices(model: ModelConfig) -> int:
    """Parameters of the matrices of all blocks."""
    return sum(count * number for count, number, _ in _shapes(model)[1:])


def _edges(model: ModelConfig) -> int:
    """Rows and columns of the matrices of all blocks."""
    return sum(edge * number for _, number, edge in _shapes(model)[1:])
