"""From the bytes of pieces to whole characters, for byte-level and byte-fallback tokenizers alike.

A character comes out with the piece that brings its last byte, no later. Bytes that cannot be UTF-8 come
out as U+FFFD as soon as that is certain, as Python's decoder does it. A character that is still incomplete
when the stream ends is dropped: the limit on tokens cut it, the model did not write it.
"""

from __future__ import annotations

import codecs


class CharacterStream:
    """Bytes in, whole characters out."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, piece: bytes) -> str:
        """The characters that `piece` completes."""
        return self._decoder.decode(piece)
