"""How text is sampled. Imports no torch.

The default is what `bench/generate.py` measured on the release of `recipes/cpu-overnight.yaml` (3.9 bits a
character of Wikipedia): samples of 500 characters that may not end before; median and lowest tenth of the
shares of distinct 4-grams, loops, and nats a character by the model's own account.

    min-p 0.05                                            0.800  0.467  12 of 60  1.40
    min-p 0.05, repetition penalty 1.1                    0.901  0.857   1 of 24  1.68
    temperature 0.9, min-p 0.02, repetition penalty 1.15  0.945  0.897   0 of 60  1.84   the default
    min-p 0.03, repetition penalty 1.1                    0.942  0.907   0 of 24  1.91
    temperature 0.8, top-p 0.95, penalty 1.15             0.958  0.915   0 of 24  2.03
    top-p 0.95                                            0.968  0.944   0 of 24  2.58
    Aozora Bunko itself                                   0.956  0.901

Of the settings that repeat no more than people do, or hardly more, it writes the likeliest text. A weaker
model (2M parameters, 4.9 bits) did not loop under min-p 0.05 alone: what is surer of its words needs the
penalty.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from tsuzuri.core.config import Config, Seed

MOST_NEW_TOKENS = 1_000_000
"""Of one sample: a long book. Room for all of them is made before the first."""


class SamplingConfig(Config):
    """One request for text; its rules are applied in the order in which `generation.sampling` states them."""

    max_new_tokens: int = Field(default=256, ge=1)
    """Tokens written at most for each sample, at most 1,000,000."""
    min_new_tokens: int = Field(default=0, ge=0)
    """Tokens before which a sample may not end by itself."""
    temperature: float = Field(default=0.9, ge=0)
    """What logits are divided by; 0 always takes the likeliest token."""
    top_k: int = Field(default=0, ge=0)
    """Only the k likeliest tokens may be drawn; 0: all."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Only the likeliest tokens that together reach this probability may be drawn; 1: all."""
    min_p: float = Field(default=0.02, ge=0, le=1)
    """Only tokens at least this fraction as likely as the likeliest may be drawn; 0: all."""
    repetition_penalty: float = Field(default=1.15, gt=0)
    """What the logits of tokens already in the text are divided by (multiplied, if negative); 1: nothing."""
    no_repeat_ngram: int = Field(default=0, ge=0)
    """No run of so many tokens occurs twice, the prompt included; 0: no such rule."""
    stop: tuple[str, ...] = ()
    """A sample ends where one of these texts would begin; it is not shown."""
    seed: Seed = 0
    """Sample k of seed s is the same as sample 0 of seed s + k."""
    samples: int = Field(default=1, ge=1)
    """Samples written for one prompt, as many together as memory allows."""

    @model_validator(mode="after")
    def _check(self) -> SamplingConfig:
        if self.max_new_tokens > MOST_NEW_TOKENS:
            raise ValueError(
                f"max_new_tokens ({self.max_new_tokens:,}) exceeds {MOST_NEW_TOKENS:,} a sample: "
                "go on from what was written, with its end as the prompt"
            )
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError(
                f"min_new_tokens ({self.min_new_tokens}) exceeds max_new_tokens ({self.max_new_tokens})"
            )
        if not all(self.stop):
            raise ValueError("a stop text must not be empty")
        return self
