"""How many characters a token of a model stands for, on texts of its domain."""

from __future__ import annotations

from pathlib import Path

from tsuzuri.core.errors import InputError
from tsuzuri.serving.models import TextModel
from tsuzuri.specialists.control.admission import held_out

TEXTS, CHARACTERS = 32, 500
"""Of a domain's texts, so many of each so much."""
ORDINARY = (
    "むかし、むかし、あるところに、おじいさんとおばあさんが住んでいました。",
    "東京都は関東地方に位置する日本の首都であり、人口は約一四〇〇万人である。",
    "設定ファイルを編集したあと、次のコマンドを実行してサービスを再起動します。",
)
"""Read where no texts of the domain are given."""


async def characters_per_token(model: TextModel, texts: Path | None) -> float:
    """By texts in a file of JSON lines, else by ordinary sentences; InputError where it is no such file."""
    sample = ORDINARY if texts is None else held_out(texts, TEXTS)
    characters = tokens = 0
    for text in sample:
        try:
            prompt = await model.read(text[:CHARACTERS])
        except InputError:  # more than this model sees at once
            continue
        characters += len(text[:CHARACTERS])
        tokens += len(prompt.ids)
    return characters / tokens if tokens else 0.0
