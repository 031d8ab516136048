"""How a run is trained. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tsuzuri.core.config import Config, Seed
from tsuzuri.core.errors import RecipeError
from tsuzuri.data.components import MixConfig
from tsuzuri.model.config import ModelConfig

BLOCK = 256
"""Moments of 8 bits, of one row, that share a scale. Ranks divide no block, so that any number of them may
go on with it."""


class OptimizerConfig(Config):
    """The optimizer of a run; defaults are what `bench/tune.py` found best, one seed, quickstart's shape."""

    kind: Literal["muon", "adamw", "adamw-bf16-states", "adamw-8bit", "adafactor", "adagrad"] = "muon"
    """muon: Muon for the matrices of the blocks, AdamW for embeddings, head and vectors. The others are for
    all; of AdamW's, moments may be kept in 16 or 8 bits. `training.memory` has the bytes of each."""
    weights: Literal["float32", "bfloat16"] = "float32"
    """What weights and gradients are kept in on the device. bfloat16: half the memory; new weights are
    rounded up or down at random, so that small steps are not lost."""
    in_backward: bool = False
    """Update each weight within the backward pass, as soon as its gradient is there, which is then freed: no
    accumulated micro-batches, and the gradient is not clipped."""
    offload: bool = False
    """Keep float32 weights and the optimizer's states in the host's memory, and make the step there."""
    learning_rate: float = Field(default=0.006, gt=0)
    """Peak learning rate. Muon's steps are scaled to AdamW's usual root mean square."""
    adamw_rate_factor: float = Field(default=4.0, gt=0)
    """Under muon, the learning rate of embedding, head and norms, which AdamW updates, over learning_rate."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Decoupled decay a step, in units of the learning rate, on matrices alone."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Muon's Nesterov momentum."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)

    @model_validator(mode="after")
    def _check(self) -> OptimizerConfig:
        if self.in_backward and self.offload:
            raise ValueError("of in_backward and offload one is possible, not both")
        return self


class ScheduleConfig(Config):
    """The learning rate over the run, as a fraction of the peak."""

    kind: Literal["wsd", "cosine"] = "wsd"
    """wsd: warm-up, stable, then a linear fall. cosine: warm-up, then half a cosine."""
    warmup_steps: int = Field(default=20, ge=0)
    decay_fraction: float = Field(default=0.3, ge=0, le=1)
    """Share of all steps that wsd's fall takes."""
    final_fraction: float = Field(default=0.0, ge=0, le=1)
    """What the learning rate falls to, as a fraction of the peak: reached one step after the last."""

    def decay_steps(self, steps: int) -> int:
        """The last of `steps`, in which wsd's learning rate falls."""
        return round(self.decay_fraction * steps) if self.kind == "wsd" else 0


class GuardConfig(Config):
    """What a run does about steps that are not like those before; see `training.guard`."""

    window: int = Field(default=128, ge=8, le=5_000)
    """Steps before a step that it is compared with. None is judged before so many follow the warm-up."""
    deviations: float = Field(default=15.0, gt=0)
    """Median absolute deviations above the median from which a loss, or a gradient's norm, is a spike."""
    max_incidents: int = Field(default=3, ge=1)
    """Steps left out, for a spike or a number that is none, within 1,000 steps that stop the run."""


class ParallelConfig(Config):
    """How the processes that torchrun started share a run: replicate · shard · tensor of them."""

    replicate: int | None = Field(default=None, ge=1)
    """Copies of the weights, each with rows of its own. Unset: as many as there are processes for."""
    shard: int = Field(default=1, ge=1)
    """Parts that weights, gradients and states of a copy are divided into, each with its own rows (FSDP2)."""
    tensor: int = Field(default=1, ge=1)
    """Processes that share every product, and the same rows (tensor parallel); best within one machine."""
    recompute: Literal["none", "blocks"] = "none"
    """blocks: a block keeps its input alone, and is computed once more in the backward pass."""

    def over(self, processes: int) -> tuple[int, int, int]:
        """(replicate, shard, tensor) over so many processes; RecipeError where they do not divide them."""
        own = self.shard * self.tensor
        if processes % own or self.replicate not in (None, processes // own):
            wanted = f"replicate {self.replicate or 'any'} × shard {self.shard} × tensor {self.tensor}"
            raise RecipeError(
                f"train.parallel: {wanted} does not make {processes} processes",
                hint="start as many with torchrun --nproc-per-node, or set train.parallel.shard and .tensor",
            )
        return processes // own, self.shard, self.tensor


class BranchConfig(Config):
    """Where a run begins that does not begin with weights drawn at random."""

    step: int = Field(default=0, ge=0)
    """Of the seed: the checkpoint after so many of its steps. 0: its last one."""
    states: bool = True
    """Whether the optimizer goes on with the seed's states too, or begins with none."""


class TrainConfig(Config):
    """One training run."""

    steps: int = Field(default=100, ge=1)
    """Optimizer steps."""
    batch_rows: int = Field(default=16, ge=1)
    """Rows of `sequence_length` tokens in one step."""
    micro_batch_rows: int = Field(default=16, ge=1)
    """Rows computed at once; gradients of batch_rows / micro_batch_rows of them are added up."""
    sequence_length: int = Field(default=256, ge=2)
    """Tokens a row."""
    seed: Seed = 1
    """Seeds the first weights and the order of the data."""
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    gradient_clip: float = Field(default=1.0, gt=0)
    """Largest norm of the whole gradient."""
    guard: GuardConfig = GuardConfig()
    mixture: MixConfig = MixConfig()
    """In which proportions the sources are read; by default each by its tokens."""
    document_mask: bool = True
    """Whether attention stays within documents of a packed row."""
    device: Literal["auto", "cpu", "cuda", "tpu"] = "auto"
    """What to train on; `cuda` is AMD's cards too. auto: the first of cuda, tpu and cpu that is there."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of activations and products. auto: what a half-second probe of the machine finds faster."""
    compile: Literal["auto", "always", "never"] = "auto"
    """torch.compile of the blocks. auto: where a compiler is and the run is long enough to repay it."""
    parallel: ParallelConfig = ParallelConfig()
    evaluate_every: int = Field(default=0, ge=0)
    """Steps between evaluations on held-out documents; 0: at the end alone."""
    sample_every: int = Field(default=0, ge=0)
    """Steps between samples; 0: at the end alone."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Steps between checkpoints; a killed run loses at most so many."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """Checkpoints kept, the newest ones; milestones beside them."""
    milestones: tuple[int, ...] = ()
    """Steps after which a checkpoint is written that is never removed. The last step before wsd's fall always
    is one: other falls can begin there (Hägele et al. 2024; llm-jp-4), and weights that have not fallen can
    be the better start of a fine-tuning (arXiv 2603.16127)."""
    milestone_every: int = Field(default=0, ge=0)
    """Steps between milestones; 0: none but those."""

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.batch_rows % self.micro_batch_rows:
            raise ValueError(
                f"batch_rows ({self.batch_rows}) must be a multiple of "
                f"micro_batch_rows ({self.micro_batch_rows})"
            )
        if self.optimizer.in_backward and self.batch_rows != self.micro_batch_rows:
            raise ValueError(
                f"optimizer.in_backward needs the whole batch at once: micro_batch_rows "
                f"({self.micro_batch_rows}) must be batch_rows ({self.batch_rows})"
            )
        if self.schedule.warmup_steps >= self.steps:
            raise ValueError(
                f"schedule.warmup_steps ({self.schedule.warmup_steps}) must be below steps ({self.steps})"
            )
        unreached = [step for step in self.milestones if not 0 < step <= self.steps]
        if unreached:
            raise ValueError(f"milestones holds {unreached[0]}, which is no step of 1 to {self.steps}")
        return self

    def saves_after(self, step: int) -> bool:
        """Whether a checkpoint is due after `step`."""
        return step % self.checkpoint_every == 0 or step == self.steps or self.is_milestone(step)

    def is_milestone(self, step: int) -> bool:
        """Whether the checkpoint after `step` is never removed."""
        decay_steps = self.schedule.decay_steps(self.steps)
        return (
            step in self.milestones
            or (self.milestone_every > 0 and step % self.milestone_every == 0)
            or (decay_steps > 0 and step == self.steps - decay_steps)
        )

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one optimizer step sees."""
        return self.batch_rows * self.sequence_length


def why_not_shared(model: ModelConfig, length: int, optimizer: str, tensor: int) -> str:
    """Why so many ranks of `train.parallel.tensor` cannot divide a model's products; "" where they can."""
    sizes = {
        "num_attention_heads": model.num_attention_heads,
        "num_key_value_heads": model.num_key_value_heads,
        "intermediate_size": model.intermediate_size,
        "vocab_size": model.vocab_size,
        "train.sequence_length": length,
        "max_position_embeddings": model.max_position_embeddings,
    }
    for name, size in sizes.items():
        if size % tensor:
            return f"{name} of {size} cannot be shared equally by train.parallel.tensor={tensor}"
    columns = {
        "num_attention_heads × head_dim": model.num_attention_heads * model.head_dim,
        "intermediate_size": model.intermediate_size,
    }
    for name, size in columns.items():
        if tensor > 1 and optimizer == "adamw-8bit" and size % (BLOCK * tensor):
            return (
                f"{name} of {size} cannot be shared by train.parallel.tensor={tensor} in whole blocks of "
                f"{BLOCK}, in which {optimizer} keeps its moments"
            )
    return ""


def require_context(config: TrainConfig, positions: int) -> None:
    """RecipeError where rows are longer than the positions that the model knows."""
    if config.sequence_length > positions:
        raise RecipeError(
            f"rows of {config.sequence_length} tokens are longer than the model's context of {positions}",
            hint="lower train.sequence_length, or raise model.overrides.max_position_embeddings",
        )
