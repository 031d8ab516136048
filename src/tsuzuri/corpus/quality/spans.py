"""Lines, sentences and words as spans of a text's code points, counted and told apart in compiled loops."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled

_Points = npt.NDArray[np.uint32]
_Classes = npt.NDArray[np.uint8]
_Kinds = npt.NDArray[np.uint32]
_Spans = npt.NDArray[np.int32]

KINDS_ASKED = ("space", "stop", "trailing", "bullet", "sentence_end", "ellipsis")
"""What `kinds` says of each class, by its bits."""
_SPACE, _STOP, _TRAILING, _BULLET, _SENTENCE_END, _ELLIPSIS = 1, 2, 4, 8, 16, 32
_NEWLINE = 0x0A
_FULL_STOP = ord(".")
_SHORT_LINE = 10  # HojiChar: a line of at most so many characters is short

LINES, SHORT_LINES, ELLIPSIS_LINES, CUT_LINES = 0, 1, 2, 3
FULL_LINES, BULLET_LINES, ENDED_LINES = 4, 5, 6
LONGEST_RUN, ELLIPSES, HELD_LINES = 7, 8, 9
REPEATED_HELD, REPEATED_FULL, REPEATED_CHARACTERS = 10, 11, 12
_SCAN_FIELDS = 13
SENTENCES, PARAGRAPHS, CHARACTERS, TRAILING, LONGEST = 0, 1, 2, 3, 4
SENTENCE_REPEATS, SENTENCE_REPEAT_CHARACTERS, PARAGRAPH_REPEATS, PARAGRAPH_REPEAT_CHARACTERS = 5, 6, 7, 8
_SENTENCE_FIELDS = 9


@compiled
def scan(
    points: _Points, classes: _Classes, kinds: _Kinds
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(characters of each class, the fields LINES … REPEATED_CHARACTERS).

    Lines are what lies between newlines, empty ones too: HELD_LINES hold a character, FULL_LINES more than
    white space, ENDED_LINES are full and end in a mark that ends a sentence. CUT_LINES are HojiChar's (an
    ellipsis right before a newline), ELLIPSIS_LINES and BULLET_LINES Gopher's (white space at the ends
    aside). REPEATED_HELD and REPEATED_FULL repeat an earlier line, REPEATED_CHARACTERS are those of the
    latter.
    """
    counts = np.zeros(len(kinds), dtype=np.int64)
    fields = np.zeros(_SCAN_FIELDS, dtype=np.int64)
    newlines = 0
    longest = run = dots = 0
    previous = np.uint32(0xFFFF_FFFF)
    for point in points:
        counts[classes[point]] += 1
        newlines += point == _NEWLINE
        run = run + 1 if point == previous else 1
        longest = max(longest, run)
        dots = dots + 1 if point == _FULL_STOP else 0
        if dots == 3:  # as str.count("...") counts them
            fields[ELLIPSES] += 1
            dots = 0
        previous = point
    lines = np.empty((newlines + 1, 2), dtype=np.int32)
    start = line = 0
    for at in range(len(points) + 1):
        if at == len(points) or points[at] == _NEWLINE:
            lines[line, 0], lines[line, 1] = start, at
            _describe_line(points, classes, kinds, start, at, fields)
            line += 1
            start = at + 1
    fields[LINES] = line
    fields[LONGEST_RUN] = longest
    _repeated_lines(points, classes, kinds, lines, fields)
    return counts, fields


@compiled
def _describe_line(
    points: _Points,
    classes: _Classes,
    kinds: _Kinds,
    start: int,
    end: int,
    fields: npt.NDArray[np.int64],
) -> None:
    fields[SHORT_LINES] += end - start <= _SHORT_LINE
    fields[HELD_LINES] += end > start
    if end < len(points):
        fields[CUT_LINES] += _ends_in_ellipsis(points, classes, kinds, start, end)
    first, last = _stripped(points, classes, kinds, start, end)
    if first == last:
        return
    fields[FULL_LINES] += 1
    fields[BULLET_LINES] += kinds[classes[points[first]]] & _BULLET != 0
    fields[ELLIPSIS_LINES] += _ends_in_ellipsis(points, classes, kinds, first, last)
    fields[ENDED_LINES] += kinds[classes[points[end - 1]]] & _SENTENCE_END != 0


@compiled
def _ends_in_ellipsis(points: _Points, classes: _Classes, kinds: _Kinds, start: int, end: int) -> bool:
    if end > start and kinds[classes[points[end - 1]]] & _ELLIPSIS != 0:
        return True
    dots = 0
    while dots < 3 and end - dots > start and points[end - dots - 1] == _FULL_STOP:
        dots += 1
    return dots == 3


@compiled
def _stripped(points: _Points, classes: _Classes, kinds: _Kinds, start: int, end: int) -> tuple[int, int]:
    while start < end and kinds[classes[points[start]]] & _SPACE != 0:
        start += 1
    while end > start and kinds[classes[points[end - 1]]] & _SPACE != 0:
        end -= 1
    return start, end


@compiled
def sentence_statistics(points: _Points, classes: _Classes, kinds: _Kinds) -> npt.NDArray[np.int64]:
    """(9,) the fields SENTENCES … PARAGRAPH_REPEAT_CHARACTERS, by Swallow's rules.

    A sentence is a run without 。．！？!? in a line and the one mark after it; a paragraph is a line's
    sentences, and may be empty. CHARACTERS are those that belong to a sentence; TRAILING sentences end in an
    ellipsis or ・; LONGEST is the length of the longest.
    """
    kept = np.empty(len(points), dtype=np.uint32)
    stops = newlines = 0
    for point in points:
        kind = kinds[classes[point]]
        stops += kind & _STOP != 0
        newlines += point == _NEWLINE
    sentences = np.empty((stops + newlines + 1, 2), dtype=np.int32)
    paragraphs = np.empty((newlines + 1, 2), dtype=np.int32)
    length = sentence = paragraph = begun_paragraph = begun = trailing = 0
    for at in range(len(points) + 1):
        ends_line = at == len(points) or points[at] == _NEWLINE
        stop = not ends_line and kinds[classes[points[at]]] & _STOP != 0
        if not ends_line and (not stop or length > begun):
            kept[length] = points[at]
            length += 1
        if (ends_line or stop) and length > begun:
            sentences[sentence, 0], sentences[sentence, 1] = begun, length
            sentence += 1
            first, last = _stripped(kept, classes, kinds, begun, length)
            trailing += last > first and kinds[classes[kept[last - 1]]] & _TRAILING != 0
            begun = length
        if ends_line:
            paragraphs[paragraph, 0], paragraphs[paragraph, 1] = begun_paragraph, length
            paragraph += 1
            begun_paragraph = length
    fields = np.zeros(_SENTENCE_FIELDS, dtype=np.int64)
    fields[SENTENCES], fields[PARAGRAPHS] = sentence, paragraph
    fields[CHARACTERS], fields[TRAILING] = length, trailing
    for index in range(sentence):
        fields[LONGEST] = max(fields[LONGEST], sentences[index, 1] - sentences[index, 0])
    _count_repeats(kept, sentences[:sentence], fields[SENTENCE_REPEATS:])
    _count_repeats(kept, paragraphs, fields[PARAGRAPH_REPEATS:])
    return fields


@compiled
def number_spans(points: _Points, spans: _Spans) -> npt.NDArray[np.int32]:
    """(spans,) a number for each span's text, equal for equal texts, in the order of first appearance.

    Hashes only choose where to look; texts are compared character by character.
    """
    numbers = np.empty(len(spans), dtype=np.int32)
    size = 16
    while size < 2 * len(spans):
        size *= 2
    slots = np.full(size, -1, dtype=np.int32)  # the first span of each text
    hashes = np.empty(len(spans), dtype=np.uint64)
    found = 0
    for index in range(len(spans)):
        start, end = spans[index, 0], spans[index, 1]
        code = np.uint64(end - start)
        for at in range(start, end):
            code = (code ^ np.uint64(points[at])) * np.uint64(0x9E37_79B9_7F4A_7C15)
            code ^= code >> np.uint64(29)
        hashes[index] = code
        slot = np.int64(code & np.uint64(size - 1))
        while True:
            other = slots[slot]
            if other < 0:
                slots[slot] = index
                numbers[index] = found
                found += 1
                break
            if hashes[other] == code and _same(points, spans, index, other):
                numbers[index] = numbers[other]
                break
            slot = (slot + 1) & (size - 1)
    return numbers


@compiled
def _same(points: _Points, spans: _Spans, one: int, other: int) -> bool:
    length = spans[one, 1] - spans[one, 0]
    if length != spans[other, 1] - spans[other, 0]:
        return False
    offset = 0
    while offset < length and points[spans[one, 0] + offset] == points[spans[other, 0] + offset]:
        offset += 1
    return bool(offset == length)


@compiled
def _count_repeats(points: _Points, spans: _Spans, fields: npt.NDArray[np.int64]) -> None:
    """Add to the first two fields how many spans repeat an earlier one, and their characters."""
    numbers = number_spans(points, spans)
    newest = -1
    for index in range(len(numbers)):
        if numbers[index] > newest:
            newest = numbers[index]
        else:
            fields[0] += 1
            fields[1] += spans[index, 1] - spans[index, 0]


@compiled
def _repeated_lines(
    points: _Points,
    classes: _Classes,
    kinds: _Kinds,
    lines: _Spans,
    fields: npt.NDArray[np.int64],
) -> None:
    numbers = number_spans(points, lines)
    newest = -1
    for index in range(len(numbers)):
        if numbers[index] > newest:
            newest = numbers[index]
            continue
        start, end = lines[index, 0], lines[index, 1]
        fields[REPEATED_HELD] += end > start
        first, last = _stripped(points, classes, kinds, start, end)
        if last > first:
            fields[REPEATED_FULL] += 1
            fields[REPEATED_CHARACTERS] += end - start
