"""How it was made: the resolved configuration of every stage, and the chain of hashes back to the sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from tsuzuri.core.boxes import RUN_FILE, STAGES
from tsuzuri.core.lineage import Ancestor, walk
from tsuzuri.report.boxes import Build
from tsuzuri.report.labels import STAGES as STAGE_NAMES
from tsuzuri.report.labels import name_of
from tsuzuri.report.markup import Markup, safe
from tsuzuri.report.page import bilingual, section, table, unfolding

STATES = {"ok": "", "changed": "変わった changed", "missing": "ない missing"}


def configuration(build: Build) -> Markup:
    """The section on configuration: one fold for each stage that was begun."""
    folds = [_fold(stage, build.config(stage)) for stage in STAGES if build.config(stage)]
    if build.run:
        folds.append(_yaml(RUN_FILE, build.run))
    return section("設定", "Configuration", folds)


def lineage(build: Build, boxes: Mapping[str, Path], out: Path) -> Markup:
    """The section on lineage: every box and source file that the last finished box was made from, once."""
    last = next((stage for stage in reversed(STAGES) if stage in build.finished), None)
    if last is None:
        return Markup("")
    found: dict[Path, Ancestor] = {}
    for ancestor in walk(boxes[last]):
        if ancestor.path not in found or ancestor.state != "ok":
            found[ancestor.path] = ancestor
    rows = [
        (
            bilingual(*name_of(STAGE_NAMES, _kind(item))),
            _place(item.path, out),
            Markup(f'<code class="hash">{item.sha256}</code>'),
            STATES[item.state],
        )
        for item in sorted(found.values(), key=lambda item: (_order(item), str(item.path)))
    ]
    header = ("箱 Box", "場所 Place", "SHA-256", "")
    versions = sorted(
        {manifest.code_version for manifest in build.manifests.values() if manifest.code_version}
    )
    note = Markup(
        f'<p>綴り <span lang="en">tsuzuri</span> {safe(", ".join(versions))}</p>' if versions else ""
    )
    return section("来歴", "Lineage", [table(header, rows, words=4), note])


def _fold(stage: str, config: object) -> Markup:
    japanese, english = STAGE_NAMES[stage]
    return _yaml(f"{japanese} · {english}", config)


def _yaml(summary: str, config: object) -> Markup:
    text = yaml.safe_dump(config, allow_unicode=True, sort_keys=False, width=100)
    return unfolding(summary, Markup(f"<pre>{safe(text)}</pre>"))


def _place(path: Path, out: Path) -> str:
    """The path below the build's folder; of what lies elsewhere the name alone, as a report is given away."""
    resolved, root = path.resolve(), out.resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else resolved.name


def _order(ancestor: Ancestor) -> int:
    kind = _kind(ancestor)
    return STAGES.index(kind) if kind in STAGES else len(STAGES)


def _kind(ancestor: Ancestor) -> str:
    return ancestor.manifest.kind if ancestor.manifest else ancestor.name
