"""Hugging Face datasets that lie on this machine: a `save_to_disk` folder of Arrow files, or a snapshot of
Parquet, JSON and tables with its card.

The license is the card's (the YAML above README.md, or `dataset_info.json`), as SPDX. Of a dataset with
several splits one is taken, told by folders or by a word in the files' names, as `datasets` tells them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tsuzuri.core.errors import InputError, closest
from tsuzuri.core.spdx import UNKNOWN, spdx_of
from tsuzuri.corpus.sources.base import Item, Unreadable
from tsuzuri.corpus.sources.config import FilesSource, HuggingFaceSource
from tsuzuri.corpus.sources.files import FilesOnDisk
from tsuzuri.corpus.sources.members import Member, fingerprint, list_members
from tsuzuri.corpus.sources.records import RECORD_SUFFIXES, needed_column
from tsuzuri.corpus.sources.spans import in_batches

SPLITS = ("train", "test", "validation", "valid", "val", "dev", "eval", "evaluation", "testing", "training")
"""Words that `datasets` reads as splits in names of files and folders."""
_ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_WORDS = re.compile(r"[^a-z]+")
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)


class HuggingFaceDataset:
    """The records of one split of a dataset."""

    def __init__(self, config: HuggingFaceSource, root: Path) -> None:
        self.config = config
        self.path = root / config.path
        self.name = config.name or self.path.resolve().name

    def members(self) -> list[Member]:
        """The files of the split in a stable order; InputError when the dataset has no such split."""
        files = list_members(self.path, RECORD_SUFFIXES, looked_for="Arrow, Parquet, JSON and tables")
        found = [member for member in files if not _is_about(member)]
        splits = {member.name: _split_of(member.name) for member in found}
        named = {split for split in splits.values() if split}
        if not named:
            return found
        if self.config.split not in named:
            hint = f"set split to one of: {', '.join(sorted(named))}{closest(self.config.split, named)}"
            raise InputError(f"{self.path} has no split {self.config.split!r}", hint=hint)
        return [member for member in found if splits[member.name] == self.config.split]

    def fingerprint(self) -> str:
        """A hash of the names and contents of the files, and of the license that their card names."""
        return hashlib.sha256(f"{fingerprint(self.members())}\0{self.license}".encode()).hexdigest()

    def batches(self) -> list[tuple[Member, ...]]:
        """Files in batches of some megabytes; InputError for a table without the column of the text."""
        members = self.members()
        for member in members:
            self._check_columns(member)
        return in_batches(members)

    def items(self, batch: tuple[Member, ...]) -> Iterator[Item | Unreadable]:
        """The records of a batch."""
        return self._files.items(batch)

    @cached_property
    def license(self) -> str:
        """The SPDX expression of the records that name none themselves."""
        return self.config.license or license_of_card(self.path)

    @cached_property
    def _files(self) -> FilesOnDisk:
        config = FilesSource(
            path=self.path,
            name=self.name,
            license=self.license,
            fields=self.config.fields,
            drop_word_spaces=self.config.drop_word_spaces,
        )
        return FilesOnDisk(config, Path())

    def _check_columns(self, member: Member) -> None:
        columns = _columns(member)
        wanted = needed_column(self.config.fields)
        if columns is not None and wanted not in columns:
            raise InputError(
                f"{member.name} of {self.name!r} has no column {wanted!r}; it has: {', '.join(columns)}",
                hint=f"name the column of the text with fields: {{text: …}}{closest(wanted, columns)}",
            )


def license_of_card(folder: Path) -> str:
    """The SPDX expression that a dataset's card names, or `LicenseRef-unknown`; of several, all hold."""
    named = _front_matter(folder / "README.md").get("license") or _dataset_info(folder).get("license")
    names = [str(name) for name in (named if isinstance(named, list) else [named]) if name]
    return spdx_of("\n".join(names)) or UNKNOWN


def _front_matter(card: Path) -> dict[str, Any]:
    if not card.is_file():
        return {}
    match = _FRONT_MATTER.match(card.read_text(encoding="utf-8", errors="replace"))
    try:
        values = yaml.safe_load(match.group(1)) if match else None
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def _dataset_info(folder: Path) -> dict[str, Any]:
    for path in sorted(folder.rglob("dataset_info.json")):
        try:
            values = json.loads(path.read_bytes())
        except ValueError:
            continue
        if isinstance(values, dict) and values.get("license"):
            return values
    return {}


def _is_about(member: Member) -> bool:
    """Whether a file is what `datasets` keeps beside the data: of an operation, or about them."""
    name = member.path.name
    return (member.ends_in(".arrow") and name.startswith("cache-")) or name in _ABOUT


def _split_of(name: str) -> str:
    """The split that a file's folders or name tell, or an empty string."""
    words = _WORDS.split(name.lower())
    return next((word for word in words if word in SPLITS), "")


def _columns(member: Member) -> list[str] | None:
    """The columns of a Parquet or Arrow file; None for other kinds, and for a file too damaged to tell."""
    if member.inner or not member.ends_in(".parquet", ".arrow"):
        return None
    try:
        if member.ends_in(".parquet"):
            return list(pq.read_schema(member.path).names)
        with pa.memory_map(str(member.path)) as file:
            return list(pa.ipc.open_stream(file).schema.names)
    except (pa.ArrowInvalid, OSError):
        return None
