"""The router: rules first, then evidence, calibrated; the generalist where neither says enough.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tsuzuri.core.errors import ResourceError
from tsuzuri.specialists.routing.base import Choice, RouterConfig
from tsuzuri.specialists.routing.calibration import Calibration
from tsuzuri.specialists.routing.prefix import Judge
from tsuzuri.specialists.routing.table import Table


class EvidenceRouter:
    """`base.Router`."""

    def __init__(
        self, config: RouterConfig, judge: Judge | None = None, calibration: Calibration | None = None
    ) -> None:
        """Without a judge rules alone decide."""
        self._config, self._judge = config, judge
        self._calibration = calibration or Calibration()
        self._table = Table(config.rules)

    async def choose(self, text: str, among: Collection[str], *, field: str = "") -> Choice:
        """See `Router`."""
        if not among:
            raise ResourceError("no specialist is up", hint="tsuzuri specialists list")
        beginning = text[: self._config.prefix_characters]
        found = self._table.choose(beginning, among, field)
        if found is not None:
            return Choice(found[0], _sure(found[0], among), f"rule {found[1]} is met", "rule")
        if len(among) == 1:
            (name,) = among
            return Choice(name, {name: 1.0}, "nobody else is up", "only")
        if not beginning.strip():
            return self._leave({}, among, "there is no text", "empty")
        if self._judge is None:
            return self._leave({}, among, "no rule is met", "table")
        evidence = await self._judge.evidence(beginning, among)
        method = self._judge.method
        if not evidence.values:
            return self._leave({}, among, "nobody can judge it", method)
        posterior = self._calibration.posterior(evidence)
        if self._calibration.is_foreign(evidence):
            return self._leave({}, among, "it is as no domain's texts are", method)
        return self._decide(posterior, among, evidence.characters, method)

    def _decide(
        self, posterior: Mapping[str, float], among: Collection[str], characters: int, method: str
    ) -> Choice:
        """Who is expected to save most bits, or is probable enough where gains were not measured."""
        best = max(posterior, key=lambda name: posterior[name])
        seen = f"{posterior[best]:.2f} {best} by {method} of {characters} characters"
        if best not in among:
            return self._leave(posterior, among, f"{seen}, who is not up", method)
        saved = {name: bits for name, bits in self._calibration.saved(posterior).items() if name in among}
        if saved:
            best = max(saved, key=lambda name: saved[name])
            seen = f"{seen}; {best} is to save {saved[best]:+.3f} bits a character"
            if saved[best] <= 0:
                return self._leave(posterior, among, seen, method)
        elif posterior[best] < self._config.least_posterior:
            return self._leave(posterior, among, f"only {seen}", method)
        return Choice(best, self._shares(posterior, among), seen, method)

    def _leave(self, posterior: Mapping[str, float], among: Collection[str], why: str, method: str) -> Choice:
        """To the generalist; where it is not up, to the most probable of the others."""
        shares = self._shares(posterior, among)
        generalist = self._config.generalist
        if generalist in among:
            return Choice(generalist, shares, why, method, is_settled=False)
        best = max(sorted(shares), key=lambda name: shares[name])
        return Choice(best, shares, f"{why}; the generalist is not up", method, is_settled=False)

    def _shares(self, posterior: Mapping[str, float], among: Collection[str]) -> dict[str, float]:
        """The posterior over those that are up, in which the generalist has what is nobody's."""
        shares = {name: posterior.get(name, 0.0) for name in sorted(among)}
        rest = max(0.0, 1 - sum(shares.values()))
        if self._config.generalist in shares:
            shares[self._config.generalist] += rest
            return shares
        total = sum(shares.values())
        return {name: share / total if total else 1 / len(shares) for name, share in shares.items()}


def _sure(specialist: str, among: Collection[str]) -> dict[str, float]:
    return {name: float(name == specialist) for name in sorted(among)}
