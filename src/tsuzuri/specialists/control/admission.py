"""What a revision has to show before it answers anybody.

It writes answers to a few prompts that are no loops and hold nothing forbidden, and it is better on held-out
texts of its own domain than the generalist: in bits a byte, so that tokenizers do not matter, by the least
gain that is asked for, and surely so (the 95 % interval of the gain, by a paired bootstrap over texts, lies
above 0). Every specialist of MDEL was worse than its base on its own domain: it is measured, never believed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import InputError
from tsuzuri.generation.loops import looped_suffix
from tsuzuri.serving.config import FilterConfig, PersonalDataFilter
from tsuzuri.serving.filters import Filters
from tsuzuri.specialists.config import GateConfig
from tsuzuri.specialists.control.asking import Asker
from tsuzuri.specialists.messages import Descriptor, Scored

SCORES = "prompt_logprobs"
"""The capability without which a revision can't be measured."""
TOKENS_A_CHARACTER = 1.5
"""At most, of Japanese text: so much of a text fits for sure what a model sees at once."""
SEED = 20261123

Floats = npt.NDArray[np.float64]


class Refused(InputError):  # noqa: N818 (it reports a decision)
    """A revision is not let in; the message says why, with the figures."""

    figures: Figures | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What the same texts cost two models, in bits a byte."""

    own: float
    other: float
    gain_low: float
    """Of the 95 % interval of `other - own`."""
    gain_high: float

    @property
    def gain(self) -> float:
        """The share of the other's bits that are saved."""
        return 1 - self.own / self.other if self.other else 0.0

    def __str__(self) -> str:
        figures = f"{self.own:.4f} bits a byte where it has {self.other:.4f}"
        if not self.other:
            return figures
        low, high = self.gain_low / self.other, self.gain_high / self.other
        return f"{figures}: {self.gain:+.1%} (95 %: {low:+.1%} to {high:+.1%})"


class Examiner:
    """Looks at revisions, one at a time."""

    def __init__(self, asker: Asker, config: GateConfig) -> None:
        self._asker, self._config = asker, config
        personal = PersonalDataFilter(level=config.personal_data) if config.personal_data else None
        self._filters = Filters(FilterConfig(personal_data=personal))

    def golden(self, revision: Descriptor) -> None:
        """Let it answer; Refused, Unanswered."""
        config = self._config
        for number, prompt in enumerate(config.prompts):
            sampling = {**revision.defaults, "max_new_tokens": config.tokens, "seed": SEED + number}
            answer = self._asker.answer(_key(revision), prompt, sampling, config.timeout_s)
            shown = f"its answer to {prompt!r}"
            if not answer.text.strip():
                raise Refused(f"{shown} is empty")
            if looped_suffix(answer.text):
                raise Refused(f"{shown} ends in a loop")
            if any(word in answer.text for word in config.forbidden):
                raise Refused(f"{shown} holds a text that is forbidden (gate.forbidden)")
            if found := self._filters.find(answer.text):
                raise Refused(f"{shown} holds {found[0].kind}")
            if number and answer.first_s > config.first_token_s:
                raise Refused(
                    f"{shown} began after {answer.first_s:.1f} s; allowed are {config.first_token_s:.1f} s"
                )

    def against(self, revision: Descriptor, other: Descriptor, texts: Sequence[str]) -> Figures:
        """What texts cost a revision and another one; Refused where one of them can't say, Unanswered."""
        for item in (revision, other):
            if SCORES not in item.capabilities:
                raise Refused(
                    f"{item.specialist} can't score texts, so that nothing can be measured with it",
                    hint="let it in unmeasured, by name: gate: none (or --no-gate)",
                )
        contexts = [item.context for item in (revision, other) if item.context]
        fitting = min([self._config.characters, *(int(size / TOKENS_A_CHARACTER) for size in contexts)])
        cut = [text[:fitting] for text in texts]
        sizes = np.array([len(text.encode()) for text in cut], np.float64)
        own, others = (self._nats(item, cut) for item in (revision, other))
        return compare(own, others, sizes, resamples=self._config.resamples)

    def check(self, figures: Figures) -> None:
        """Refused where a revision is not better than the generalist by as much as is asked for."""
        if figures.gain >= self._config.least_gain and figures.gain_low > 0:
            return
        refusal = Refused(
            f"it does not beat the generalist on its own domain: {figures}; asked for are "
            f"{self._config.least_gain:+.1%}, with an interval above 0"
        )
        refusal.figures = figures
        raise refusal

    def _nats(self, revision: Descriptor, texts: Sequence[str]) -> Floats:
        scored: Scored = self._asker.score(_key(revision), texts, self._config.timeout_s)
        nats = np.array(scored.nats, np.float64)
        if len(nats) != len(texts) or not np.isfinite(nats).all():
            raise Refused(
                f"{revision.specialist} gave {len(nats)} scores of {len(texts)} texts, or no numbers"
            )
        if scored.utf8_bytes and list(scored.utf8_bytes) != [len(text.encode()) for text in texts]:
            raise Refused(f"{revision.specialist} does not read texts as they are: its bytes are not theirs")
        return nats


def compare(own: Floats, other: Floats, utf8_bytes: Floats, *, resamples: int) -> Figures:
    """Bits a byte of two models on the same texts, (texts,) nats each, and the interval of their difference:
    texts are drawn anew `resamples` times (Efron 1979)."""
    bits = np.log(2) * utf8_bytes
    drawn = np.random.default_rng(SEED).integers(0, len(own), (resamples, len(own)))
    gains = (other - own)[drawn].sum(1) / bits[drawn].sum(1)
    low, high = np.percentile(gains, [2.5, 97.5])
    total = bits.sum()
    return Figures(float(own.sum() / total), float(other.sum() / total), float(low), float(high))


def with_figures(revision: Descriptor, figures: Figures | None) -> Descriptor:
    """A revision with what it showed."""
    if figures is None:
        return revision
    return msgspec.structs.replace(
        revision,
        domain_bpb=figures.own,
        generalist_bpb=figures.other,
        gain_low=figures.gain_low,
        gain_high=figures.gain_high,
    )


def held_out(path: Path, count: int) -> list[str]:
    """So many of the texts in a file of JSON lines, spread evenly over it; InputError."""
    texts = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"no readable texts at {path}", hint='JSON lines in UTF-8, {"text": …} each'
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
            texts.append(text.encode() and text)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path}, line {number}, is no text", hint='a line is {"text": …} with some text in it'
            ) from error
    texts = [text for text in texts if text.strip()]
    if len(texts) < 2:
        raise InputError(f"{path} holds {len(texts)} texts, of which nothing can be concluded")
    step = max(1.0, len(texts) / count)
    return [texts[int(at * step)] for at in range(min(count, len(texts)))]


def check_fits(known: Descriptor, own: Descriptor) -> None:
    """InputError where a worker would call something a revision that is another one."""
    for what, before, here in (
        ("weights", known.model_sha256, own.model_sha256),
        ("tokenizer", known.tokenizer_sha256, own.tokenizer_sha256),
        ("context", known.context, own.context),
    ):
        if before and here and before != here:
            raise InputError(
                f"{own.specialist}/{own.revision} is known with another {what}: {str(before)[:12]}, not "
                f"{str(here)[:12]}",
                hint="give what is new a revision of its own, or start the release that the revision names",
            )


def _key(revision: Descriptor) -> tuple[str, str]:
    return revision.specialist, revision.revision
