"""What a client or an operator decides by rules: before any model is asked. Imports no torch."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence

from tsuzuri.core.errors import RecipeError
from tsuzuri.specialists.routing.base import RuleConfig

SCRIPTS = {
    "hiragana": r"[\u3041-\u309f]",
    "katakana": r"[\u30a0-\u30ff\u31f0-\u31ff]",
    "kanji": r"[\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]",
    "latin": r"[A-Za-z\u00c0-\u024f]",
    "digit": r"\d",
}
"""What is none of these, nor space, is `other`."""


class Table:
    """The rules, tried in their order on a text's beginning."""

    def __init__(self, rules: Sequence[RuleConfig]) -> None:
        """RecipeError where a pattern is none, or a rule says nothing."""
        self._rules = rules
        self._patterns: list[re.Pattern[str] | None] = []
        self._keywords = [tuple(map(_folded, rule.keywords)) for rule in rules]
        for place, rule in enumerate(rules):
            if not (rule.pattern or rule.keywords or rule.script or rule.field):
                raise RecipeError(f"router.rules.{place} for {rule.specialist} has no condition")
            try:
                self._patterns.append(re.compile(rule.pattern) if rule.pattern else None)
            except re.error as error:
                raise RecipeError(
                    f"router.rules.{place}: {rule.pattern!r} is no regular expression: {error}"
                ) from None

    def choose(self, text: str, among: Collection[str], field: str) -> tuple[str, int] | None:
        """(specialist, number of the rule) of the first rule that is met and whose specialist is up."""
        folded = _folded(text)
        text = unicodedata.normalize("NFKC", text)[: len(text)]
        for place, rule in enumerate(self._rules):
            if rule.specialist in among and self._is_met(place, text, folded, field):
                return rule.specialist, place
        return None

    def _is_met(self, place: int, text: str, folded: str, field: str) -> bool:
        rule, pattern = self._rules[place], self._patterns[place]
        return (
            (not rule.field or rule.field == field)
            and (pattern is None or pattern.search(text) is not None)
            and (not rule.keywords or any(word in folded for word in self._keywords[place]))
            and (not rule.script or script_share(text, rule.script) >= rule.share)
        )


def script_share(text: str, script: str) -> float:
    """Of the characters of a text that are no space, how many are of a script; 0 where there are none."""
    text = "".join(text.split())
    if not text:
        return 0.0
    if script == "other":
        return 1 - sum(script_share(text, one) for one in SCRIPTS)
    return len(re.findall(SCRIPTS[script], text)) / len(text)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()
