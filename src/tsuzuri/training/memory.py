"""What an optimizer keeps for each parameter: one table, which training follows and plans read.

A `MemoryRecipe` is a rung of the memory ladder: an optimizer, the precision that weights are kept in, and
whether gradients or states leave the device. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tsuzuri.core.errors import RecipeError, closest
from tsuzuri.training.config import BLOCK, OptimizerConfig

PIECE = {"cpu": 2**17, "cuda": 2**22, "tpu": 2**22}
"""Parameters that an elementwise optimizer works on at once: on a CPU as many as its caches hold."""
CHUNK = 2**24
"""Parameters whose matrices Muon iterates together, or one matrix where that is larger."""

AtOnce: TypeAlias = Literal["piece", "chunk"]


@dataclass(frozen=True)
class OptimizerMemory:
    """A row: what one optimizer keeps, in bytes a parameter."""

    matrices: float
    """States of the matrices of the blocks."""
    others: float
    """States of embeddings, head and vectors."""
    source: str
    factored: bool = False
    """Whether a matrix has one float32 for each row and each column instead of states of its own shape."""
    temporary: float = 0.0
    """Held within a step for each parameter that is worked on at once."""
    at_once: AtOnce = "piece"
    """piece: PIECE parameters. chunk: CHUNK of them, in matrices of one shape."""


OPTIMIZERS: dict[str, OptimizerMemory] = {
    "muon": OptimizerMemory(
        4,
        8,
        "training.optimizers.muon: a float32 momentum for matrices, AdamW for the rest; look-ahead and "
        "update of a chunk in float32, four more in bfloat16",
        temporary=16,
        at_once="chunk",
    ),
    "adamw": OptimizerMemory(8, 8, "torch's fused AdamW: two float32 moments"),
    "adamw-bf16-states": OptimizerMemory(
        4, 4, "training.optimizers.elementwise: two bfloat16 moments", temporary=24
    ),
    "adamw-8bit": OptimizerMemory(
        2 + 2 * 4 / BLOCK,
        2 + 2 * 4 / BLOCK,
        "training.optimizers.elementwise: two moments of 8 bits with a float32 scale for each 256 "
        "(Dettmers et al. 2022, arXiv 2110.02861)",
        temporary=36,
    ),
    "adafactor": OptimizerMemory(
        0,
        0,
        "training.optimizers.adafactor: without momentum (Shazeer & Stern 2018, §3)",
        factored=True,
        temporary=16,
    ),
    "adagrad": OptimizerMemory(
        4, 4, "training.optimizers.elementwise: a float32 sum of squares", temporary=20
    ),
}


@dataclass(frozen=True)
class MemoryRecipe:
    """A rung of the memory ladder."""

    optimizer: str
    """A name of OPTIMIZERS."""
    quality: str
    """What it costs in quality, in words."""
    weights: Literal["float32", "bfloat16"] = "float32"
    """What weights and gradients are kept in; bfloat16 weights are rounded stochastically."""
    in_backward: bool = False
    """Whether a weight is updated as soon as its gradient is there, which is then freed: on one device."""
    offload: bool = False
    """Whether float32 weights and states stand in the host's memory: where the device has whole weights."""
    automatic: bool = True
    """Whether a plan may choose it."""

    @property
    def name(self) -> str:
        """What it is called: the optimizer, and what is done beside it to save memory."""
        kept = "offload" if self.offload else "bf16" if self.weights == "bfloat16" else ""
        return "-".join(filter(None, (kept, self.optimizer, "in-backward" if self.in_backward else "")))

    @property
    def memory(self) -> OptimizerMemory:
        """The row of its optimizer."""
        return OPTIMIZERS[self.optimizer]

    @property
    def weight_bytes(self) -> int:
        """Bytes of a weight on the device, and of its gradient."""
        return 4 if self.weights == "float32" else 2

    @property
    def bytes_per_parameter(self) -> float:
        """Weight, gradient and states on the device, of a matrix of the blocks."""
        gradient = 0 if self.in_backward else self.weight_bytes
        return self.weight_bytes + gradient + (0.0 if self.offload else self.memory.matrices)

    @property
    def host_bytes_per_parameter(self) -> float:
        """In the host's memory: master weight, gradient and states in float32."""
        return 8 + self.memory.matrices if self.offload else 0.0


_LADDER = (
    MemoryRecipe(
        "muon", "none: 1.1 to 1.4 times fewer tokens than AdamW to the same loss (arXiv 2509.02046)"
    ),
    MemoryRecipe("adamw", "none: what the others are compared with"),
    MemoryRecipe("adamw-bf16-states", "small: moments of 8 significant bits"),
    MemoryRecipe("adamw-8bit", "small: none was seen by its authors (arXiv 2110.02861)"),
    MemoryRecipe("adafactor", "some: no momentum, a second moment of rank one"),
    MemoryRecipe("adagrad", "large over a long run: its steps only ever shrink", automatic=False),
    MemoryRecipe(
        "adamw-8bit", "some: weights of 8 significant bits, rounded stochastically", weights="bfloat16"
    ),
    MemoryRecipe(
        "adafactor", "more: rounded weights, no momentum, a second moment of rank one", weights="bfloat16"
    ),
    MemoryRecipe(
        "adafactor",
        "much: as before, with neither accumulated batches nor a clipped norm",
        weights="bfloat16",
        in_backward=True,
    ),
    MemoryRecipe(
        "adamw", "none, but time: states stay in the host's memory", weights="bfloat16", offload=True
    ),
)
RECIPES: dict[str, MemoryRecipe] = {recipe.name: recipe for recipe in _LADDER}
"""From the best quality for its memory to the least memory; offloading, which costs time, comes last."""


def recipe_of(config: OptimizerConfig) -> MemoryRecipe:
    """The rung that a run stands on, named in RECIPES or not."""
    own = MemoryRecipe(
        config.kind,
        "not known",
        weights=config.weights,
        in_backward=config.in_backward,
        offload=config.offload,
        automatic=False,
    )
    named = RECIPES.get(own.name, own)
    return named if named.weights == own.weights else own


def memory_recipe(name: str) -> MemoryRecipe:
    """The recipe of that name; RecipeError names the closest one."""
    if name not in RECIPES:
        raise RecipeError(
            f"no memory recipe {name!r}{closest(name, RECIPES)}", hint=f"recipes: {', '.join(RECIPES)}"
        )
    return RECIPES[name]
