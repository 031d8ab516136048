"""What a card and a datasheet are filled from: the boxes of a build, and the model as it is released."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tsuzuri.model.config import ModelConfig
from tsuzuri.release.config import ReleaseConfig
from tsuzuri.release.cost import Cost
from tsuzuri.release.terms import chosen_license, conflicts
from tsuzuri.report.boxes import Build


@dataclass(frozen=True)
class Facts:
    """One release in numbers."""

    config: ReleaseConfig
    model: ModelConfig
    build: Build
    hashes: dict[str, str]
    """stage → SHA-256 of its manifest."""
    cost: Cost | None
    """What the training took; none where no clock was read."""

    @property
    def sources(self) -> dict[str, dict[str, Any]]:
        """What the documents count for each source."""
        counts: dict[str, dict[str, Any]] = self.build.counts("documents").get("sources", {})
        return counts

    @property
    def licenses(self) -> list[tuple[str, str, int]]:
        """(source, SPDX expression, documents), the most frequent license of a source first."""
        return [
            (source, license_, count)
            for source, item in self.sources.items()
            for license_, count in sorted(
                item.get("licenses", {}).items(), key=lambda pair: (-pair[1], pair[0])
            )
        ]

    @property
    def license(self) -> str:
        """The SPDX identifier of the weights' license."""
        return self.config.license or chosen_license(self.sources)

    @property
    def overridden(self) -> dict[str, list[str]]:
        """source → what its licenses say against the release that was made all the same."""
        return conflicts(self.sources, self.config.license)

    @property
    def milestone_of(self) -> int:
        """The steps of the whole run, of whose way this is a milestone; 0 for its end."""
        return int(self.build.counts("run").get("milestone_of", 0))

    @property
    def branch(self) -> dict[str, int]:
        """Of a run that began with another's weights: after which of its steps, and tokens read before."""
        found: dict[str, int] = self.build.counts("run").get("branch", {})
        return found

    @property
    def tokens_seen(self) -> int:
        """Tokens that the model was trained on, repeated ones each time; those of its seed too."""
        return int(self.build.counts("run").get("tokens", 0)) + self.branch.get("tokens", 0)

    @property
    def training_flops(self) -> float:
        """Floating-point operations of the training: 6 a matrix parameter and token (Kaplan et al. 2020)."""
        return 6.0 * self.model.num_matrix_parameters * self.tokens_seen
