"""The step of training as one program for all cores of a TPU, by way of torchax. Needs jax and torchax.

Ours is taken as it is: the GPT, the mask of documents, the chunked loss with the gradients that it makes
itself, the rule of the optimizer. What torch.distributed does between ranks is written here with jax's
collectives. Sharded is as FSDP2: a core has its rows of each weight, of its gradient and of its moments; a
block's weights are gathered in the precision of products where it is computed, and once more in the backward
pass; its gradient is summed in float32 and scattered, for each micro-batch. Replicated is as DDP: gradients
are summed once, after the last micro-batch.
Deviations: blocks are the body of one loop over stacked weights, so that the time to compile does not grow
with their number; autograd is jax's, and jax.checkpoint recomputes a block; when collectives run is left to
XLA; the learning rate is a constant of the program. Attention is torch's formula with all its scores in
memory, as torchax has no fused kernel that takes documents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import torch
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from torch import Tensor, nn
from torch.func import functional_call

from tsuzuri.lab.aot.bridge import call_jax, call_torch
from tsuzuri.lab.config import AotConfig
from tsuzuri.model.gpt import GPT
from tsuzuri.model.loss import IGNORE, loss_and_gradients
from tsuzuri.model.packing import document_mask, document_positions
from tsuzuri.training.config import OptimizerConfig, TrainConfig
from tsuzuri.training.optimizers import build_optimizers
from tsuzuri.training.optimizers.elementwise import Elementwise
from tsuzuri.training.optimizers.rounding import Rounding

Arrays: TypeAlias = dict[str, Any]
"""jax arrays by the name of a parameter of a model of one block; a block's are those of all, stacked."""
State: TypeAlias = tuple[Arrays, dict[str, Arrays]]
"""Weights, and what the optimizer keeps of each by its own names."""
Gather: TypeAlias = Callable[[Any], Any]
"""A core's part of a weight → the weight as products take it."""

CORES = "cores"
"""The axis that rows, and sharded weights, are divided along."""
LAYERS = "layers.0."
GATHERED = "gathered weights"
EOS_ID = 0


class Program:
    """The step of a configuration on a mesh of cores."""

    def __init__(self, config: AotConfig, mesh: Mesh) -> None:
        self.config, self.mesh = config, mesh
        self.train = TrainConfig(optimizer=OptimizerConfig(kind=config.optimizer))
        weights = dict(self.one_block().named_parameters())
        self.rows = {name: weight.shape[0] for name, weight in weights.items()}
        self.parts = {name: self.padded(weight) for name, weight in weights.items()}
        (made,) = build_optimizers(self.parts, self.train.optimizer, torch.float32, Rounding(0, ()))
        assert isinstance(made, Elementwise)
        self.optimizer = made
        self.gather: Gather = _gather(config.precision) if config.sharded else lambda weight: weight

    def one_block(self) -> GPT:
        """The model with one block and no weights."""
        with torch.device("meta"):
            return GPT(self.config.model.model_copy(update={"num_hidden_layers": 1}))

    def padded(self, weight: Tensor) -> Tensor:
        """The weight with as many rows as can be divided among the cores, as FSDP2 pads it."""
        parts = self.mesh.size if self.config.sharded else 1
        return torch.empty(-(-weight.shape[0] // parts) * parts, *weight.shape[1:], device="meta")

    def jitted(self) -> Any:
        """(state, rows) → (state, loss, norm), over the whole mesh; the state is given away."""
        arguments = jax.tree.map(lambda shape: shape.sharding.spec, self.arguments())
        step = jax.shard_map(
            self.step,
            mesh=self.mesh,
            in_specs=arguments,
            out_specs=(arguments[0], PartitionSpec(), PartitionSpec()),
            check_vma=False,
        )
        return jax.jit(step, donate_argnums=0)

    def arguments(self) -> tuple[State, Any]:
        """What `jitted` takes, as shapes alone."""
        states = {name: self.optimizer.state[part] for name, part in self.parts.items()}
        weights = {name: self._shape(name, part) for name, part in self.parts.items()}
        moments = {
            name: {key: self._shape(name, value) for key, value in state.items()}
            for name, state in states.items()
        }
        config = self.config
        rows = (config.micro_batches, config.rows * self.mesh.size, config.length + 1)
        sharding = NamedSharding(self.mesh, PartitionSpec(None, CORES))
        return (weights, moments), jax.ShapeDtypeStruct(rows, jnp.int32, sharding=sharding)

    def step(self, state: State, rows: Any) -> tuple[State, Any, Any]:
        """What one core does with its part of the state and its rows (micro_batches, B, T + 1)."""
        weights, states = state
        valid = lax.psum((rows[..., 1:] != IGNORE).sum(), CORES)
        loss_and_gradient = jax.value_and_grad(lambda weights, tokens: self.loss(weights, tokens) / valid)

        def add_micro_batch(total: Any, tokens: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, loss_and_gradient(weights, tokens)), None

        zeros = jax.tree.map(jnp.zeros_like, (jnp.float32(0), weights))
        (loss, gradients), _ = lax.scan(add_micro_batch, zeros, rows)
        loss = lax.psum(loss, CORES)
        if not self.config.sharded:
            gradients = lax.psum(gradients, CORES)
        squares = sum(jnp.square(gradient).sum() for gradient in gradients.values())
        norm = jnp.sqrt(lax.psum(squares, CORES) if self.config.sharded else squares)
        scale = jnp.minimum(1.0, self.train.gradient_clip / (norm + 1e-6))
        gradients = {name: gradient * scale for name, gradient in gradients.items()}
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        after = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old), self.updated(weights, gradients, states), state
        )
        return after, loss, norm

    def loss(self, weights: Arrays, tokens: Any) -> Any:
        """The summed negative log-likelihood of tokens (B, T + 1), weights being this core's parts."""
        model = self.one_block()
        root = {name: weight for name, weight in weights.items() if not name.startswith(LAYERS)}
        whole = {name: self.gather(weight)[: self.rows[name]] for name, weight in root.items()}
        own = {name.removeprefix(LAYERS): part for name, part in weights.items() if name not in root}
        model.layers[0] = Blocks(model.layers[0], own, self.gather, recompute=self.config.recompute)

        def hidden_states(whole: dict[str, Tensor], inputs: Tensor) -> Tensor:
            options = {
                "mask": document_mask(inputs, EOS_ID),
                "positions": document_positions(inputs, EOS_ID) if model.config.is_classic else None,
                "dtype": getattr(torch, self.config.precision),
            }
            hidden: Tensor = functional_call(model, whole, (inputs,), options)
            return hidden.flatten(0, 1)

        inputs, targets = jnp.maximum(tokens[:, :-1], 0), tokens[:, 1:].reshape(-1)
        head = whole["embed_tokens.weight" if model.config.tie_word_embeddings else "lm_head.weight"]
        return _summed_loss(call_torch(hidden_states, whole, inputs), head, targets)

    def updated(self, weights: Arrays, gradients: Arrays, states: dict[str, Arrays]) -> State:
        """Weights and states after the optimizer's rule."""
        after: State = ({}, {})
        for group in self.optimizer.param_groups:
            for name, part in self.parts.items():
                if any(part is parameter for parameter in group["params"]):
                    values = weights[name], gradients[name], states[name]
                    after[0][name], after[1][name] = call_torch(self._rule(group), *values)
        return {name: after[0][name] for name in weights}, {name: after[1][name] for name in weights}

    def _rule(self, group: dict[str, Any]) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
        def rule(
            weight: Tensor, gradient: Tensor, states: dict[str, Tensor]
        ) -> tuple[Tensor, dict[str, Tensor]]:
            step = states["step"] + 1
            value, new = self.optimizer.rule(group, weight, gradient, states, step)
            moments = {key: moment.to(states[key].dtype) for key, moment in new.items()}
            return value, {"step": step, **moments}

        return rule

    def _shape(self, name: str, tensor: Tensor) -> Any:
        shape, axes = tuple(tensor.shape), (CORES,) if self.config.sharded and tensor.dim() else ()
        if tensor.dim() and name.startswith(LAYERS):
            shape, axes = (self.config.model.num_hidden_layers, *shape), (None, *axes)
        dtype = jnp.dtype(str(tensor.dtype).removeprefix("torch."))
        return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(self.mesh, PartitionSpec(*axes)))


class Blocks(nn.Module):
    """All blocks of a model, one after another, each with its weights gathered when it is computed."""

    def __init__(self, block: nn.Module, parts: Arrays, gather: Gather, *, recompute: bool) -> None:
        super().__init__()
        rows = {name: weight.shape[0] for name, weight in block.named_parameters()}

        def one(parts: Arrays, *inputs: Any) -> Any:
            whole = {
                name: checkpoint_name(gather(part)[: rows[name]], GATHERED) for name, part in parts.items()
            }
            return call_torch(lambda whole, *inputs: functional_call(block, whole, inputs), whole, *inputs)

        keep = jax.checkpoint_policies.save_anything_except_these_names(GATHERED)
        one = jax.checkpoint(one, prevent_cse=False, policy=None if recompute else keep)

        def every(x: Any, *others: Any) -> Any:
            return lax.scan(lambda x, parts: (one(parts, x, *others), None), x, parts)[0]

        self.every = every

    def forward(self, *inputs: Any) -> Any:
        return call_jax(self.every, *inputs)


def _gather(precision: str) -> Gather:
    """A core's rows → all rows in `precision`; of all cores gradients are summed in float32 and scattered."""

    def forward(part: Any) -> tuple[Any, None]:
        return lax.all_gather(part.astype(precision), CORES, tiled=True), None

    def backward(_: None, gradient: Any) -> tuple[Any]:
        return (lax.psum_scatter(gradient.astype(jnp.float32), CORES, tiled=True),)

    gather = jax.custom_vjp(lambda part: forward(part)[0])
    gather.defvjp(forward, backward)
    return gather  # type: ignore[no-any-return]


def _summed_loss(hidden: Any, head: Any, targets: Any) -> Any:
    """`model.loss.cross_entropy_sum` as jax differentiates it: by the gradients that the loss has made."""

    def forward(hidden: Any, head: Any) -> tuple[Any, tuple[Any, Any]]:
        total, d_hidden, d_head = call_torch(loss_and_gradients, hidden, head, targets)
        return total, (d_hidden, d_head)

    def backward(gradients: tuple[Any, Any], scale: Any) -> tuple[Any, Any]:
        d_hidden, d_head = gradients
        return d_hidden * scale.astype(hidden.dtype), (d_head * scale).astype(head.dtype)

    loss = jax.custom_vjp(lambda *inputs: forward(*inputs)[0])
    loss.defvjp(forward, backward)
    return loss(hidden, head)
