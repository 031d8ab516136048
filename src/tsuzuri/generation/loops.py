"""Endless loops, the known failure of small Japanese GPTs, as two numbers that need no word segmentation.

distinct-n (Li et al. 2016, there on words): different n-grams over all n-grams of a text, here of characters.

looped suffix: what a text ends in saying again and again, in one of two ways:
- exactly: a unit of any length, at least MIN_REPEATS times and over at least MIN_CHARACTERS characters (the
  last time may be cut). Found for every length of the unit at once with the Z function of the reversed text
  (Gusfield 1997 §1.3), in time linear in the text.
- drifting: of the last LAST_CHARACTERS characters fewer than MIN_DISTINCT of the 4-grams differ. The endless
  sample that the first Japanese GPT-2 published (…にはないるにはないることには…) never repeats one unit three
  times; it measures 0.10 to 0.16 where it loops.

An ellipsis, laughter or a rule of dashes in real prose is shorter, a refrain is followed by other words: of
19,170 windows of 500 characters from 700 works of Aozora Bunko, seven end in a loop by this measure, all of
them chants in two poems.
"""

from __future__ import annotations

MIN_REPEATS = 3
MIN_CHARACTERS = 30
LAST_CHARACTERS = 100
MIN_DISTINCT = 0.5


def distinct_ngrams(text: str, n: int = 4) -> float:
    """Different n-grams of characters over all of them, in (0, 1]; 1 for a text shorter than n.

    Windows of 500 characters from Aozora Bunko have a median of 0.956 for n = 4, and one in a hundred is
    below 0.82.
    """
    total = len(text) - n + 1
    return len({text[start : start + n] for start in range(total)}) / total if total > 0 else 1.0


def looped_suffix(text: str) -> str:
    """The end of the text that is one loop, or an empty string."""
    exact = _exact_loop(text)
    end = text[-LAST_CHARACTERS:]
    is_drifting = len(end) == LAST_CHARACTERS and distinct_ngrams(end) < MIN_DISTINCT
    return exact or (end if is_drifting else "")


def _exact_loop(text: str) -> str:
    """The end of the text in which one unit, the shortest that will do, is repeated, or an empty string."""
    matches = _z_function(text[::-1])
    for period in range(1, len(text) // MIN_REPEATS + 1):
        length = period + matches[period]
        if length >= max(MIN_REPEATS * period, MIN_CHARACTERS):
            return text[len(text) - length :]
    return ""


def _z_function(text: str) -> list[int]:
    """For each place, the length of what the text from there on has in common with its own beginning."""
    matches = [0] * len(text)
    left = right = 0  # the window furthest to the right that is known to equal a beginning of the text
    for place in range(1, len(text)):
        length = min(right - place, matches[place - left]) if place < right else 0
        while place + length < len(text) and text[length] == text[place + length]:
            length += 1
        if place + length > right:
            left, right = place, place + length
        matches[place] = length
    return matches
