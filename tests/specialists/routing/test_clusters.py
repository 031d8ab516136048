"""Clusters find domains that nobody named, all of one size, the same ones every time."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.specialists.routing.test_router import DOMAINS, texts_of

from tsuzuri.core.errors import InputError, IntegrityError
from tsuzuri.specialists.routing.clusters import Clusters, train_clusters


def mixed_texts() -> list[str]:
    return [
        text for texts in zip(*(texts_of(name, 100, 1) for name in DOMAINS), strict=True) for text in texts
    ]


def test_domains_are_found_whatever_the_batches() -> None:
    for batch_texts in (64, 1000):
        clusters = train_clusters(mixed_texts, 3, batch_texts=batch_texts)
        owners = [set(clusters.assign(texts_of(name, 20, 2))) for name in DOMAINS]
        assert [len(owner) for owner in owners] == [1, 1, 1]
        assert len(set.union(*owners)) == 3


def test_clusters_are_of_one_size_though_domains_are_not() -> None:
    texts = [*texts_of("news", 400, 1), *texts_of("manual", 20, 1)]
    texts = [text for place in range(20) for text in texts[place::20]]
    clusters = train_clusters(lambda: texts, 4, batch_texts=84)
    sizes = Counter(clusters.assign(texts))
    assert len(sizes) == 4
    assert max(sizes.values()) < 0.6 * len(texts)


def test_they_are_saved_and_are_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "other"):
        train_clusters(mixed_texts, 3, seed=5).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    loaded = Clusters.load(tmp_path / "one")
    shares = loaded.shares(texts_of("news", 1, 3)[0])
    assert shares.sum() == pytest.approx(1)
    assert shares.max() > 0.6
    assert np.allclose(loaded.shares(""), 1 / 3)
    with pytest.raises(InputError, match="can't be 301 clusters"):
        train_clusters(mixed_texts, 301)
    (tmp_path / "one").write_bytes((tmp_path / "one").read_bytes()[:100])
    with pytest.raises(IntegrityError, match="damaged"):
        Clusters.load(tmp_path / "one")


def test_articles_and_dialogues_are_told_apart(shared_data: Path) -> None:
    def rows(name: str, count: int) -> list[dict[str, str]]:
        with gzip.open(shared_data / name, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line, _ in zip(file, range(count), strict=False)]

    articles = [row["text"] for row in rows("kyoto-wikipedia.jsonl.gz", 600)]
    dialogues = [
        "\n".join(turn[1] for turn in row["turns"]) for row in rows("real-persona-chat.jsonl.gz", 600)
    ]
    texts = [text for pair in zip(articles[:500], dialogues[:500], strict=True) for text in pair]
    clusters = train_clusters(lambda: texts, 2)
    for group, own in ((articles[500:], 0), (dialogues[500:], 1)):
        of_group = clusters.assign([texts[own]])[0]
        found = clusters.assign([text[:128] for text in group], characters=128)
        assert found.count(of_group) >= 0.95 * len(found)
