"""What a revision is called where nobody named it. Imports no torch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsuzuri.core.config import parse_config
from tsuzuri.core.files import sha256_file
from tsuzuri.core.manifest import MANIFEST, read_manifest
from tsuzuri.serving.engines.ours.config import MixtureConfig
from tsuzuri.serving.loading import WEIGHTS, model_folder

SUM_DIGITS = 12
LONGEST = 64
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


def revision_of(release: Path, engine: Mapping[str, Any]) -> str:
    """By the version and the sum of the weights: of a release as its manifest has them, else as they lie
    there. An upstream, whose weights nobody sees: by its address and its name for the model. A mixture: by
    its members."""
    if engine.get("kind") == "openai":
        said = f"{engine.get('base_url', '')} {engine.get('model', '')}"
        return _fit(f"{engine.get('model', 'upstream')}-{hashlib.sha256(said.encode()).hexdigest()[:8]}")
    if engine.get("kind") == "mixture":
        keys = {key: value for key, value in engine.items() if key != "kind"}
        members = parse_config(MixtureConfig, keys, where="engine", hint="see docs/serving.md").members
        said = " ".join(f"{revision_of(member.path, {})} {member.share}" for member in members)
        return f"mixture-{hashlib.sha256(said.encode()).hexdigest()[:8]}"
    folder = model_folder(release)
    version, weights = "", ""
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder)
        version, weights = str(manifest.config.get("version", "")), manifest.files.get(WEIGHTS, "")
    if not weights and (folder / WEIGHTS).exists():
        weights = sha256_file(folder / WEIGHTS)
    if not weights:  # several files of weights, say: their index, or whatever describes the model
        weights = sha256_file(
            next((file for file in sorted(folder.glob("*.index.json"))), folder / "config.json")
        )
    return _fit("-".join(filter(None, (version, weights[:SUM_DIGITS]))))


def _fit(name: str) -> str:
    """A name that can be part of a topic's, which keeps its end."""
    return _UNFIT.sub("-", name)[-LONGEST:].lstrip("._-") or "1"
