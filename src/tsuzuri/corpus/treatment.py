"""What every document of a source passes alone: it is normalised, judged, and freed of personal data.

What falls out is cut to an excerpt, unless rejected documents are kept; the excerpt is freed of personal data
like a text that stays, for it is shown in the datasheet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tsuzuri.core.files import sha256_file
from tsuzuri.corpus.anonymize.anonymizer import Anonymizer, read_key, read_names
from tsuzuri.corpus.anonymize.log import findings_of
from tsuzuri.corpus.document import Document
from tsuzuri.corpus.normalize import normalize
from tsuzuri.corpus.quality.judge import Judge
from tsuzuri.corpus.sources.base import FAILED, described
from tsuzuri.corpus.sources.config import SourceConfig

EXCERPT_CHARACTERS = 200
PERSONAL_DATA = "personal_data"
"""Why a document fell out that held what `mode: drop` does not allow."""
TREATED = ("text", "title", "author")
"""The fields of a document that may hold personal data."""


@dataclass(frozen=True, slots=True)
class Treated:
    """What became of a document."""

    document: Document
    """As it goes on; cut to an excerpt where it falls out."""
    characters: int
    """Of its normalised text, before it was cut."""
    reason: str = ""
    """Why it falls out, or an empty string."""
    detail: str = ""
    """What was found, and what was allowed."""
    documents: int = 1
    """How many things of a source this stands for."""
    findings: tuple[Mapping[str, Any], ...] = ()
    """The personal data found in it (see `anonymize.log`)."""


class Treatment:
    """What the configuration of a source does to its documents.

    Lists of words and the key of surrogates are read, and what an extra installs is looked for, here.
    """

    def __init__(self, config: SourceConfig, root: Path = Path(), *, keep_rejected: bool = False) -> None:
        key_file = config.anonymize.key_file
        key = read_key(key_file) if key_file and config.anonymize.mode == "surrogate" else b""
        self._fold_width = config.fold_width
        self._judge = Judge(config.quality, root)
        self._lists = [root / path for path in config.quality.files]
        public_names: frozenset[str] = frozenset()
        if config.anonymize.public_names:
            self._lists.append(root / config.anonymize.public_names)
            public_names = read_names(self._lists[-1])
        self._anonymizer = Anonymizer(config.anonymize, key=key, public_names=public_names)
        self._keep_rejected = keep_rejected
        self.anonymizes = config.anonymize.level != "off"
        """Whether personal data is looked for."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason for which the quality of a document may make it fall out."""
        return self._judge.reasons

    def fingerprint(self) -> str:
        """A hash of the lists of words and of the key's id; empty where there are none."""
        read = [self._anonymizer.key_id, *map(sha256_file, self._lists)]
        return hashlib.sha256("\n".join(read).encode()).hexdigest() if any(read) else ""

    def __call__(self, document: Document) -> Treated:
        """The document after its treatment; FAILED where that raises."""
        try:
            return self._treat(document)
        except Exception as error:
            return Treated(replace(document, text="", title="", author=""), 0, FAILED, described(error))

    def _treat(self, document: Document) -> Treated:
        text = normalize(document.text, fold_width=self._fold_width)
        title = normalize(document.title, fold_width=self._fold_width).strip()
        characters = len(text)
        rejection = self._judge.reject(text, document.url, self._link_share(document))
        is_excerpt = rejection is not None and not self._keep_rejected
        if is_excerpt:
            text = text[: 2 * EXCERPT_CHARACTERS]  # so that no number is cut in half before it is found
        fields = {"text": text, "title": title, "author": document.author}
        results = {name: self._anonymizer(fields[name]) for name in TREATED}
        if any(result.dropped for result in results.values()):
            fields, reason, detail = dict.fromkeys(TREATED, ""), PERSONAL_DATA, ""
        else:
            fields = {name: result.text for name, result in results.items()}
            fields["text"] = fields["text"][: EXCERPT_CHARACTERS if is_excerpt else None]
            reason, detail = (rejection.reason, rejection.detail) if rejection else ("", "")
        findings = [one for name, result in results.items() for one in findings_of(result, name)]
        return Treated(replace(document, **fields), characters, reason, detail, findings=tuple(findings))

    def _link_share(self, document: Document) -> float:
        asked = self._judge.profile.asks_links
        return float(json.loads(document.meta).get("link_share", 0.0)) if asked else 0.0
