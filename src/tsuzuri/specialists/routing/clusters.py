"""Domains that nobody named: balanced k-means over n-grams of characters. Imports no torch.

c-BTM (Gururangan et al. 2023, arXiv 2303.14177): h is a text's TF-IDF of length 1, centroids are found by
k-means whose clusters are of one size, and a text is of cluster c with probability
softmax(-|h - centroid|² / T). What deviates: n-grams of 2 to 4 characters by hashing in place of English
words; no SVD, because the distance to a dense centroid costs no more than the text has n-grams; centroids of
length 1, without which short texts go to the cluster whose texts are least alike (of five kinds of Japanese
text, 0.89 in place of 0.55 of the first 32 characters find their cluster); and clusters are of one size in
characters, by which specialists are equally trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tsuzuri.core.compiled import compiled
from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.specialists.routing.arrays import read_arrays, write_arrays
from tsuzuri.specialists.routing.grams import gram_keys, prepared

ORDERS = (2, 3, 4)
BUCKET_BITS = 17
BUCKETS = 1 << BUCKET_BITS
"""That n-grams share: 512 KiB a centroid."""
TEMPERATURE = 0.1
"""Of the shares, as c-BTM evaluates language models."""
CHARACTERS = 1024
"""Looked at of a text when clusters are made."""

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Features:
    """Some texts' n-grams: of text i those from bounds[i] to bounds[i + 1]."""

    buckets: Places
    weights: Floats
    """Of length 1 for each text that has any."""
    bounds: Places

    def __len__(self) -> int:
        return len(self.bounds) - 1


@dataclass(frozen=True)
class Clusters:
    """What tells clusters apart."""

    rarity: Floats
    """(BUCKETS,): the inverse document frequency, log((1 + texts) / (1 + texts that have it)) + 1."""
    centroids: Floats
    """(clusters, BUCKETS), each of length 1."""
    _columns: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_columns", np.ascontiguousarray(self.centroids.T))

    def distances(self, texts: Sequence[str], *, characters: int = CHARACTERS) -> Floats:
        """(texts, clusters): squared distances of the texts' beginnings to the centroids, 0 to 4."""
        return _distances(_features(texts, characters, self.rarity), self._columns)

    def shares(
        self, text: str, *, characters: int = CHARACTERS, temperature: float = TEMPERATURE
    ) -> npt.NDArray[np.float64]:
        """(clusters,): how probably a text is of each; even where it is of none."""
        values = -self.distances([text], characters=characters)[0].astype(np.float64) / temperature
        values = np.exp(values - values.max())
        shares: npt.NDArray[np.float64] = values / values.sum()
        return shares

    def assign(self, texts: Sequence[str], *, characters: int = CHARACTERS) -> list[int]:
        """Each text's nearest cluster."""
        return [int(place) for place in self.distances(texts, characters=characters).argmin(1)]

    def save(self, path: Path) -> None:
        """Write a `.npz`."""
        write_arrays(path, rarity=self.rarity, centroids=self.centroids)

    @classmethod
    def load(cls, path: Path) -> Clusters:
        """What `save` wrote; IntegrityError where it is something else."""
        clusters = cls(*read_arrays(path, ("rarity", "centroids")))
        if clusters.rarity.shape != (BUCKETS,) or clusters.centroids.shape[1:] != (BUCKETS,):
            raise IntegrityError(f"{path} holds clusters of another version", hint="train it again")
        return clusters


def train_clusters(
    texts: Callable[[], Iterable[str]],
    count: int,
    *,
    seed: int = 0,
    characters: int = CHARACTERS,
    batch_texts: int = 2048,
    passes: int = 4,
    slack: float = 0.1,
) -> Clusters:
    """`count` clusters of texts, which are read `passes` + 1 times, `batch_texts` in memory at a time.

    Of every batch a cluster gets at most 1 + `slack` of its part by characters. The same texts in the same
    order give the same clusters. InputError where there are fewer texts than clusters.
    """
    seen, number = np.zeros(BUCKETS, np.int64), 0
    for batch in _batches(texts(), batch_texts):
        features = _features(batch, characters, None)
        seen += np.bincount(features.buckets, minlength=BUCKETS)
        number += len(batch)
    if number < count:
        raise InputError(f"{number:,} texts can't be {count:,} clusters", hint="give fewer clusters")
    rarity = (np.log((1 + number) / (1 + seen)) + 1).astype(np.float32)
    centroids: Floats | None = None
    weights = np.zeros(count)
    for _ in range(passes):
        weights[:] = 0  # so that each pass forgets the one before as it goes
        for batch in _batches(texts(), batch_texts):
            features = _features(batch, characters, rarity)
            if centroids is None:
                centroids = _spread(features, count, np.random.default_rng(seed))
            lengths = np.array([len(text) for text in batch], np.float64)
            places = _balanced(_distances(features, _directions(centroids).T), lengths.clip(1), slack)
            _move(centroids, weights, features, places)
    assert centroids is not None
    return Clusters(rarity, _directions(centroids))


def mean_clusters(domains: Sequence[Iterable[str]], *, characters: int = 256) -> Clusters:
    """One cluster for each of some domains that are known: the mean of its texts' beginnings."""
    batches = [list(texts) for texts in domains]
    seen = np.zeros(BUCKETS, np.int64)
    for batch in batches:
        seen += np.bincount(_features(batch, characters, None).buckets, minlength=BUCKETS)
    number = sum(map(len, batches))
    rarity = (np.log((1 + number) / (1 + seen)) + 1).astype(np.float32)
    centroids, weights = np.zeros((len(batches), BUCKETS), np.float32), np.zeros(len(batches))
    for place, batch in enumerate(batches):
        features = _features(batch, characters, rarity)
        _move(centroids, weights, features, np.full(len(batch), place))
    return Clusters(rarity, _directions(centroids))


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(texts)
    while batch := list(islice(iterator, size)):
        yield batch


def _features(texts: Sequence[str], characters: int, rarity: Floats | None) -> Features:
    """The texts' n-grams, each once a text; 1 + log of how often it occurs, times its rarity."""
    buckets, weights, bounds = [], [], [0]
    for text in texts:
        codes = prepared(text, characters)
        keys = np.empty((len(ORDERS), len(codes)), np.uint64)
        for row, order in enumerate(ORDERS):
            gram_keys(codes, order, keys[row])
        found, counts = np.unique(keys[keys != 0] >> np.uint64(64 - BUCKET_BITS), return_counts=True)
        values = 1 + np.log(counts)
        if rarity is not None:
            values *= rarity[found]
            values /= max(float(np.linalg.norm(values)), 1e-12)
        buckets.append(found.astype(np.int64))
        weights.append(values.astype(np.float32))
        bounds.append(bounds[-1] + len(found))
    none = np.empty(0, np.int64)
    return Features(
        np.concatenate([none, *buckets]),
        np.concatenate([none.astype(np.float32), *weights]),
        np.array(bounds, np.int64),
    )


def _distances(features: Features, columns: Floats) -> Floats:
    """(texts, clusters): squared, to the centroids (BUCKETS, clusters) of length 1; 2 where no n-gram is
    shared."""
    out = np.empty((len(features), columns.shape[1]), np.float32)
    _products(features.buckets, features.weights, features.bounds, np.ascontiguousarray(columns), out)
    distances: Floats = 2 - 2 * out
    return distances


def _directions(centroids: Floats) -> Floats:
    """Centroids at length 1."""
    directions: Floats = centroids / np.linalg.norm(centroids, axis=1, keepdims=True).clip(1e-12)
    return directions


@compiled
def _products(buckets: Places, weights: Floats, bounds: Places, columns: Floats, out: Floats) -> None:
    for text in range(len(bounds) - 1):
        out[text] = 0
        for at in range(bounds[text], bounds[text + 1]):
            for cluster in range(columns.shape[1]):
                out[text, cluster] += weights[at] * columns[buckets[at], cluster]


def _spread(features: Features, count: int, generator: np.random.Generator) -> Floats:
    """Texts that lie far from each other as the first centroids (k-means++)."""
    centroids = np.zeros((count, BUCKETS), np.float32)
    chance = (np.diff(features.bounds) > 0) + 1e-9
    for cluster in range(count):
        text = int(generator.choice(len(features), p=chance / chance.sum()))
        part = slice(features.bounds[text], features.bounds[text + 1])
        centroids[cluster, features.buckets[part]] = features.weights[part]
        chance = _distances(features, centroids[: cluster + 1].T).min(1).clip(0).astype(np.float64) + 1e-9
    return centroids


def _balanced(distances: Floats, lengths: npt.NDArray[np.float64], slack: float) -> Places:
    """Each text's cluster: the nearest that has room, those that lose most by another one first."""
    texts, count = distances.shape
    room = np.full(count, (1 + slack) * lengths.sum() / count)
    nearest = np.sort(distances, axis=1)
    regret = nearest[:, min(1, count - 1)] - nearest[:, 0]
    places = np.empty(texts, np.int64)
    for text in np.argsort(-regret, kind="stable"):
        order = np.argsort(distances[text], kind="stable")
        place = next((cluster for cluster in order if room[cluster] > 0), order[0])
        places[text] = place
        room[place] -= lengths[text]
    return places


def _move(centroids: Floats, weights: npt.NDArray[np.float64], features: Features, places: Places) -> None:
    """Move each centroid towards the mean of its new texts, by how many it has had."""
    for cluster in range(len(centroids)):
        texts = np.flatnonzero(places == cluster)
        if len(texts):
            rows = np.concatenate([np.arange(features.bounds[t], features.bounds[t + 1]) for t in texts])
            total = np.bincount(features.buckets[rows], features.weights[rows], BUCKETS)
            weights[cluster] += len(texts)
            centroids[cluster] += (total - len(texts) * centroids[cluster]) / weights[cluster]
