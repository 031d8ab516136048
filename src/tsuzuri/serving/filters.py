"""What a model may not write: words of a list and personal data, by the rules of the corpus foundry.

A stream lags a few characters behind what is written, so that what is found is seen whole before any of it
leaves. The end of the prompt is read along as context (a number that the prompt begins is still a number),
but is never changed or counted. What is longer than the lag may begin to leave before it is recognised: then
its remainder is masked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tsuzuri.serving.config import FilterConfig

CONTEXT_CHARACTERS = 64
"""Of what has already left (or of the prompt) that the rules see."""
EVERY_CHARACTERS = 8
"""New characters that are waited for before the rules look again."""
MASK = "〓"
"""Stands for each character of a word on the list."""


@dataclass(frozen=True, slots=True)
class Found:
    """A stretch of text that may not be written."""

    start: int
    end: int
    kind: str
    """`ng_words`, or a kind of personal data."""
    replacement: str
    stops: bool
    """Whether the answer ends before it."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of what was written, as it leaves."""

    characters: int
    """Of what was written."""
    text: str
    """What leaves for them."""
    masked: bool


Rule = Callable[[str], Iterator[Found]]


class Filters:
    """The rules of one model: made once, used by every answer."""

    def __init__(self, config: FilterConfig) -> None:
        self._rules: list[Rule] = []
        self.hold_characters = config.hold_characters
        self.kinds: list[str] = []
        """`ng_words` and `personal_data`, where there are such rules."""
        if config.ng_words:
            self._rules.append(_ng_words(config))
            self.kinds.append("ng_words")
        if config.personal_data:
            self._rules.append(_personal_data(config))
            self.kinds.append("personal_data")

    def __bool__(self) -> bool:
        return bool(self._rules)

    def find(self, text: str) -> list[Found]:
        """What may not be written, in order; of two that overlap the first, then the longer."""
        found = sorted(
            (item for rule in self._rules for item in rule(text)), key=lambda item: (item.start, -item.end)
        )
        kept: list[Found] = []
        for item in found:
            if not kept or item.start >= kept[-1].end:
                kept.append(item)
        return kept


class FilteredText:
    """One answer on its way through the filters."""

    def __init__(self, filters: Filters, prompt: str) -> None:
        self._filters = filters
        self._context = prompt[-CONTEXT_CHARACTERS:]
        self._held = ""
        self._unseen = 0
        self.counts: Counter[str] = Counter()
        self.stopped = False
        """Whether a rule ended the answer; nothing leaves after it."""

    def push(self, text: str) -> list[Segment]:
        """What may leave once `text` has been written."""
        if not self._filters:
            return [Segment(len(text), text, False)] if text else []
        self._held += text
        self._unseen += len(text)
        if self.stopped or self._unseen < EVERY_CHARACTERS:
            return []
        self._unseen = 0
        return self._release(max(0, len(self._held) - self._filters.hold_characters))

    def flush(self) -> list[Segment]:
        """The rest, once nothing more is written."""
        return [] if self.stopped or not self._held else self._release(len(self._held))

    def _release(self, length: int) -> list[Segment]:
        """What leaves of the first `length` characters held; what is found across the cut waits."""
        before = len(self._context)
        window = self._context + self._held
        cut, place = before + length, before
        segments: list[Segment] = []
        for item in self._filters.find(window):
            if item.end <= before:
                continue
            if item.start >= cut:
                break
            if item.end > cut:
                cut = max(place, item.start)
                break
            start = max(item.start, place)
            segments += _plain(window[place:start])
            self.counts[item.kind] += 1
            place = item.end
            if item.stops:
                self.stopped = True
                self._held = ""
                return segments
            segments.append(Segment(item.end - start, item.replacement, True))
        segments += _plain(window[place:cut])
        self._context = window[max(0, cut - CONTEXT_CHARACTERS) : cut]
        self._held = window[cut:]
        return segments


def _plain(text: str) -> Sequence[Segment]:
    return [Segment(len(text), text, False)] if text else []


def _ng_words(config: FilterConfig) -> Rule:
    from tsuzuri.corpus.quality.characters import code_points
    from tsuzuri.corpus.quality.ng_words import NgWords

    assert config.ng_words is not None
    words, stops = NgWords.read(config.ng_words.file), config.ng_words.action == "stop"
    words.spans(code_points("綴り"))  # compiled now, not within somebody's stream

    def rule(text: str) -> Iterator[Found]:
        for start, end in words.spans(code_points(text)):
            yield Found(start, end, "ng_words", MASK * (end - start), stops)

    return rule


def _personal_data(config: FilterConfig) -> Rule:
    from tsuzuri.corpus.anonymize.anonymizer import Anonymizer
    from tsuzuri.corpus.anonymize.config import TOKENS, AnonymizeConfig

    assert config.personal_data is not None
    find, stops = Anonymizer(AnonymizeConfig(level=config.personal_data.level)), config.personal_data.action

    def rule(text: str) -> Iterator[Found]:
        for item in find(text).masked:
            yield Found(item.start, item.end, item.kind, TOKENS[item.kind], stops == "stop")

    return rule
