"""From what speaks for each domain to how probable each is, fitted on held-out texts. Imports no torch.

    p(domain) = softmax(sharpness · characters^power · evidence + bias)

`evidence` is a score a character (a log-likelihood, or minus a distance). With `power` 1 and `sharpness` 1 it
is Bayes' rule on independent characters; they are not independent, so that both are fitted, by the log-loss
on beginnings of several lengths. A text that its likeliest domain finds less likely than nearly all of its
own texts of that length is of no domain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import InputError

LENGTHS = (8, 16, 32, 64, 128, 256)
"""Characters of the beginnings that are looked at."""
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
FOREIGN_SHARE = 0.01
"""Of a domain's own texts, those that are taken for somebody else's."""
STEPS, PULL = 300, 1e-3
"""Of the fit; and how strongly biases are drawn to 0."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What speaks for each domain."""

    values: Mapping[str, float]
    """A character; more is likelier."""
    characters: int


@dataclass(frozen=True)
class Calibration:
    """What turns evidence into probabilities."""

    sharpness: float = 0.3
    power: float = 1.0
    biases: Mapping[str, float] = field(default_factory=dict)
    usual: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Of a domain's own texts of each of `LENGTHS`, the evidence that nearly all of them exceed."""
    gains: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """specialist → domain → bits a character that it saves on it, of the generalist's; may be negative."""

    def posterior(self, evidence: Evidence) -> dict[str, float]:
        """Of the domains; sums to 1."""
        scale = self.sharpness * evidence.characters**self.power
        values = np.array([scale * v + self.biases.get(n, 0.0) for n, v in evidence.values.items()])
        shares = np.exp(values - values.max())
        return dict(zip(evidence.values, (shares / shares.sum()).tolist(), strict=True))

    def is_foreign(self, evidence: Evidence) -> bool:
        """Whether the text is as no domain's texts are."""
        best = max(evidence.values, key=lambda name: evidence.values[name])
        if best not in self.usual:
            return False
        least = np.interp(np.log(max(1, evidence.characters)), np.log(LENGTHS), self.usual[best])
        return bool(evidence.values[best] < least)

    def saved(self, posterior: Mapping[str, float]) -> dict[str, float]:
        """Bits a character that each specialist is expected to save, where gains were measured; what is of
        no domain saves nothing."""
        return {
            name: sum(share * gains.get(domain, 0.0) for domain, share in posterior.items())
            for name, gains in self.gains.items()
        }

    def as_mapping(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **vars(self),
            "biases": dict(self.biases),
            "usual": {name: list(values) for name, values in self.usual.items()},
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Calibration:
        """What `as_mapping` wrote."""
        return cls(**{**values, "usual": {name: tuple(least) for name, least in values["usual"].items()}})


def calibrate(
    seen: Sequence[tuple[str, Evidence]], *, gains: Mapping[str, Mapping[str, float]] | None = None
) -> Calibration:
    """Fitted on evidence of held-out beginnings, each with its domain. InputError where there are none."""
    names = sorted({domain for domain, _ in seen})
    if not names:
        raise InputError("no held-out texts to calibrate the router on")
    values = np.array([[evidence.values[name] for name in names] for _, evidence in seen])
    labels = np.array([names.index(domain) for domain, _ in seen])
    lengths = np.array([evidence.characters for _, evidence in seen], np.float64)
    fits = [(*_fit(values * lengths[:, None] ** power, labels), power) for power in POWERS]
    _, sharpness, biases, power = min(fits, key=lambda fit: fit[0])
    return Calibration(
        sharpness=sharpness,
        power=power,
        biases=dict(zip(names, biases.tolist(), strict=True)),
        usual={name: _usual(seen, name) for name in names},
        gains=gains or {},
    )


def error_of_calibration(posteriors: Iterable[tuple[str, Mapping[str, float]]], bins: int = 10) -> float:
    """Expected calibration error (ECE): of the most probable domains, how far their probability lies from how
    often they are right, in `bins` of probability."""
    pairs = [
        (max(shares.values()), max(shares, key=lambda name: shares[name]) == domain)
        for domain, shares in posteriors
    ]
    if not pairs:
        return 0.0
    sure, right = np.array([p for p, _ in pairs]), np.array([r for _, r in pairs], np.float64)
    places = np.minimum((sure * bins).astype(int), bins - 1)
    return sum(
        abs(float(sure[places == place].mean() - right[places == place].mean()))
        * float((places == place).mean())
        for place in np.unique(places)
    )


def prior_of(
    posteriors: Iterable[Mapping[str, float]], *, newest: float = 0.3, least: float = 0.02
) -> dict[str, float]:
    """A running mean of posteriors, in which the newest has that weight (BTM's cached prior), of which nobody
    has less than `least`: what a mixture begins with."""
    prior: dict[str, float] = {}
    for shares in posteriors:
        weight = newest if prior else 1.0
        prior = {
            name: (1 - weight) * prior.get(name, 0.0) + weight * shares.get(name, 0.0)
            for name in {**prior, **shares}
        }
    raised = {name: max(share, least) for name, share in prior.items()}
    total = sum(raised.values())
    return {name: share / total for name, share in raised.items()}


def _usual(seen: Sequence[tuple[str, Evidence]], name: str) -> tuple[float, ...]:
    """By length, below which `FOREIGN_SHARE` of the domain's own texts lie; where none has that length, as
    for the next longer, or else shorter one."""
    found = {
        length: float(np.quantile(values, FOREIGN_SHARE))
        for length in LENGTHS
        if (
            values := [e.values[name] for domain, e in seen if domain == name and _near(e.characters, length)]
        )
    }
    known = sorted(found)
    return tuple(found[min(known, key=lambda k: (k < length, abs(k - length)))] for length in LENGTHS)


def _near(characters: int, length: int) -> bool:
    return length == min(LENGTHS, key=lambda one: abs(one - characters))


def _fit(values: Array, labels: npt.NDArray[np.int64]) -> tuple[float, float, Array]:
    """(log-loss, sharpness, biases) of softmax(sharpness · values + biases), by Newton's method on the
    logarithm of the sharpness and by gradient on the biases, each step halved until it helps."""
    rows = np.arange(len(labels))
    values = values - values.max(1, keepdims=True)
    log_sharpness, biases = -np.log(values.std() + 1e-9), np.zeros(values.shape[1])

    def loss_of(log_sharpness: float, biases: Array) -> tuple[float, Array]:
        logits = np.exp(log_sharpness) * values + biases
        logits -= logits.max(1, keepdims=True)
        shares = np.exp(logits)
        shares /= shares.sum(1, keepdims=True)
        loss = float(-np.log(shares[rows, labels].clip(1e-300)).mean() + PULL * (biases**2).sum())
        shares[rows, labels] -= 1
        return loss, shares / len(labels)

    loss, slope = loss_of(log_sharpness, biases)
    step = 1.0
    for _ in range(STEPS):
        towards = float((slope * values).sum() * np.exp(log_sharpness))
        downhill = slope.sum(0) + 2 * PULL * biases
        wanted = (log_sharpness - step * towards, biases - step * downhill)
        better, better_slope = loss_of(*wanted)
        if better < loss:
            (log_sharpness, biases), loss, slope = wanted, better, better_slope
            step *= 1.5
        else:
            step /= 2
            if step < 1e-9:
                break
    return loss, float(np.exp(log_sharpness)), biases
