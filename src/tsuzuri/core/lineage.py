"""From a box back to its sources: the chain of manifests, each input checked against the hash it had then."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tsuzuri.core.boxes import STAGES
from tsuzuri.core.errors import InputError
from tsuzuri.core.manifest import MANIFEST, Manifest, box_sha256, read_manifest


@dataclass(frozen=True)
class Ancestor:
    """One box, or one source file, that another was made from."""

    depth: int
    name: str
    path: Path
    sha256: str
    state: str
    """ok, changed (its hash is no longer the one that was used) or missing."""
    manifest: Manifest | None


def walk(box: Path, name: str = "", depth: int = 0, sha256: str = "") -> Iterator[Ancestor]:
    """The box and everything it was made from, depth first, sources last."""
    box = Path(box)
    if not box.exists():
        if depth == 0:
            raise InputError(f"{box} does not exist", hint="give a folder that tsuzuri made")
        yield Ancestor(depth, name, box, sha256, "missing", None)
        return
    manifest = read_manifest(box) if depth == 0 or (box / MANIFEST).exists() else None
    found = box_sha256(box) if box.is_file() or manifest else ""
    state = "ok" if found == (sha256 or found) else "changed"
    yield Ancestor(depth, name or (manifest.kind if manifest else ""), box, found, state, manifest)
    for inner_name, item in (manifest.inputs if manifest else {}).items():
        path = Path(os.path.normpath(box.absolute() / item["path"]))  # as it was made: links are not followed
        yield from walk(path, inner_name, depth + 1, item["sha256"])


def describe(box: Path) -> str:
    """The lineage of a box, or of the last one of a build, as indented lines of text; what several boxes were
    made from is described once."""
    box = next((box / stage for stage in (".", *reversed(STAGES)) if (box / stage / MANIFEST).exists()), box)
    lines: list[str] = []
    described: set[Path] = set()
    folded_at = sys.maxsize
    for ancestor in walk(box):
        if ancestor.depth > folded_at:
            continue
        folded_at = ancestor.depth if ancestor.path in described else sys.maxsize
        counts = ancestor.manifest.counts if ancestor.manifest else {}
        facts = ", ".join(f"{key} {value:,}" for key, value in counts.items() if isinstance(value, int))
        mark = "" if ancestor.state == "ok" else f"  ** {ancestor.state} **"
        head = f"{'  ' * ancestor.depth}{ancestor.name}  {ancestor.path}  {ancestor.sha256[:12]}{mark}"
        if ancestor.path in described:
            lines.append(f"{head}  (as above)" if ancestor.manifest else head)
            continue
        described.add(ancestor.path)
        lines.append(f"{head}\n{'  ' * ancestor.depth}  {facts}" if facts else head)
        if ancestor.manifest and ancestor.manifest.kind == "documents":
            lines += (f"{'  ' * (ancestor.depth + 1)}{line}" for line in _sources(ancestor.manifest))
    return "\n".join(lines)


def _sources(documents: Manifest) -> Iterator[str]:
    """A line for each source of a documents box: what and where it was, its hash, what came of it."""
    hashes = documents.config.get("fingerprints", {})
    described = {source["name"]: source for source in documents.config.get("source", [])}
    for name, counts in documents.counts.get("sources", {}).items():
        source = described.get(name, {})
        where = [str(source[key]) for key in ("kind", "path", "index") if source.get(key)]
        head = "  ".join(filter(None, (f"source {name}", " ".join(where), hashes.get(name, "")[:12])))
        licenses = (f"{count:,} {license}" for license, count in counts.get("licenses", {}).items())
        found = ": ".join(filter(None, (f"{counts['documents']:,} documents", ", ".join(licenses))))
        yield f"{head}  {found}"
