"""Training rows without state: row i is a pure function of the shards, the seed, the mixture and i.

So a run's position is one integer, resuming is exact, and any number of ranks may share the rows.

The documents of a source, each closed by the end-of-text token, form a ring of T tokens. An epoch of the
source cuts the ring into ⌊T / length⌋ windows of `length` predicted tokens, from a starting point of its own,
and visits them in an order of its own (a keyed permutation). A row is a window and the token before it, so
within an epoch every token is predicted at most once, and all but T mod length of them are. A new starting
point each epoch cuts the documents elsewhere: repeated text is not seen in the same rows. The documents were
put in a keyed random order when they were packed, so neighbours within a row are strangers.

Because the token before a document's first is always an end-of-text token, that token opens every document
(also the first of the ring, after the last one's), and a mask that starts a document at each end-of-text
token is right.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tsuzuri.core.errors import RecipeError
from tsuzuri.data.box import Split, TokenBox
from tsuzuri.data.components import MixConfig, plan
from tsuzuri.data.mixture import Mixture
from tsuzuri.data.permutation import key_of, permute, subkeys
from tsuzuri.data.shards import Tokens

Integers = npt.NDArray[np.int64]


class Sampler:
    """The endless sequence of training rows of a box."""

    def __init__(
        self,
        box: TokenBox,
        *,
        length: int,
        seed: int,
        mixture: MixConfig | None = None,
        budget_tokens: int | None = None,
        split: Split = "train",
    ) -> None:
        """Rows of `length` predicted tokens. RecipeError when the mixture does not fit the box.

        `budget_tokens`, of which a cap on epochs is reckoned, is part of what row i is a function of.
        """
        if length < 1:
            raise RecipeError(f"a row of {length} tokens predicts nothing: the length must be 1 or more")
        streams = {source: box.shard(split, source).tokens for source in box.sources}
        sizes = {source: len(tokens) for source, tokens in streams.items()}
        drawn = {row.name: row.share for row in plan(sizes, mixture or MixConfig(), budget_tokens)}
        self.length = length
        self.sources = [source for source, share in drawn.items() if share]
        """The sources that are drawn at all; `source_of` gives places in this list."""
        self._streams: list[Tokens] = [streams[source] for source in self.sources]
        self._mixture = Mixture([drawn[source] for source in self.sources])
        self._keys = np.array([key_of(seed, source) for source in self.sources], np.uint64)
        self._tokens = np.array([len(stream) for stream in self._streams], np.uint64)
        self._windows = np.maximum(self._tokens // np.uint64(length), np.uint64(1))

    def rows(self, indices: Integers) -> Integers:
        """(n, length + 1) tokens of the rows `indices` (n,); column t + 1 is predicted from those up to t."""
        components, starts = self.places(indices)
        rows = np.empty((len(indices), self.length + 1), np.int64)
        for row, component, start in zip(rows, components.tolist(), starts.tolist(), strict=True):
            stream = self._streams[component]
            whole = stream[start : start + len(row)]
            if len(whole) < len(row):
                whole = stream.take(np.arange(start, start + len(row)), mode="wrap")
            row[:] = whole
        return rows

    def places(self, indices: Integers) -> tuple[Integers, npt.NDArray[np.uint64]]:
        """Where rows are cut: (n,) place in `sources`, and (n,) the first token on that source's ring."""
        components, ranks = self._mixture.place(indices)
        return components, self._starts(components, ranks.astype(np.uint64))

    def source_of(self, indices: Integers) -> Integers:
        """(n,) place in `sources` of the source of each row."""
        return self._mixture.place(indices)[0]

    def shares(self) -> dict[str, float]:
        """source → the share of all rows that is drawn from it."""
        counts = self._mixture.counts.tolist()
        return {
            source: count / self._mixture.block_rows
            for source, count in zip(self.sources, counts, strict=True)
        }

    def epochs(self, samples: int) -> dict[str, float]:
        """source → how many times its tokens have been predicted after the first `samples` rows."""
        drawn = self._mixture.drawn(samples)
        return {
            source: rows * self.length / len(stream)
            for source, rows, stream in zip(self.sources, drawn, self._streams, strict=True)
        }

    def _starts(self, components: Integers, ranks: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Where on its source's ring the `ranks`-th row of each of `components` begins."""
        tokens, windows = self._tokens[components], self._windows[components]
        epochs, places = np.divmod(ranks, windows)
        keys = subkeys(self._keys[components], epochs)
        offsets = subkeys(keys, np.zeros_like(keys)) % tokens
        return (offsets + permute(places, windows, keys) * np.uint64(self.length)) % tokens
