"""Tsuzuri (綴り): from Japanese text to a model that writes Japanese.

Light to import: torch comes with `load`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tsuzuri.core.errors import MissingExtraError

if TYPE_CHECKING:
    from tsuzuri.generation.language_model import LanguageModel

__all__ = ["load"]


def load(path: Path | str, *, device: str = "auto") -> LanguageModel:
    """The model in a release or in any GPT-2, Llama or Qwen3 folder, to generate, score or embed with."""
    try:
        from tsuzuri.generation.language_model import LanguageModel
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("tsuzuri"):
            raise
        raise MissingExtraError(error.name or "torch", "train") from error
    return LanguageModel.load(path, device=device)
