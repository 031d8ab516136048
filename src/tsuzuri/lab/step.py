"""One optimizer step as memory and speed see it: what is computed, on what, and how it is spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tsuzuri.lab.devices import Device, Precision
from tsuzuri.model.config import ModelConfig
from tsuzuri.training.memory import MemoryRecipe

Graph: TypeAlias = Literal["compiled", "eager", "plain"]
"""compiled: torch.compile. eager: our model as it is written. plain: as GPT-2 was first trained, with every
intermediate of attention, GELU and dropout kept, the logits of all positions, and gradients that are zeroed
instead of freed (PyTorch's default before 2.0)."""


@dataclass(frozen=True)
class Step:
    """An optimizer step of a model on devices."""

    model: ModelConfig
    recipe: MemoryRecipe
    device: Device
    precision: Precision
    """Of products and activations."""
    batch_tokens: int
    length: int
    """Tokens a row."""
    graph: Graph = "compiled"
    servers: int = 1
    """Rows of the table of devices."""
    rows: int = 1
    """Computed at once on a device, or on the devices that share its tensors."""
    recompute: bool = False
    """Whether a block keeps its input alone and computes the rest once more."""
    sharded: bool = False
    """Whether weights, gradients and states are spread over all devices (FSDP) or each has its own (DDP)."""
    tensor: int = 1
    """Devices that share each matrix (tensor parallel)."""

    @property
    def devices(self) -> int:
        """All of them."""
        return self.servers * self.device.count

    @property
    def data_ranks(self) -> int:
        """Micro-batches that are computed at the same time."""
        return self.devices // self.tensor

    @property
    def shards(self) -> int:
        """Parts into which weights, gradients and states are divided."""
        return self.devices if self.sharded else self.tensor

    @property
    def micro_tokens(self) -> int:
        """Tokens computed at once on a device."""
        return self.rows * self.length

    @property
    def micro_batches(self) -> int:
        """Gradients that a device adds up; what is updated in the backward pass adds none."""
        if self.recipe.in_backward:
            return 1
        return max(1, self.batch_tokens // (self.micro_tokens * self.data_ranks))

    @property
    def tokens(self) -> int:
        """Tokens of the step, which is made of whole micro-batches."""
        return self.micro_batches * self.micro_tokens * self.data_ranks

    @property
    def activation_bytes(self) -> int:
        """Bytes of a number in the activations."""
        return 4 if self.precision == "float32" else 2

    def train_values(self) -> dict[str, Any]:
        """The values of a TrainConfig by which training makes this step."""
        return {
            "batch_rows": self.tokens // self.length,
            "micro_batch_rows": self.rows,
            "sequence_length": self.length,
            "optimizer": {
                "kind": self.recipe.optimizer,
                "weights": self.recipe.weights,
                "in_backward": self.recipe.in_backward,
                "offload": self.recipe.offload,
            },
            "parallel": {
                "shard": self.data_ranks if self.sharded else 1,
                "tensor": self.tensor,
                "recompute": "blocks" if self.recompute else "none",
            },
        }
