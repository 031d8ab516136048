"""The optimizers of a run, every state made at the start: a checkpoint is a flat mapping of tensors."""

from tsuzuri.training.optimizers.build import build_optimizers, state_tensors

__all__ = ["build_optimizers", "state_tensors"]
