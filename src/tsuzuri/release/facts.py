"""What a card and a datasheet are filled from: the boxes of a build, and the model as it is released."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tsuzuri.core.licenses import terms_of
from tsuzuri.model.config import ModelConfig
from tsuzuri.release.config import ReleaseConfig
from tsuzuri.report.boxes import Build


@dataclass(frozen=True)
class Facts:
    """One release in numbers."""

    config: ReleaseConfig
    model: ModelConfig
    build: Build
    hashes: dict[str, str]
    """stage → SHA-256 of its manifest."""

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
    def restricted_sources(self) -> list[str]:
        """The sources with a license against commercial use or edited copies."""
        return list(
            dict.fromkeys(source for source, license_, _ in self.licenses if terms_of(license_).is_restricted)
        )

    @property
    def tokens_seen(self) -> int:
        """Tokens that the model was trained on, repeated ones each time."""
        return int(self.build.counts("run").get("tokens", 0))

    @property
    def training_flops(self) -> float:
        """Floating-point operations of the training: 6 a matrix parameter and token (Kaplan et al. 2020)."""
        return 6.0 * self.model.num_matrix_parameters * self.tokens_seen

    @property
    def anonymised(self) -> bool:
        """Whether personal data was looked for in the documents of every source."""
        return set(self.sources) <= set(self.build.counts("documents").get("personal_data", {}))
