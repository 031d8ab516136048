"""What a release is called and under which terms it is given away. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tsuzuri.core.config import Config
from tsuzuri.generation.config import SamplingConfig


class ReleaseConfig(Config):
    """One release of a model."""

    name: str = Field(default="tsuzuri-model", pattern=r"^\S(.*\S)?$")
    """What the model is called: one line."""
    version: str = Field(default="1.0.0", pattern=r"^\S+$")
    """The version of the weights."""
    description: str = ""
    """A sentence or two on what the model is for, put at the top of the card."""
    license: str = Field(default="Apache-2.0", pattern=r"^[A-Za-z0-9.+-]+$")
    """The SPDX identifier that the weights are given under."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """What the weights are stored in."""
    supporters: tuple[str, ...] | Path = ()
    """Names for special_thanks.txt, or the path of a UTF-8 file with one on a line."""
    allow_restricted: tuple[str, ...] = ()
    """Sources used although their licenses forbid commercial use or edited copies; the card says so."""
    sampling: SamplingConfig = SamplingConfig()
    """How the model samples by default: generation_config.json, without seed and samples."""

    @model_validator(mode="after")
    def _check(self) -> ReleaseConfig:
        for name in ("seed", "samples"):
            if getattr(self.sampling, name) != SamplingConfig.model_fields[name].default:
                raise ValueError(
                    f"sampling.{name} belongs to a request: generation_config.json has no place for it"
                )
        return self
