"""How a model is evaluated. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from tsuzuri.core.config import Config
from tsuzuri.generation.config import SamplingConfig


class EvaluationSampling(SamplingConfig):
    """The sampling of an evaluation: as elsewhere, but several samples of each prompt."""

    samples: int = Field(default=4, ge=1)
    """Samples written for one prompt, as many together as memory allows."""


class EvaluateConfig(Config):
    """Held-out bits and repetition of a finished model."""

    max_tokens: int = Field(default=200_000, ge=1)
    """Held-out tokens read at most for each source, from its first document on."""
    max_tokens_in_training: int = Field(default=20_000, ge=1)
    """The same while the model trains, where an evaluation is to be quick."""
    sequence_length: int = Field(default=0, ge=0)
    """Tokens of context; 0: all that the model has."""
    batch_rows: int = Field(default=8, ge=1)
    """Rows of `sequence_length` tokens computed at once."""
    prompts: tuple[str, ...] = Field(
        default=(
            "朝、窓を開けると、庭には一面に雪が積もっていた。",
            "この町でいちばん古い橋は、",
            "「どうして知っているの」と、彼女は小さな声でたずねた。",
        ),
        min_length=1,
    )
    """Openings that the samples continue."""
    sampling: EvaluationSampling = EvaluationSampling()
    """How the samples of each prompt are written."""
