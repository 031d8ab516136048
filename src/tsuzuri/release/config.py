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
    license: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.+-]+$")
    """The SPDX identifier that the weights are given under; unset: chosen from the documents' licenses."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """What the weights are stored in."""
    supporters: tuple[str, ...] | Path = ()
    """Names for special_thanks.txt, or the path of a UTF-8 file: one name on a line, or, if it ends in .yaml,
    what `tsuzuri thanks` reads. They stand in that file alone."""
    allow_restricted: tuple[str, ...] = ()
    """Sources used although their licenses forbid commercial use or edited copies, or ask what the release's
    license does not give; the card says so."""
    power_w: float | None = Field(default=None, gt=0)
    """Watts that the machine took while it trained; unset: those of its boards, where they are known."""
    usd_per_hour: float | None = Field(default=None, gt=0)
    """What the machine cost; unset: the price in the table of devices, where it has one."""
    jpy_per_kwh: float | None = Field(default=None, gt=0)
    """Price of electricity, for a machine of one's own."""
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
