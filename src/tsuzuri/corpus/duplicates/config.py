"""How alike is too alike: thresholds for near-copies, repeated passages and a site's recurring lines."""

from __future__ import annotations

from pydantic import Field

from tsuzuri.core.config import Config

WORKER_MEMORY_BYTES = 512 * 2**20


class NearDuplicateConfig(Config):
    """Which documents are near-copies of each other, and how hard they are looked for."""

    threshold: float = Field(0.8, gt=0, le=1)
    """Smallest Jaccard similarity of the sets of character n-grams of the folded texts that makes two
    documents near-copies; it is verified on the sets themselves, never estimated."""
    shingle_characters: int = Field(5, ge=1, le=100)
    """Length of the n-grams, in characters of the folded text; a shorter text is one n-gram."""
    bands: int = Field(16, ge=1, le=256)
    """Bands of the signature: documents that agree in one band are compared."""
    rows_per_band: int = Field(6, ge=1, le=64)
    """Values in a band, all of which must agree."""
    score_column: str = ""
    """The numeric column by which the best of near-copies is chosen (larger is better); unset: the longest
    folded text. Ties are decided by a hash of the id."""
    bucket_documents: int = Field(64, ge=2)
    """Largest group agreeing in a band of which every pair is compared; in a larger one each document is
    compared with the group's best and with the next few."""
    memory_bytes: int = Field(WORKER_MEMORY_BYTES, ge=2**20)
    """What one worker process may take beside the documents it reads, in bytes."""

    def chance_of_comparing(self, jaccard: float) -> float:
        """The probability that two documents of this similarity are compared, and so found."""
        return float(1 - (1 - jaccard**self.rows_per_band) ** self.bands)


class RepeatedPassageConfig(Config):
    """Which passages of later documents are cut because an earlier document has them."""

    min_characters: int = Field(100, ge=8)
    """Shortest passage that counts as repeated, in characters (code points of the text as it stands)."""
    min_kept_characters: int = Field(50, ge=0)
    """Shortest piece left between cuts that is kept, in characters; a document without one falls out."""
    memory_bytes: int = Field(WORKER_MEMORY_BYTES, ge=2**20)
    """What one worker process may take beside the documents it reads, in bytes."""


class BoilerplateConfig(Config):
    """Which lines are a site's own furniture: menus, notices and footers on page after page."""

    min_documents: int = Field(5, ge=2)
    """Fewest documents of a group (host, package) that hold a line before it is boilerplate."""
    min_share: float = Field(0.1, ge=0, le=1)
    """Smallest share of the group's documents that hold it."""
    min_characters: int = Field(4, ge=1)
    """Shortest line looked at, in characters, white space around it aside: 「はい」 stays."""
    min_kept_characters: int = Field(1, ge=0)
    """Shortest piece left between cuts that is kept, in characters; a document without one falls out."""
    memory_bytes: int = Field(WORKER_MEMORY_BYTES, ge=2**20)
    """What one worker process may take beside the documents it reads, in bytes."""


class DuplicatesConfig(Config):
    """What is looked for beside exact copies, in this order; unset: not looked for."""

    near: NearDuplicateConfig | None = None
    """Documents that are much alike: the best one of them stays."""
    boilerplate: BoilerplateConfig | None = None
    """A site's recurring lines: they stay in the first document that has them."""
    passages: RepeatedPassageConfig | None = None
    """Passages that an earlier document has."""
