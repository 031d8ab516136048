"""The rules in the order in which they are asked; the first one broken is the reason why a document is
rejected."""

from __future__ import annotations

from tsuzuri.corpus.config import FilterConfig
from tsuzuri.corpus.filters import measures

REASONS = ("too_short", "too_long", "not_japanese", "few_kana", "repeated_lines", "repeated_ngrams")
"""Every reason of this module, in order: the steps of the waterfall."""


def reject_reason(text: str, config: FilterConfig) -> str:
    """Why a normalised text is rejected, or an empty string when it stays."""
    if len(text) < config.min_characters:
        return "too_short"
    if len(text) > config.max_characters:
        return "too_long"
    points = measures.code_points(text)
    counts = measures.class_counts(points)
    if measures.japanese_ratio(counts) < config.min_japanese_ratio:
        return "not_japanese"
    if measures.kana_ratio(counts) < config.min_kana_ratio:
        return "few_kana"
    if measures.repeated_line_ratio(text) > config.max_repeated_line_ratio:
        return "repeated_lines"
    if measures.repeated_ngram_ratio(points) > config.max_repeated_ngram_ratio:
        return "repeated_ngrams"
    return ""
