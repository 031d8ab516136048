"""Exact duplicates: two documents are the same when their folded texts are, and the first one stays.

The key is BLAKE2b (128 bits) of the text under NFKC, lower case, without white space, so a change of width,
case or line breaks does not hide a copy. NFKC is applied to the runs of characters that it can change, ten
times faster than to the whole. Keys of a whole corpus are compared at once: some dozen bytes of memory per
document.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

KEY_BYTES = 16
_CHANGEABLE = re.compile("[^\x00-\x7f\u3001-\u3020\u3041-\u3096\u30a1-\u30fe\u4e00-\u9fff]+")
_JOINS_A_LETTER_OR_KANA = re.compile("[\u0300-\u036f\u3099\u309a\uff9e\uff9f]")


def fold(text: str) -> str:
    """The text under NFKC, without difference of case and without white space."""
    if _JOINS_A_LETTER_OR_KANA.search(text):
        compatible = unicodedata.normalize("NFKC", text)
    else:
        compatible = _CHANGEABLE.sub(lambda run: unicodedata.normalize("NFKC", run.group()), text)
    return "".join(compatible.casefold().split())


def key(text: str) -> bytes:
    """The 16-byte key of a text's folded form."""
    return hashlib.blake2b(fold(text).encode("utf-8"), digest_size=KEY_BYTES).digest()


def halves(keys: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """(n, 2) the two halves of each key."""
    return np.frombuffer(b"".join(keys), dtype="<u8").reshape(-1, 2)


def first_occurrences(halves: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """(n,) true where a key, given by its halves, has not come before."""
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: equal keys stay in their order
    ordered = halves[order]
    is_first = np.ones(len(halves), dtype=bool)
    is_first[order[1:]] = np.any(ordered[1:] != ordered[:-1], axis=1)
    return is_first
